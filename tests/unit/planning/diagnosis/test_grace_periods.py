"""What passes by itself is never called fatal: old evidence, evidence of another kind, and what has succeeded since."""

from typing import Any

import pytest

from domain.diagnosis import Diagnosis, Severity
from domain.kubernetes import Manifest, Snapshot
from planning.diagnosis.findings import findings as all_findings
from tests.support.kubernetes import objects

FATAL, HUMAN, TRANSIENT = Severity.FATAL, Severity.NEEDS_HUMAN, Severity.TRANSIENT
PULL = 'Failed to pull image "x": failed to pull and unpack image "x": '


def findings(*pods: Manifest, **more: Any) -> list[Diagnosis]:
    """All findings about these pods of a Deployment that is not done; `more` is of the snapshot."""
    parts = {
        "now": objects.NOW,
        "deployment": objects.deployment(availableReplicas=0),
        "replica_sets": [objects.replica_set(), objects.old_replica_set()],
        "pods": list(pods),
    }
    return all_findings(Snapshot(**(parts | more)), app="client", stage="abc", image=objects.IMAGE)


def verdict(*pods: Manifest, **more: Any) -> tuple[str, Severity] | None:
    """Code and class of the strongest."""
    found = next(iter(findings(*pods, **more)), None)
    return (found.code, found.severity) if found else None


def event(
    about: Manifest, reason: str, message: str = "", *, first: float = 50, last: float = 50, count: int = 1
) -> Manifest:
    """Return an event that happened first and last so many seconds ago."""
    made = objects.event(about, reason, message, count)
    made["involvedObject"] |= {"kind": about["kind"], "name": about["metadata"]["name"]}
    return made | {"firstTimestamp": objects.ago(first), "lastTimestamp": objects.ago(last)}


def test_a_registry_that_was_away_and_then_says_no_has_said_no_once() -> None:
    """Tries of another kind do not add up."""
    pod = objects.waiting("p1", "ErrImagePull")
    away = event(pod, "Failed", PULL + "connection refused", last=30, count=7)
    no = event(pod, "Failed", PULL + "x: not found", first=5, last=5)
    assert verdict(pod, events=[away, no]) == ("IMAGE_NOT_FOUND", TRANSIENT)
    assert verdict(pod, events=[away, no | {"count": 2}]) == ("IMAGE_NOT_FOUND", FATAL)


def test_a_mount_that_succeeded_later_is_no_finding() -> None:
    """Kubelet pulls images after it has mounted: an hour of pulling does not make the first try worse."""
    pod = objects.waiting("p1", age=3600)
    failed = event(pod, "FailedMount", 'configmap "cluster-conf" not found', first=3600, last=3590)
    assert verdict(pod, events=[failed]) == ("CONFIG_MISSING", FATAL)
    assert verdict(pod, events=[failed, event(pod, "Pulling", "Pulling image", first=3580, last=3580)]) == (
        "IMAGE_SLOW",
        Severity.PROGRESS,
    )
    ready = {"type": "PodReadyToStartContainers", "status": "True"}
    pod["status"]["conditions"].append(ready)
    assert verdict(pod, events=[failed]) is None


def test_a_missing_key_counts_from_when_it_was_missed() -> None:
    """The pod may have pulled its image for an hour before."""
    missing = 'secret "s" not found'
    pod = objects.waiting("p1", "CreateContainerConfigError", missing, age=3600)
    told = event(pod, "Failed", f"Error: {missing}", first=5, last=5)
    assert verdict(pod, events=[told]) == ("CONFIG_MISSING", TRANSIENT)


def test_a_status_about_the_spec_before_says_nothing() -> None:
    """Right after an apply conditions and ReplicaSets are those of the rollout before."""
    condition = {
        "type": "Progressing",
        "status": "False",
        "reason": "ProgressDeadlineExceeded",
        "message": 'ReplicaSet "prover-cli-t-new" has timed out progressing.',
    }
    stale = objects.deployment(observedGeneration=2, conditions=[condition])
    assert verdict(objects.crashed("p1", restarts=9), deployment=stale) is None


def test_a_deployment_that_nobody_acts_on() -> None:
    """Made a minute ago, and the controller manager has not seen it."""
    unseen = objects.deployment(observedGeneration=0)
    unseen["metadata"]["creationTimestamp"] = objects.ago(61)
    assert verdict(deployment=unseen) == ("CONTROL_PLANE_DOWN", TRANSIENT)
    unseen["metadata"]["creationTimestamp"] = objects.ago(5)
    assert verdict(deployment=unseen) is None


