"""How answers of the API server, and none, become errors that name object, cause and remedy."""

import json
from typing import Any

import pytest
from urllib3.connection import HTTPConnection
from urllib3.exceptions import NewConnectionError, ProtocolError, ReadTimeoutError, SSLError

from clients.kubernetes.errors import Call, ErrorResponse, failure, nonsense, refusal
from domain.errors import (
    ApplyConflict,
    CredentialsRejected,
    Forbidden,
    ObjectRejected,
    ProverError,
    TransientError,
    Unavailable,
)

CALL = Call("apply", "Deployment prover-cli-t in namespace provers", "Deployment", "provers")


def answered(status: int, message: str = "", call: Call = CALL, **more: Any) -> ProverError:
    """Return the error of a Status object with this message."""
    headers = more.pop("headers", {})
    return refusal(
        call, ErrorResponse(status, headers, json.dumps({"kind": "Status", "message": message, **more}).encode())
    )


@pytest.mark.parametrize(
    ("status", "message", "code", "kind"),
    [
        (401, "Unauthorized", "TOKEN_EXPIRED", CredentialsRejected),
        (404, 'namespaces "provers" not found', "NOT_FOUND", ObjectRejected),
        (403, 'pods "p" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1', "QUOTA", ObjectRejected),
        (403, 'pods "p" is forbidden: failed quota: q: must specify limits.memory', "LIMITRANGE", ObjectRejected),
        (403, 'pods "p" is forbidden: violates PodSecurity "restricted:latest": …', "PODSECURITY", ObjectRejected),
        (403, 'pods "p" is forbidden: maximum memory usage per Container is 1Gi', "LIMITRANGE", ObjectRejected),
        (403, 'admission webhook "w.example" denied the request: no', "ADMISSION_DENIED", ObjectRejected),
        (400, 'admission webhook "w.example" denied the request: no', "ADMISSION_DENIED", ObjectRejected),
        (
            422,
            "deployments.apps \"d\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no",
            "ADMISSION_DENIED",
            ObjectRejected,
        ),
        (422, "spec.selector: Invalid value: {}: field is immutable", "IMMUTABLE_FIELD", ObjectRejected),
        (422, "spec.replicas: Invalid value: -1", "OBJECT_REJECTED", ObjectRejected),
        (413, "too large", "OBJECT_REJECTED", ObjectRejected),
        (409, "the object has been modified", "CONFLICT", Unavailable),
        (429, "too many requests", "UNAVAILABLE", Unavailable),
        (500, 'failed calling webhook "w.example": connection refused', "ADMISSION_DOWN", Unavailable),
        (500, "etcdserver: mvcc: database space exceeded", "CONTROL_PLANE_DOWN", Unavailable),
        (503, "apiserver not ready", "CONTROL_PLANE_DOWN", Unavailable),
    ],
)
def test_each_answer_has_its_code(status: int, message: str, code: str, kind: type[ProverError]) -> None:
    """Permanent or transient, by its own stable word, on the object it is about."""
    error = answered(status, message)
    assert (error.diagnosis.code, isinstance(error, kind), error.diagnosis.on) == (code, True, CALL.on)
    assert error.diagnosis.evidence == message
    assert error.diagnosis.do != "" or isinstance(error, TransientError)


@pytest.mark.parametrize(
    ("message", "what", "do"),
    [
        (
            (
                'deployments.apps "d" is forbidden: User "system:serviceaccount:a:b" cannot patch resource '
                '"deployments" in API group "apps" in the namespace "provers"'
            ),
            "system:serviceaccount:a:b may not patch deployments.apps in namespace provers",
            "proverctl rbac -n provers",
        ),
        (
            'nodes is forbidden: User "eve" cannot list resource "nodes" in API group "" at the cluster scope',
            "eve may not list nodes in the whole cluster",
            "proverctl rbac -n provers",
        ),
    ],
)
def test_a_missing_right_is_told_from_a_refused_object(message: str, what: str, do: str) -> None:
    """Identity, verb, resource and scope."""
    error = answered(403, message)
    assert (type(error), error.diagnosis.what) == (Forbidden, what)
    assert error.diagnosis.do.endswith(do)


def test_a_conflict_names_managers_and_fields() -> None:
    """All of them."""
    causes = [
        {
            "reason": "FieldManagerConflict",
            "message": 'conflict with "kubectl-scale" using apps/v1',
            "field": ".spec.replicas",
        },
        {"reason": "FieldManagerConflict", "message": 'conflict with "helm" using apps/v1', "field": ".spec.template"},
    ]
    error = answered(409, "Apply failed with 2 conflicts", details={"causes": causes})
    assert isinstance(error, ApplyConflict)
    assert error.diagnosis.what == "field manager 'helm', 'kubectl-scale' owns .spec.replicas, .spec.template"


@pytest.mark.parametrize(
    ("headers", "details", "delay"),
    [
        ({"Retry-After": "7"}, {}, 7.0),
        ({}, {"retryAfterSeconds": 3}, 3.0),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, {}, None),
        ({}, {}, None),
    ],
)
def test_the_peer_says_when_to_try_again(headers: dict[str, str], details: dict[str, int], delay: float | None) -> None:
    """By header or in the Status; else the retry policy decides."""
    error = answered(429, "too many requests", headers=headers, details=details)
    assert isinstance(error, TransientError)
    assert error.delay == delay


def test_a_namespace_that_is_being_deleted_passes() -> None:
    """403 with this cause ends by itself."""
    causes = [{"reason": "NamespaceTerminating", "message": "namespace provers is being terminated"}]
    error = answered(403, "unable to create new content because it is being terminated", details={"causes": causes})
    assert error.diagnosis.code == "NAMESPACE_TERMINATING"


def test_an_error_page_is_scrubbed_and_short() -> None:
    """A proxy's HTML is evidence, its credentials are not."""
    page = b"<html>\x1b[31mbad gateway at http://user:hunter2@proxy/</html>" + b"x" * 5000
    error = refusal(CALL, ErrorResponse(502, {}, page))
    assert ("hunter2" in str(error), "\x1b" in str(error), len(str(error)) < 1500) == (False, False, True)
    assert "bad gateway" in error.diagnosis.evidence


def test_a_refused_secret_is_never_quoted() -> None:
    """Fields only, in errors and in broken answers."""
    call = Call("apply", "Secret img-cred", "Secret", "provers")
    causes = [{"reason": "FieldValueInvalid", "message": "Invalid value: hunter2", "field": "data[x]"}]
    invalid = answered(422, "Secret is invalid: hunter2", call=call, reason="Invalid", details={"causes": causes})
    broken = nonsense(call, "https://api", b"hunter2")
    assert ("hunter2" in str(invalid), "data[x]" in str(invalid), "hunter2" in str(broken)) == (False, True, False)


@pytest.mark.parametrize(
    ("error", "because"),
    [
        (SSLError("certificate verify failed"), "TLS failed"),
        (NewConnectionError(HTTPConnection("api"), "refused"), "the connection was refused or the host is unreachable"),
        (ReadTimeoutError(None, "/x", "Read timed out."), "it did not answer in time"),  # type: ignore[arg-type]
        (ProtocolError("Connection aborted."), "the connection broke"),
    ],
)
def test_no_answer_is_transient_and_names_the_host(error: Exception, because: str) -> None:
    """Whatever broke, it is worth another try."""
    found = failure(CALL, error, "https://api:6443")  # type: ignore[arg-type]
    assert (found.diagnosis.code, found.diagnosis.because) == ("CONTROL_PLANE_DOWN", because)
    assert "https://api:6443" in str(found)
