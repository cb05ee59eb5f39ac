"""Removal and the wait for a rollout: only our own, until the last pod, and never for ever without a word."""

from functools import partial
from typing import Any

import pytest

from activities.release.rollout import Rollout
from domain import names
from domain.diagnosis import Severity
from domain.errors import Unavailable
from domain.kubernetes import Manifest
from domain.messages.release import RolloutRequest
from domain.status import Observation, Release
from tests.support.kubernetes.activities import IMAGE, NS, Room, make_spec, with_login
from tests.support.kubernetes.fake_cluster import FakeCluster


@pytest.fixture
def room() -> Room:
    """A fresh cluster."""
    return Room()


def test_removal_takes_ours_and_leaves_the_rest(room: Room) -> None:
    """Nothing of ours is left; what others made stays, and is said."""
    room.cluster.put("ConfigMap", "theirs", NS)
    before = room.cluster.names(NS)
    room.apply(with_login(make_spec()))
    room.cluster.put("ConfigMap", names.HISTORY_CONFIG_MAP, NS)
    removed = room.remove()
    assert room.cluster.names(NS) == before | {f"ConfigMap/{names.HISTORY_CONFIG_MAP}"}
    assert removed.objects[0] == "Deployment/prover-cli-t"
    assert [names.HISTORY_CONFIG_MAP in warning for warning in removed.warnings] == [True]
    assert "annotations" not in room.cluster.objects["Namespace", "", NS]["metadata"]


def test_removal_twice_is_fine(room: Room) -> None:
    """A second worker finds nothing left to do."""
    room.apply()
    room.remove()
    room.cluster.writes.clear()
    assert (room.remove().objects, room.cluster.writes) == ([], [])


def test_removal_waits_for_the_last_pod(room: Room) -> None:
    """And says what it waits for."""
    room.apply()
    owners = [{"kind": "ReplicaSet", "name": "prover-cli-t-5", "uid": "rs", "controller": True}]
    room.cluster.put("Pod", "prover-cli-t-5-a", NS, ownerReferences=owners)
    room.cluster.steps = [lambda: None, partial(room.cluster.drop, "Pod", "prover-cli-t-5-a", NS)]
    room.remove()
    assert room.beats[-1] == "waiting until 1 are gone: Pod/prover-cli-t-5-a"
    assert room.cluster.steps == []


def test_a_pod_that_never_ends_is_named(room: Room) -> None:
    """Its finalizer or its node holds it; we go on trying."""
    room.apply()
    owners = [{"kind": "ReplicaSet", "name": "prover-cli-t-5", "uid": "rs", "controller": True}]
    room.cluster.put(
        "Pod", "p", NS, ownerReferences=owners, deletionTimestamp="2020-01-01T00:00:00Z", spec={"nodeName": "n"}
    )
    with pytest.raises(Unavailable, match=r"TERMINATING_STUCK.*on Pod p on node n"):
        room.remove()


def test_removal_of_a_namespace_that_is_gone(room: Room) -> None:
    """It is not created again for the sake of its annotations."""
    room.apply()
    room.cluster.objects.clear()
    room.remove()
    assert room.cluster.objects == {}


def _finish(deployment: Manifest) -> None:
    deployment["status"] = {"observedGeneration": deployment["metadata"]["generation"], "replicas": 0}


def _controlled(room: Room) -> Manifest:
    """A Deployment of no clients with its ReplicaSet; the live object."""
    room.apply(make_spec(replicas=0))
    deployment = room.cluster.objects["Deployment", NS, names.DEPLOYMENT]
    deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "1"
    owner = [{"kind": "Deployment", "name": names.DEPLOYMENT, "uid": deployment["metadata"]["uid"], "controller": True}]
    room.cluster.put(
        "ReplicaSet",
        "prover-cli-t-5",
        NS,
        annotations={"deployment.kubernetes.io/revision": "1"},
        ownerReferences=owner,
        spec={"replicas": 0, "template": deployment["spec"]["template"]},
    )
    return deployment


def test_a_rollout_is_awaited_until_complete(room: Room) -> None:
    """Zero clients are legal, and done when the controller has seen it."""
    deployment = _controlled(room)
    room.cluster.steps = [lambda: None, lambda: _finish(deployment)]
    seen = room.await_rollout()
    assert (seen.complete, room.cluster.steps) == (True, [])
    assert room.beats[0].startswith("0 of 0 clients ready")


def test_another_number_of_clients_than_applied_is_drift(room: Room) -> None:
    """Complete for somebody else is not complete for us."""
    _finish(_controlled(room))
    seen = room.await_rollout(replicas=2)
    assert seen.diagnosis is not None
    assert (seen.complete, seen.diagnosis.code) == (False, "DRIFT")
    assert "wants 0 clients, and we applied 2" in seen.diagnosis.what


def test_an_api_outage_does_not_fail_the_wait(room: Room) -> None:
    """CONTROL_PLANE_DOWN: the rollout goes on without us, so the wait does too."""
    room.apply(make_spec(replicas=0))
    room.cluster.failing = [Unavailable("down", because="the connection broke")] * 2  # the watch, and asked why
    room.cluster.steps = [partial(room.cluster.drop, "Deployment", names.DEPLOYMENT, NS)]
    seen = room.await_rollout()
    assert room.beats[0] == "waiting for the Kubernetes API: the connection broke"
    assert seen.exists is False


