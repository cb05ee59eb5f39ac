"""The probe's pod: nobody takes it for a client, and its end is read in words."""

from typing import Any

import pytest

from domain import names
from domain.kubernetes import Manifest
from domain.messages.inspection import CheckVerdict
from domain.spec import ClusterSpec, Endpoint, ImageTarget, SecretRef
from planning.preflight import coordinator_probe

IMAGE = ImageTarget(repository="prover", pull_auth=SecretRef(ref="env:IMAGE_AUTH"))
SPEC = ClusterSpec(namespace="fleet", coordinator=Endpoint(ip="10.0.0.9"), image=IMAGE)
POD = coordinator_probe.pod(SPEC, "t/default/prover-cluster/default/fleet", "reg/probe:1", "10.0.0.9", 50055)


def test_it_is_no_client() -> None:
    """No role, no `app`: neither the Deployment's selector, nor the disruption budget, nor anti-affinity sees it."""
    assert not {"role", "app", "stage"} & set(POD["metadata"]["labels"])
    assert POD["metadata"]["annotations"] == {names.OWNER_ANNOTATION: "t/default/prover-cluster/default/fleet"}
    assert "podAntiAffinity" not in POD["spec"]["affinity"]


def test_it_goes_where_clients_go() -> None:
    """The label is required and the taint tolerated."""
    terms = POD["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    expression = {"key": "fluidexnode", "operator": "In", "values": ["computation"]}
    assert terms == {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    assert POD["spec"]["tolerations"] == [{"key": "dedicated", "operator": "Equal", "value": "computation"}]
    assert POD["spec"]["imagePullSecrets"] == [{"name": "img-cred"}]


def test_it_ends_by_itself() -> None:
    """Whoever forgets it."""
    assert (POD["spec"]["activeDeadlineSeconds"], POD["spec"]["restartPolicy"]) == (60, "Never")


@pytest.mark.parametrize(("host", "argument"), [("10.0.0.9", "10.0.0.9:7"), ("fd00::9", "[fd00::9]:7")])
def test_what_it_is_asked(host: str, argument: str) -> None:
    """One argument, HOST:PORT."""
    assert coordinator_probe.pod(SPEC, "o", "reg/probe:1", host, 7)["spec"]["containers"][0]["args"] == [argument]


def _ended(code: int, message: str = "", reason: str = "Error", **status: Any) -> Manifest:
    state = {"terminated": {"exitCode": code, "message": message, "reason": reason}}
    phase = "Failed" if code else "Succeeded"
    return {"spec": {"nodeName": "n1"}, "status": {"phase": phase, "containerStatuses": [{"state": state}]} | status}


def _waiting(reason: str) -> Manifest:
    state = {"waiting": {"reason": reason, "message": "because"}}
    return {"spec": {"nodeName": "n1"}, "status": {"phase": "Pending", "containerStatuses": [{"state": state}]}}


@pytest.mark.parametrize(
    ("found", "verdict", "words"),
    [
        (_ended(0), CheckVerdict.OK, "node n1 reaches"),
        (_ended(1, "dial tcp: connection refused\n"), CheckVerdict.FAILED, "connection refused"),
        (_ended(1), CheckVerdict.UNKNOWN, "before it could tell"),
        (_ended(2, "usage: probe"), CheckVerdict.UNKNOWN, "before it could tell: Error"),
        (_ended(137, reason="OOMKilled"), CheckVerdict.UNKNOWN, "OOMKilled"),
        (_ended(137, message="", reason="DeadlineExceeded"), CheckVerdict.UNKNOWN, "DeadlineExceeded"),
        (_waiting("ErrImagePull"), CheckVerdict.UNKNOWN, "ErrImagePull: because"),
    ],
)
def test_what_it_found_out(found: Manifest, verdict: CheckVerdict, words: str) -> None:
    """Only its own word fails the check; a probe that could not run leaves it unknown."""
    told = coordinator_probe.verdict(found)
    assert told is not None
    assert told.verdict is verdict
    assert words in told.detail


@pytest.mark.parametrize("found", [_waiting("ContainerCreating"), {"status": {"phase": "Running"}}, {"status": {}}])
def test_it_may_still_tell(found: Manifest) -> None:
    """As long as nothing is final."""
    assert coordinator_probe.verdict(found) is None


def test_a_probe_that_runs_out_of_time() -> None:
    """Gone, not scheduled, or slow: each in its own words."""
    condition = {"type": "PodScheduled", "status": "False", "message": "0/2 nodes are available"}
    unscheduled = {"status": {"phase": "Pending", "conditions": [condition]}}
    assert "somebody removed" in coordinator_probe.unfinished(None, 3).detail
    assert "within 75 s: 0/2 nodes are available" in coordinator_probe.unfinished(unscheduled, 75).detail
    assert "ContainerCreating after 75 s" in coordinator_probe.unfinished(_waiting("ContainerCreating"), 75).detail
