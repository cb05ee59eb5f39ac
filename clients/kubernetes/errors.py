"""Domain errors of the API server's answers and of network failures, with object, cause and remedy."""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError, SSLError

from domain.diagnosis import Severity
from domain.errors import (
    ApplyConflict,
    CredentialsRejected,
    Forbidden,
    ObjectRejected,
    ProverError,
    Unavailable,
)
from planning.kubernetes import admission
from planning.text.sanitize import scrub

MAX_EVIDENCE_CHARACTERS = 1000
FORBIDDEN_MESSAGE = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>\S+) resource "(?P<resource>[^"]*)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]*)")?'
)
CONFLICT_MANAGER = re.compile(r'conflict with "(?P<manager>[^"]*)"')


class Call(NamedTuple):
    """A call to the API server, for the message."""

    verb: str
    on: str  # the object as people name it
    kind: str = ""
    namespace: str = ""


class ErrorResponse(NamedTuple):
    """An answer that is no success."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Absent(ObjectRejected):
    """The object, or the one with the UID that we meant, is not there (404, or 409 on a UID precondition)."""

    code = "NOT_FOUND"


class Gone(Unavailable):
    """A watch's resource version is too old (410): list again."""


def refusal(call: Call, answer: ErrorResponse) -> ProverError:
    """Return the domain error of an HTTP answer other than 2xx."""
    status = _status_object(answer.body)
    evidence = _evidence(call, status, answer.body)
    if answer.status in (401, 404, 410):
        return _plain(call, answer.status, evidence)
    if answer.status == 429 or answer.status >= 500 or _is_passing(status):  # noqa: PLR2004 - HTTP's own numbers
        return _unavailable(call, answer, status, evidence)
    if answer.status == 409:  # noqa: PLR2004
        return _conflict(call, status, evidence)
    if answer.status == 403 and (denied := FORBIDDEN_MESSAGE.search(evidence)):  # noqa: PLR2004
        return _forbidden(call, denied, evidence)
    return _rejected(call, answer.status, status, evidence)


def _plain(call: Call, code: int, evidence: str) -> ProverError:
    if code == 404:  # noqa: PLR2004
        return Absent(f"nothing to {call.verb}", on=call.on, evidence=evidence, do="check namespace and cluster")
    if code == 410:  # noqa: PLR2004
        return Gone("the watch is too old", on=call.on, evidence=evidence)
    return CredentialsRejected(
        f"the Kubernetes API does not accept the worker's credentials to {call.verb}",
        on=call.on,
        evidence=evidence,
        do="renew the token or certificate in the worker's kubeconfig, then run the command again",
        code="TOKEN_EXPIRED",
    )


def failure(call: Call, error: HTTPError | OSError, host: str) -> Unavailable:
    """Return the domain error of a call that got no answer."""
    if isinstance(error, SSLError):
        because = "TLS failed"
    elif isinstance(error, NewConnectionError | ConnectionRefusedError):
        because = "the connection was refused or the host is unreachable"
    elif isinstance(error, ConnectTimeoutError | ReadTimeoutError):
        because = "it did not answer in time"
    else:
        because = "the connection broke"
    return Unavailable(
        f"could not {call.verb} {call.on}: the Kubernetes API is not reachable",
        on=host,
        because=because,
        evidence=scrub(str(error))[:MAX_EVIDENCE_CHARACTERS],
        do="check that the cluster is up and that the worker's kubeconfig names its address",
        code="CONTROL_PLANE_DOWN",
    )


def nonsense(call: Call, host: str, body: bytes) -> Unavailable:
    """Return the domain error of a 2xx answer without JSON: truncated, or not from the API server."""
    return Unavailable(
        f"the answer of {host} to {call.verb} is not JSON",
        on=call.on,
        evidence="" if call.kind == "Secret" else scrub(body[:200].decode(errors="replace")),
        do="check for a proxy between worker and API server",
        code="CONTROL_PLANE_DOWN",
    )


def _status_object(body: bytes) -> dict[str, Any]:
    try:
        status = json.loads(body)
    except ValueError:
        return {}
    return status if isinstance(status, dict) else {}


def _evidence(call: Call, status: dict[str, Any], body: bytes) -> str:
    if call.kind == "Secret" and not FORBIDDEN_MESSAGE.search(str(status.get("message", ""))):
        # an Invalid-value message echoes what was sent: name the fields, never the text
        fields = [str(cause.get("field", "")) for cause in _causes(status)]
        return " ".join(part for part in (str(status.get("reason", "")), ", ".join(fields)) if part)
    text = str(status.get("message") or body[:MAX_EVIDENCE_CHARACTERS].decode(errors="replace"))
    return scrub(text)[:MAX_EVIDENCE_CHARACTERS]


