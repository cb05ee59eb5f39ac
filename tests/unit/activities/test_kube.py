"""The activities of one cluster: refused before anything is written, idempotent, and only ever touching our own."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.kube import KubeActivities
from clients.credentials import RegistryLogin
from domain import names
from domain.diagnosis import Severity
from domain.errors import (
    Forbidden,
    ObjectRejected,
    OwnedByAnother,
    Refused,
    SettingsInvalid,
    Unavailable,
    WrongCluster,
)
from domain.ports import Manifest
from domain.rights import Right
from domain.spec import ClusterSpec, Endpoint, ImageTarget, SecretRef
from domain.status import Release
from domain.steps import ApplyRequest, NodesRequest, RolloutRequest, TargetRequest
from tests.unit.activities.fake_cluster import FakeCluster

NS = "provers"
ID = names.deployment_id("default", NS)
OWNER = f"temporal/default/{ID}"
IMAGE = f"registry:5000/prover:client-abc@sha256:{'a' * 64}"


class FakeSecrets:
    """Gives one login to every reference."""

    def login(self, ref: SecretRef | None, host: str) -> RegistryLogin | None:  # noqa: ARG002 - one for all hosts
        """Anonymous without a reference."""
        return RegistryLogin("user", "hunter2") if ref else None


def make_spec(**changes: Any) -> ClusterSpec:
    """A spec of two clients."""
    image = ImageTarget(repository="prover", push_host="registry:5000", pull_host="registry:5000")
    return ClusterSpec(namespace=NS, coordinator=Endpoint(ip="10.0.0.9"), image=image).model_copy(update=changes)


def with_login(spec: ClusterSpec) -> ClusterSpec:
    """The same with credentials for pulling."""
    image = spec.image.model_copy(update={"pull_auth": SecretRef(ref="env:IMAGE_AUTH")})
    return spec.model_copy(update={"image": image})


class Room:
    """Activities over a fake cluster that has the namespace, and calls to them."""

    def __init__(self) -> None:
        self.cluster = FakeCluster()
        self.cluster.put("Namespace", NS)
        self.activities = KubeActivities({"default": self.cluster}, FakeSecrets(), "temporal/default")
        self.beats: list[str] = []

    def run(self, activity: Callable[[Any], Any], request: Any) -> Any:
        """As the worker runs it."""
        environment = ActivityEnvironment()
        environment.on_heartbeat = lambda *details: self.beats.append(str(details[0]))
        return environment.run(activity, request)

    def inspect(self, spec: ClusterSpec | None = None, uid: str = "") -> Any:
        """inspect_target."""
        request = TargetRequest(spec=spec or make_spec(), deployment_id=ID, cluster_uid=uid)
        return self.run(self.activities.inspect_target, request)

    def apply(self, spec: ClusterSpec | None = None, uid: str = "uid-1@ca-1", stage: str = "abc") -> Any:
        """apply_release."""
        release = Release(stage=stage, image=IMAGE)
        spec = spec or make_spec()
        request = ApplyRequest(spec=spec, release=release, deployment_id=ID, cluster_uid=uid, image_user="1000")
        return self.run(self.activities.apply_release, request)

    def remove(self, spec: ClusterSpec | None = None) -> Any:
        """remove_release."""
        request = TargetRequest(spec=spec or make_spec(), deployment_id=ID, cluster_uid="uid-1@ca-1")
        return self.run(self.activities.remove_release, request)

    def await_rollout(self, replicas: int = 0) -> Any:
        """await_rollout of a release with this many clients."""
        release = Release(stage="abc", image=IMAGE)
        request = RolloutRequest(spec=make_spec(), release=release, generation=1, replicas=replicas)
        self.beats.clear()
        return self.run(self.activities.await_rollout, request)


@pytest.fixture
def room() -> Room:
    """A fresh cluster."""
    return Room()


def test_an_empty_namespace_is_free(room: Room) -> None:
    """The fence comes back with it, and nothing was written."""
    target = room.inspect()
    assert (target.cluster_uid, target.namespace_exists, target.deployed) == ("uid-1@ca-1", True, False)
    assert room.cluster.writes == []


def test_a_foreign_deployment_of_our_name_is_refused(room: Room) -> None:
    """Exit 3, and it stays as it was."""
    room.cluster.put("Deployment", names.DEPLOYMENT, NS, spec={})
    with pytest.raises(OwnedByAnother):
        room.inspect()
    with pytest.raises(OwnedByAnother):
        room.apply()
    assert room.cluster.writes == []


def test_another_cluster_behind_the_context_is_refused(room: Room) -> None:
    """The fence holds for inspection, apply and removal."""
    with pytest.raises(WrongCluster, match="uid-9@ca-1"):
        room.inspect(uid="uid-9@ca-1")
    with pytest.raises(WrongCluster):
        room.apply(uid="uid-9@ca-1")
    assert room.cluster.writes == []


def test_a_fence_survives_a_change_of_rights(room: Room) -> None:
    """With the UID unreadable on one side the CA decides."""
    assert room.inspect(uid="@ca-1").cluster_uid == "uid-1@ca-1"
    room.cluster.fence = "@ca-2"
    with pytest.raises(WrongCluster):
        room.inspect(uid="uid-1@ca-1")


def test_missing_rights_are_named_all_at_once(room: Room) -> None:
    """Before anything is written, with the command that prints the Role."""
    room.cluster.lacking = [
        Right(verb="patch", resource="deployments", group="apps"),
        Right(verb="delete", resource="services"),
    ]
    with pytest.raises(Forbidden) as caught:
        room.inspect()
    text = str(caught.value)
    assert ("patch deployments.apps" in text, "delete services" in text) == (True, True)
    assert caught.value.diagnosis.do.endswith(f"proverctl rbac -n {NS}")


def test_an_absent_namespace_that_may_not_be_created_is_refused(room: Room) -> None:
    """Exit 3 with both commands that help."""
    del room.cluster.objects["Namespace", "", NS]
    room.cluster.lacking = [Right(verb="create", resource="namespaces")]
    with pytest.raises(Refused, match=f"NAMESPACE_MISSING.*kubectl create namespace {NS}"):
        room.inspect()


def test_an_absent_namespace_that_may_not_be_read_shows_by_a_trial(room: Room) -> None:
    """A dry run of an object of ours tells, and writes nothing."""
    del room.cluster.objects["Namespace", "", NS]
    room.cluster.forbidden = {("get", "Namespace")}
    with pytest.raises(Refused, match="NAMESPACE_MISSING"):
        room.inspect()
    assert room.cluster.writes == []


def test_an_unreadable_namespace_is_no_failure(room: Room) -> None:
    """R2: the verdict is unknown, with a warning."""
    room.cluster.forbidden = {("get", "Namespace")}
    assert len(room.inspect().warnings) == 1


def test_apply_writes_everything_once(room: Room) -> None:
    """In dependency order, the Deployment last but for the mark; a second pass changes nothing."""
    first = room.apply(with_login(make_spec()))
    assert room.cluster.writes == [
        "apply Secret/img-cred",
        "apply ConfigMap/cluster-conf",
        "apply Service/cluster-coordinator",
        "apply EndpointSlice/cluster-coordinator",
        "apply PodDisruptionBudget/prover-cli-t",
        "apply Deployment/prover-cli-t",
        f"apply Namespace/{NS}",
    ]
    second = room.apply(with_login(make_spec()))
    assert (first.changed, second.changed, len(room.cluster.writes)) == (True, False, 7)
    assert first.generation == second.generation == 1
    assert room.cluster.objects["Namespace", "", NS]["metadata"]["annotations"] == {
        names.STAGE_ANNOTATION: "abc",
        names.OWNER_ANNOTATION: OWNER,
    }


def test_apply_creates_the_namespace(room: Room) -> None:
    """R7, when allowed."""
    del room.cluster.objects["Namespace", "", NS]
    room.apply()
    assert room.cluster.writes[0] == f"apply Namespace/{NS}"


def test_apply_without_the_right_to_annotate_warns(room: Room) -> None:
    """R2: never a failure; our objects carry the mark."""
    room.cluster.forbidden = {("patch", "Namespace")}
    applied = room.apply()
    assert [warning for warning in applied.warnings if "not annotated" in warning] != []
    assert (NS, names.DEPLOYMENT) in {(where, name) for _, where, name in room.cluster.objects}


def test_an_anonymous_registry_means_no_secret(room: Room) -> None:
    """And one of ours that is no longer wanted goes; a stranger's would be refused."""
    room.apply(with_login(make_spec()))
    room.apply(make_spec())
    assert ("Secret", NS, names.PULL_SECRET) not in room.cluster.objects
    assert room.cluster.writes[-1] == "delete Secret/img-cred"