def test_an_api_server_that_stays_away_ends_the_wait() -> None:
    """With its own reason, so that the history says it; the retry policy goes on from there."""
    room = Room()
    room.cluster.failing = [Unavailable("down", because="the connection broke")] * 6
    room.cluster.steps = [lambda: None] * 5
    request = RolloutRequest(spec=make_spec(), release=Release(stage="abc", image=IMAGE), generation=1, replicas=0)
    minutes = iter(range(0, 3600, 40))
    waiting = Rollout(room.cluster, request, room.beats.append, clock=lambda: next(minutes))
    with pytest.raises(Unavailable, match="the connection broke"):
        waiting.run(lambda: False)


def test_while_a_person_is_asked_only_the_end_ends_the_wait(room: Room) -> None:
    """What a person has to mend may mend itself: a patient wait sees it complete."""
    deployment = _controlled(room)
    room.cluster.drop("Deployment", names.DEPLOYMENT, NS)
    put_back = partial(room.cluster.objects.__setitem__, ("Deployment", NS, names.DEPLOYMENT), deployment)
    room.cluster.steps = [lambda: None, put_back, lambda: _finish(deployment)]
    seen = room.await_rollout(patient=True)
    assert (seen.complete, room.cluster.steps) == (True, [])


def test_a_deployment_that_somebody_deleted_ends_the_wait(room: Room) -> None:
    """A person has to decide; nothing is created behind their back."""
    seen = room.await_rollout()
    assert seen.diagnosis is not None
    assert (seen.diagnosis.code, seen.diagnosis.severity) == ("DELETED", Severity.NEEDS_HUMAN)


def test_a_worker_that_stops_hands_the_wait_over(room: Room) -> None:
    """The unfinished wait is no result."""
    room.apply()
    with pytest.raises(Unavailable, match="WORKER_STOPPING"):
        room.await_rollout(replicas=2)


def _pending(room: Room) -> None:
    """A client that no node takes."""
    deployment = _controlled(room)
    _finish(deployment)
    deployment["spec"]["replicas"] = 1
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    message = "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."
    owner = room.cluster.objects["ReplicaSet", NS, "prover-cli-t-5"]["metadata"]["uid"]
    room.cluster.put(
        "Pod",
        "prover-cli-t-5-a",
        NS,
        labels={"app": "client", "stage": "abc"},
        ownerReferences=[{"kind": "ReplicaSet", "name": "prover-cli-t-5", "uid": owner, "controller": True}],
        spec={"containers": [{"name": "client"}]},
        status={"phase": "Pending", "conditions": [unschedulable | {"message": message}]},
    )


class Reading(FakeCluster):
    """Counts how often nodes are read."""

    reads = 0

    def find(self, kind: str, namespace: str = "", **chosen: Any) -> list[Manifest]:
        """As any other."""
        self.reads += kind == "Node"
        return super().find(kind, namespace, **chosen)


def test_what_explains_a_trouble_is_read_seldom() -> None:
    """However often something changes: nodes are many, and every rollout in trouble would list them."""
    cluster = Reading()
    room = Room(cluster)
    _pending(room)
    now = 0.0

    def later() -> None:
        nonlocal now
        now += 0.5

    gone = partial(room.cluster.drop, "Deployment", names.DEPLOYMENT, NS)
    room.cluster.steps = [*[later] * 9, gone]
    request = RolloutRequest(spec=make_spec(), release=Release(stage="abc", image=IMAGE), generation=1, replicas=1)
    seen = Rollout(room.cluster, request, room.beats.append, clock=lambda: now).run(lambda: False)
    assert seen.exists is False
    assert len([beat for beat in room.beats if "SCHED_" in beat]) == 10
    assert cluster.reads == 3  # at 0, 2 and 4 seconds


def _running(room: Room, log: str) -> None:
    """One client of the release that runs and said this."""
    deployment = _controlled(room)
    room.apply(make_spec(replicas=1))
    deployment = room.cluster.objects["Deployment", NS, names.DEPLOYMENT]
    deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "1"
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 1)
    deployment["status"] = {"observedGeneration": deployment["metadata"]["generation"], **counts}
    template = deployment["spec"]["template"]
    found = room.cluster.objects["ReplicaSet", NS, "prover-cli-t-5"]
    found["spec"]["template"] = template
    found["metadata"]["ownerReferences"][0]["uid"] = deployment["metadata"]["uid"]
    room.cluster.put(
        "Pod",
        "p1",
        NS,
        labels=template["metadata"]["labels"],
        ownerReferences=[{"controller": True, "uid": found["metadata"]["uid"]}],
        spec=template["spec"],
        status={"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
    )
    room.cluster.said = {"p1": log}


def _rolled_out(room: Room, *, trial: bool) -> Observation:
    request = RolloutRequest(
        spec=make_spec(replicas=1), release=Release(stage="abc", image=IMAGE), generation=1, replicas=1, trial=trial
    )
    seen: Observation = room.run(room.activities.await_rollout, request)
    return seen


FAILING = "\n".join(f"ERROR watch: witness task(task_{number}) error open witness.wtns" for number in range(3))
AWAY = "ERROR poll task error tcp connect error: Connection refused (os error 111)"


@pytest.mark.parametrize(
    ("log", "trial", "complete", "code"),
    [
        (FAILING, True, False, "TASKS_FAIL"),
        (FAILING, False, True, "TASKS_FAIL"),
        (AWAY, True, True, "COORDINATOR_DOWN"),
        ("INFO polling task", True, True, None),
    ],
)
def test_clients_that_run_are_heard_before_the_wait_ends(
    room: Room, log: str, trial: bool, complete: bool, code: str | None
) -> None:
    """What they say stands beside a complete rollout; a new release that fails every task is none."""
    _running(room, log)
    seen = _rolled_out(room, trial=trial)
    assert (seen.complete, seen.diagnosis.code if seen.diagnosis else None) == (complete, code)
