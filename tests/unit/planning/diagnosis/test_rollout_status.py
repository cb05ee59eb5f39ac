"""A rollout is complete only when the wanted release fully runs and no older pod exists."""

from typing import Any

import pytest

from domain.diagnosis import Diagnosis, Severity
from domain.kubernetes import Manifest, Snapshot
from domain.status import Observation, Pod
from planning.diagnosis import rollout_status
from tests.support.kubernetes import objects


def observe(
    deployment: Manifest | None, pods: list[Manifest], *, sets: list[Manifest] | None = None, **wanted: str
) -> Observation:
    """Observe the release `abc` with both ReplicaSets there."""
    found = [objects.replica_set(), objects.old_replica_set()] if sets is None else sets
    names = {"app": "client", "stage": "abc", "image": objects.IMAGE} | wanted
    snapshot = Snapshot(now=objects.NOW, deployment=deployment, replica_sets=found, pods=pods)
    return rollout_status.observe(snapshot, app=names["app"], stage=names["stage"], image=names["image"])


TWO = [objects.pod("p1"), objects.pod("p2")]


def test_finished_rollout_is_complete() -> None:
    """All counts agree, every pod is of the release and Ready."""
    seen = observe(objects.deployment(), TWO)
    assert (seen.exists, seen.wanted, seen.updated, seen.ready, seen.available) == (True, 2, 2, 2, 2)
    assert seen.complete
    assert seen.diagnosis is None
    assert [(pod.name, pod.node, pod.ready, pod.stage, pod.state) for pod in seen.pods] == [
        ("p1", "node-p1", True, "abc", "Running"),
        ("p2", "node-p2", True, "abc", "Running"),
    ]


OLD = objects.pod("old", owner="prover-cli-t-old")
INCOMPLETE: dict[str, tuple[Manifest, list[Manifest]]] = {
    "the controller has not seen the change": (objects.deployment(observedGeneration=2), TWO),
    "a pod is missing": (objects.deployment(), TWO[:1]),
    "an older pod is there": (objects.deployment(), [*TWO, OLD]),
    "an older pod is still going": (objects.deployment(), [*TWO, objects.leaving(OLD)]),
    "a pod of this release is going": (objects.deployment(), [*TWO, objects.leaving(objects.pod("p3"))]),
    "not all are updated": (objects.deployment(updatedReplicas=1), TWO),
    "not all are available": (objects.deployment(availableReplicas=1), TWO),
    "the controller still counts an older pod": (objects.deployment(replicas=2) | {}, TWO),
    "a pod is not ready": (objects.deployment(), [TWO[0], objects.waiting("p2")]),
    "the Deployment is being deleted": (objects.leaving(objects.deployment()), TWO),
}
INCOMPLETE["the controller still counts an older pod"][0]["status"]["replicas"] = 3


@pytest.mark.parametrize("case", INCOMPLETE)
def test_unfinished_rollout_is_not_complete(case: str) -> None:
    """Each single thing that is missing keeps the rollout open."""
    deployment, pods = INCOMPLETE[case]
    assert not observe(deployment, pods).complete


def test_another_image_is_not_our_release() -> None:
    """A Deployment that somebody changed runs well, but not what was asked for: no pod counts as ready."""
    seen = observe(objects.deployment(), TWO, image=objects.OLD_IMAGE)
    assert (seen.complete, seen.ready, seen.updated) == (False, 0, 0)


def test_same_release_with_another_configuration_rolls_too() -> None:
    """Stage and image alone do not tell two ReplicaSets apart: only the newest one's pods count."""
    earlier = objects.replica_set("prover-cli-t-earlier", revision="1")
    pods = [objects.pod("p1", owner="prover-cli-t-earlier"), objects.pod("p2")]
    seen = observe(objects.deployment(), pods, sets=[objects.replica_set(), earlier])
    assert (seen.complete, seen.ready) == (False, 1)


def test_ready_counts_the_wanted_release_only() -> None:
    """During an upgrade older pods serve, but are not the wanted ones."""
    seen = observe(objects.deployment(updatedReplicas=1), [OLD, objects.pod("p1")])
    assert (seen.ready, seen.updated, seen.available) == (1, 1, 2)