def test_no_right_on_secrets_is_needed_for_an_anonymous_registry(room: Room) -> None:
    """The least rights."""
    room.cluster.forbidden = {("get", "Secret"), ("get", "Endpoints")}
    room.cluster.lacking = [Right(verb="get", resource="secrets")]
    room.inspect()
    assert room.apply().changed is True


def test_a_coordinator_of_the_other_family_recreates_slice_and_service(room: Room) -> None:
    """Both fields are immutable."""
    room.apply()
    room.cluster.writes.clear()
    room.apply(make_spec(coordinator=Endpoint(ip="fd00::9")))
    assert [entry for entry in room.cluster.writes if "coordinator" in entry] == [
        "delete Service/cluster-coordinator",
        "apply Service/cluster-coordinator",
        "delete EndpointSlice/cluster-coordinator",
        "apply EndpointSlice/cluster-coordinator",
    ]


def test_an_upstream_of_ones_own_takes_the_slice_away(room: Room) -> None:
    """With COORDINATOR_SERV nothing routes through the Service."""
    room.apply()
    room.apply(make_spec(coordinator_serv="http://elsewhere"))
    assert ("EndpointSlice", NS, names.COORDINATOR_SERVICE) not in room.cluster.objects


def test_old_endpoints_beside_our_slice_are_removed(room: Room) -> None:
    """Else its mirrored slice would go on routing to the old coordinator; without a Service of ours it is foreign."""
    room.cluster.put("Endpoints", names.COORDINATOR_SERVICE, NS)
    with pytest.raises(OwnedByAnother):
        room.apply()
    room.cluster.drop("Endpoints", names.COORDINATOR_SERVICE, NS)
    room.apply()
    room.cluster.put("Endpoints", names.COORDINATOR_SERVICE, NS)
    room.inspect()
    room.apply()
    assert ("Endpoints", NS, names.COORDINATOR_SERVICE) not in room.cluster.objects


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