def _causes(status: dict[str, Any]) -> list[dict[str, Any]]:
    return [cause for cause in (status.get("details") or {}).get("causes") or [] if isinstance(cause, dict)]


def _is_passing(status: dict[str, Any]) -> bool:
    """Return whether the refusal ends by itself: the namespace still terminates, or a webhook is down."""
    terminating = any(cause.get("reason") == "NamespaceTerminating" for cause in _causes(status))
    return terminating or admission.by_webhook_failure(str(status.get("message", "")))


def _unavailable(call: Call, answer: ErrorResponse, status: dict[str, Any], evidence: str) -> Unavailable:
    known = (
        ("being terminated", "NAMESPACE_TERMINATING", "the namespace is being deleted"),
        ("database space exceeded", "CONTROL_PLANE_DOWN", "etcd has no space left: its operator must compact it"),
    )
    named = [(code, because) for text, code, because in known if text in evidence]
    if admission.by_webhook_failure(evidence):
        named = [("ADMISSION_DOWN", "an admission webhook of the cluster does not answer")]
    throttled = answer.status == 429  # noqa: PLR2004
    code, because = named[0] if named else ("UNAVAILABLE" if throttled else "CONTROL_PLANE_DOWN", "")
    return Unavailable(
        f"the Kubernetes API answered {answer.status} to {call.verb}",
        on=call.on,
        because=because or ("it limits its callers" if throttled else "the control plane is not well"),
        evidence=evidence,
        code=code,
        delay=_delay(answer, status),
    )


def _delay(answer: ErrorResponse, status: dict[str, Any]) -> float | None:
    given = answer.headers.get("Retry-After") or (status.get("details") or {}).get("retryAfterSeconds")
    try:
        return float(given) if given else None
    except (TypeError, ValueError):
        return None  # an HTTP date: leave it to the retry policy


def _conflict(call: Call, status: dict[str, Any], evidence: str) -> ProverError:
    message = str(status.get("message", ""))
    if "Precondition failed: UID" in message or "UID in the precondition" in message:
        return Absent("another object has its name now", on=call.on, evidence=evidence, do="leave it")
    causes = [cause for cause in _causes(status) if cause.get("reason") == "FieldManagerConflict"]
    if not causes:
        return Unavailable(
            f"another writer changed it while we tried to {call.verb}", on=call.on, evidence=evidence, code="CONFLICT"
        )
    managers = sorted({_manager(str(cause.get("message", ""))) for cause in causes})
    fields = ", ".join(dict.fromkeys(str(cause.get("field", "")) for cause in causes))
    return ApplyConflict(
        f"field manager {', '.join(managers)} owns {fields}",
        on=call.on,
        because="someone else wrote these fields, and we never overwrite what we do not own",
        evidence=evidence,
        do=f"stop {', '.join(managers)} from writing {fields}, or remove its ownership "
        "(kubectl apply --server-side --force-conflicts with our manifest), then deploy again",
    )


def _manager(message: str) -> str:
    found = CONFLICT_MANAGER.search(message)
    return f"'{found['manager']}'" if found else "of another writer"


def _forbidden(call: Call, denied: re.Match[str], evidence: str) -> Forbidden:
    resource = denied["resource"] + (f".{denied['group']}" if denied["group"] else "")
    where = f"in namespace {denied['namespace']}" if denied["namespace"] else "in the whole cluster"
    namespace = denied["namespace"] or call.namespace
    return Forbidden(
        f"{denied['user']} may not {denied['verb']} {resource} {where}",
        on=call.on,
        because="no Role or ClusterRole bound to it grants that",
        evidence=evidence,
        do="let an administrator apply the output of: proverctl rbac" + (f" -n {namespace}" if namespace else ""),
    )


def _rejected(call: Call, code: int, status: dict[str, Any], evidence: str) -> ObjectRejected:
    denied = admission.refusal(evidence)
    if denied and denied.severity is Severity.FATAL:
        what = f"the cluster does not admit it ({denied.code})"
        return ObjectRejected(what, on=call.on, evidence=evidence, do=denied.do, code=denied.code)
    fields = ", ".join(dict.fromkeys(str(cause.get("field", "")) for cause in _causes(status) if cause.get("field")))
    immutable = any("immutable" in str(cause.get("message", "")) for cause in _causes(status))
    if immutable or "field is immutable" in evidence:
        return ObjectRejected(
            f"{fields or 'a field'} cannot be changed on a living object",
            on=call.on,
            evidence=evidence,
            do="tear the deployment down and deploy again, or keep the value it was created with",
            code="IMMUTABLE_FIELD",
        )
    what = f"the API server refused to {call.verb} it ({code}" + (f", {fields})" if fields else ")")
    return ObjectRejected(what, on=call.on, evidence=evidence, do="correct what the evidence names")
