"""A bundle explains a failure and holds no secret, however large the failure was."""

import json
from typing import Any

import pytest

from domain.diagnosis import Diagnosis
from domain.kubernetes import Snapshot
from domain.spec import ClusterSpec, Endpoint, ImageTarget
from domain.status import Observation
from planning.diagnosis import bundle
from tests.support.kubernetes import objects

CANARY = "canary-hunter2"
SPEC = ClusterSpec(namespace="fleet", coordinator=Endpoint(ip="10.0.0.9"), image=ImageTarget(repository="prover"))


def composed(snapshot: Snapshot, logs: dict[str, str] | None = None) -> dict[str, Any]:
    """Return the document of this snapshot."""
    finding = Diagnosis(code="CRASH_LOOP", what="the client ends")
    return bundle.compose(SPEC, snapshot, Observation(), [finding], logs or {})


def test_no_secret_gets_in() -> None:
    """Values of variables, arguments, kubectl's copies, contents of Secrets, and credentials in any text."""
    pod = objects.crashed(restarts=3, log=f"panic: http://user:{CANARY}@host")
    pod["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": CANARY}
    pod["metadata"]["managedFields"] = [{"manager": CANARY}]
    pod["spec"]["containers"][0] |= {
        "env": [{"name": "DB", "value": CANARY}, {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "name"}}}],
        "args": [f"--db={CANARY}"],
    }
    event = objects.event(pod, "Failed", f"token={CANARY}")
    secret = {"kind": "Secret", "data": {"x": CANARY}, "stringData": {"y": CANARY}}
    snapshot = Snapshot(pods=[pod], events=[event], neighbours=[secret], logs={"p1": f"password={CANARY}"})
    found = composed(snapshot, {"p1 (previous)": f"Authorization: Bearer {CANARY}"})
    assert CANARY not in json.dumps(found)
    container = found["pods"][0]["spec"]["containers"][0]
    assert container["env"][0] == {"name": "DB", "value": "***"}
    assert container["env"][1]["valueFrom"] == {"fieldRef": {"fieldPath": "name"}}


def test_what_explains_is_kept() -> None:
    """Findings, events, states of pods and both logs."""
    pod = objects.crashed(restarts=3, log="bad config")
    found = composed(
        Snapshot(pods=[pod], events=[objects.event(pod, "BackOff", "restarting")], logs={"p1": "now"}),
        {"p1 (previous)": "before"},
    )
    assert found["findings"][0]["code"] == "CRASH_LOOP"
    assert found["events"][0]["message"] == "restarting"
    assert found["pods"][0]["status"]["containerStatuses"][0]["lastState"]["terminated"]["message"] == "bad config"
    assert found["logs"] == {"p1": "now", "p1 (previous)": "before"}
    assert found["left_out"] == {}


def test_a_flood_is_cut_from_its_oldest_part_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Findings and pods stay; of events the newest. A log that is one endless line is not kept at all."""
    monkeypatch.setattr(bundle, "MAX_BUNDLE_BYTES", 100_000)
    monkeypatch.setattr(bundle, "LOG_LIMIT", 2_000)
    pod = objects.pod()
    events = [objects.event(pod, "BackOff", f"{number} " + "x" * 500) for number in range(500)]
    logs = {f"p{number}": "first\n" + "y" * 1_990 + "\n" for number in range(10)} | {"endless": "z" * 5_000}
    found = composed(Snapshot(pods=[pod], events=events), logs)
    assert len(json.dumps(found)) <= bundle.MAX_BUNDLE_BYTES + 1_000
    assert found["logs"]["endless"] == ""
    assert found["logs"]["p0"] == "first\n" + "y" * 1_990 + "\n"
    assert found["events"][-1]["message"].startswith("499 ")
    assert found["left_out"]["events"] == 500 - len(found["events"])
    assert [len(found["pods"]), len(found["findings"])] == [1, 1]


def test_logs_worth_reading_begin_with_those_that_restarted() -> None:
    """Of these also what they said before."""
    pods = [objects.pod("good"), objects.waiting("waits"), objects.crashed("ends", restarts=2)]
    assert bundle.worth_reading(pods) == [("ends", True), ("waits", False), ("good", False)]