QUOTA = 'pods "p" is forbidden: exceeded quota: q, requested: {asked}, used: pods=1, limited: pods=1'


def refused(message: str, age: float = 60) -> Manifest:
    """Return a ReplicaSet whose pods are refused since so many seconds."""
    condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    return objects.replica_set() | {"status": {"conditions": [condition | {"lastTransitionTime": objects.ago(age)}]}}


def quota(used: str) -> Manifest:
    """Return a quota of one pod."""
    return {"metadata": {"name": "q"}, "status": {"hard": {"pods": "1"}, "used": {"pods": used}}}


@pytest.mark.parametrize(
    ("asked", "age", "used", "expected"),
    [
        ("pods=1", 60, "1", FATAL),
        ("pods=1", 10, "1", TRANSIENT),  # the quota's count may lag behind pods that have gone
        ("pods=1", 60, "0", TRANSIENT),  # it has room again
        ("pods=2", 1, "0", FATAL),  # what does not fit into an empty quota never will
    ],
)
def test_a_quota_is_final_when_nothing_will_free_it(asked: str, age: float, used: str, expected: Severity) -> None:
    """By its present numbers, where they may be read."""
    sets = [refused(QUOTA.format(asked=asked), age)]
    assert verdict(replica_sets=sets, quotas=[quota(used)]) == ("QUOTA", expected)


def test_the_latest_refusal_counts() -> None:
    """The condition keeps its first words until a pod is made: a webhook that was down and now denies."""
    newest = refused('failed calling webhook "w.example": connection refused')
    denied = event(newest, "FailedCreate", 'admission webhook "w.example" denied the request: no', first=9, last=9)
    found = findings(replica_sets=[newest], events=[denied])[0]
    assert (found.code, found.severity, found.since) == ("ADMISSION_DENIED", FATAL, objects.ago(9))


@pytest.mark.parametrize(("age", "expected"), [(60, TRANSIENT), (301, HUMAN)])
def test_a_webhook_may_be_down_for_five_minutes(age: float, expected: Severity) -> None:
    """Then somebody should look."""
    down = refused('failed calling webhook "w.example": connection refused', age)
    assert verdict(replica_sets=[down]) == ("ADMISSION_DOWN", expected)


@pytest.mark.parametrize(
    ("ran", "state", "expected"),
    [
        (1, {}, FATAL),
        (601, {}, TRANSIENT),  # it worked for a while
        (1, {"running": {"startedAt": objects.ago(1)}}, TRANSIENT),  # this try may be the one that stays
    ],
)
def test_crashes_count_when_the_last_try_has_failed_soon(ran: float, state: dict[str, Any], expected: Severity) -> None:
    """Four ends in three weeks are no loop."""
    pod = objects.crashed("p1", restarts=4)
    status = pod["status"]["containerStatuses"][0]
    status["lastState"]["terminated"]["startedAt"] = objects.ago(3 + ran)
    status["state"] = state or status["state"]
    assert verdict(pod) == ("CRASH_LOOP", expected)


@pytest.mark.parametrize(
    ("code", "log", "severity", "because"),
    [
        (101, "ERROR missing field `vk`", FATAL, "configuration or keys"),
        (101, "thread 'main' panicked at 'x'", FATAL, "it panicked"),
        (1, "ERROR tcp connect error: Connection refused (os error 111)", HUMAN, "coordinator does not answer"),
        (0, "", FATAL, "ended by itself"),
    ],
)
def test_a_crash_says_whose_fault_it_is(code: int, log: str, severity: Severity, because: str) -> None:
    """A coordinator that is away is not the client's fault, and heals."""
    found = findings(objects.crashed("p1", restarts=3, code=code, log=log))[0]
    assert (found.code, found.severity) == ("CRASH_LOOP", severity)
    assert because in found.because


def test_a_crash_says_what_this_release_changed() -> None:
    """Against the ReplicaSet of the release before."""
    found = findings(objects.crashed("p1", restarts=3, log="panic: x"))[0]
    assert found.because.endswith("differs from the release before in image")


def test_a_log_speaks_where_the_status_has_no_words() -> None:
    """Its end, on one line."""
    found = findings(objects.crashed("p1", restarts=3), logs={"p1": "INFO begin\nERROR missing file mon.key\n"})[0]
    assert (found.evidence, found.because.partition(";")[0]) == (
        "INFO begin ERROR missing file mon.key",
        "it cannot use its configuration or keys",
    )