def test_zero_replicas_are_complete_when_all_are_gone() -> None:
    """Scaling to none ends with no pod at all."""
    assert observe(objects.deployment(0), []).complete
    assert not observe(objects.deployment(0), [objects.leaving(objects.pod("p1"))]).complete


def test_ended_pods_do_not_hold_a_rollout_up() -> None:
    """An evicted pod is kept for reading and runs no client."""
    evicted = objects.pod("gone", owner="prover-cli-t-old", phase="Failed", reason="Evicted", containerStatuses=[])
    seen = observe(objects.deployment(), [*TWO, evicted])
    assert seen.complete
    assert seen.pods[0].state == "Evicted"


def test_a_pod_that_ended_and_is_being_deleted_is_gone() -> None:
    """Nothing runs of it; what the API server still holds is paperwork."""
    ending = objects.leaving(objects.pod("p1", phase="Succeeded", conditions=[], containerStatuses=[]))
    seen = observe(objects.deployment(0), [ending])
    assert (seen.complete, seen.pods) == (True, [])


def test_missing_deployment() -> None:
    """Without the Deployment nothing exists, and pods that are left are still shown."""
    seen = observe(None, [objects.leaving(objects.pod("p1"))])
    assert (seen.exists, seen.complete, [pod.state for pod in seen.pods]) == (False, False, ["Terminating"])


def test_pods_of_others_do_not_count() -> None:
    """Another program in the namespace is none of our pods."""
    stranger = objects.pod("x", owner="somebody")
    stranger["metadata"]["labels"] = {"app": "database"}
    assert observe(objects.deployment(), [*TWO, stranger]).complete


def test_empty_release_means_whatever_is_deployed() -> None:
    """A reader who does not know the release still sees whether the rollout is done."""
    assert observe(objects.deployment(), TWO, stage="", image="").complete


KNOWN = Observation(exists=True, wanted=1, updated=1, ready=1, available=1, complete=True, pods=[Pod(name="a")])
DIAGNOSIS = Diagnosis(code="CRASH_LOOP", what="the client ends", severity=Severity.TRANSIENT)


@pytest.mark.parametrize(
    ("change", "matters"),
    [
        ({}, False),
        ({"ready": 0}, True),
        ({"available": 0}, True),
        ({"wanted": 2}, True),
        ({"complete": False}, True),
        ({"exists": False}, True),
        ({"pods": [Pod(name="b")]}, True),
        ({"pods": [Pod(name="a", ready=True)]}, True),
        ({"pods": [Pod(name="a", restarts=4)]}, False),
        ({"diagnosis": DIAGNOSIS}, True),
    ],
)
def test_what_the_watch_reports(change: dict[str, Any], matters: bool) -> None:
    """Counts, pods and the finding matter; a restart count alone does not."""
    assert rollout_status.significant(KNOWN, KNOWN.model_copy(update=change)) is matters


def test_new_words_for_the_same_finding_do_not_matter() -> None:
    """Evidence changes all the time; the code and who has to act are what counts."""
    known = KNOWN.model_copy(update={"diagnosis": DIAGNOSIS})
    reworded = DIAGNOSIS.model_copy(update={"evidence": "again"})
    worse = DIAGNOSIS.model_copy(update={"severity": Severity.FATAL})
    assert not rollout_status.significant(known, KNOWN.model_copy(update={"diagnosis": reworded}))
    assert rollout_status.significant(known, KNOWN.model_copy(update={"diagnosis": worse}))


def test_a_large_fleet_with_one_fault_is_one_finding() -> None:
    """One pod is named, and how many have the same."""
    pods = [objects.waiting(f"p{n:04}", "ErrImagePull", "not found") for n in range(2000)]
    events = [objects.event(pod, "Failed", "Failed to pull image: not found", 2) for pod in pods]
    owner, newest = objects.deployment(2000), objects.replica_set()
    snapshot = Snapshot(deployment=owner, replica_sets=[newest], pods=pods, events=events)
    seen = rollout_status.observe(snapshot, app="client", stage="abc", image=objects.IMAGE)
    assert seen.diagnosis is not None
    assert seen.diagnosis.on == "pod fleet/p0000 (2000 of 2000 pods)"