def test_a_rollout_is_awaited_until_complete(room: Room) -> None:
    """Zero clients are legal, and done when the controller has seen it."""
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
    room.cluster.steps = [lambda: None, lambda: _finish(deployment)]
    seen = room.await_rollout()
    assert (seen.complete, room.cluster.steps) == (True, [])
    assert room.beats[0].startswith("0 of 0 clients ready")


def test_an_api_outage_does_not_fail_the_wait(room: Room) -> None:
    """CONTROL_PLANE_DOWN: the rollout goes on without us, so the wait does too."""
    room.apply(make_spec(replicas=0))
    room.cluster.failing = [Unavailable("down", because="the connection broke")]
    room.cluster.steps = [partial(room.cluster.drop, "Deployment", names.DEPLOYMENT, NS)]
    seen = room.await_rollout()
    assert room.beats[0] == "waiting for the Kubernetes API: the connection broke"
    assert seen.exists is False


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


def test_nodes_without_the_right_to_read_pods(room: Room) -> None:
    """R2: the booking by other namespaces is unknown, not a failure."""
    room.cluster.put("Node", "n1", labels={"fluidexnode": "computation"}, spec={}, status={})
    room.cluster.forbidden = {("list", "Pod")}
    report = room.run(room.activities.check_nodes, NodesRequest(spec=make_spec(), replicas=1))
    assert (report.wanted, len(report.nodes), len(report.warnings) > 0) == (1, 1, True)


def test_an_unknown_cluster_names_the_setting(room: Room) -> None:
    """A worker that does not serve this cluster says which it knows."""
    with pytest.raises(SettingsInvalid, match=r"CLUSTER=other.*it knows default.*KUBE_CONTEXTS"):
        room.inspect(make_spec(cluster="other"))


def test_a_refused_object_passes_through(room: Room) -> None:
    """Its own code reaches the workflow."""
    room.apply()
    del room.cluster.objects["Namespace", "", NS]
    room.cluster.forbidden = {("get", "Namespace")}
    with pytest.raises((Refused, ObjectRejected), match="NAMESPACE_MISSING"):
        room.apply()
