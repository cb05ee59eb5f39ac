"""The activities of one cluster: refused before anything is written, idempotent, and only ever touching our own."""

import pytest

from domain import names
from domain.errors import (
    Forbidden,
    ObjectRejected,
    OwnedByAnother,
    Refused,
    SettingsInvalid,
    WrongCluster,
)
from domain.kubernetes import Right
from domain.messages.nodes import NodesRequest
from domain.spec import Endpoint
from tests.support.kubernetes.activities import NS, OWNER, Room, make_spec, with_login


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


def test_an_object_that_would_be_refused_is_told_before_anything_is_built(room: Room) -> None:
    """By dry-run; what the deploy would make anew, for its address family is immutable, is no refusal."""
    room.apply()
    room.cluster.writes.clear()
    room.inspect(make_spec(coordinator=Endpoint(ip="fd00::9")))
    room.cluster.refusing = {"Deployment": ObjectRejected("selector is immutable", code="IMMUTABLE_FIELD")}
    with pytest.raises(ObjectRejected, match="IMMUTABLE_FIELD"):
        room.inspect()
    silent = ObjectRejected("no", evidence="admission webhook x does not support dry run")
    room.cluster.refusing = {"Deployment": silent}
    room.inspect()
    assert room.cluster.writes == []


def test_the_way_is_made_before_the_clients(room: Room) -> None:
    """Service and slice alone; a new Service takes time to reach the nodes, one that is there does not."""
    first, second = room.apply_service(), room.apply_service()
    assert (first.settle, second.settle, second.changed) == (5.0, 0.0, False)
    assert room.cluster.writes == ["apply Service/cluster-coordinator", "apply EndpointSlice/cluster-coordinator"]


def test_the_way_makes_the_namespace_too(room: Room) -> None:
    """It is the first that is written on a first deploy."""
    room.cluster.drop("Namespace", NS, "")
    room.apply_service()
    assert "Service/cluster-coordinator" in room.cluster.names(NS)


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


OVERRIDDEN = {"coordinator_serv": "http://elsewhere"}


def test_an_upstream_of_ones_own_keeps_the_slice(room: Room) -> None:
    """The slice is of COORDINATOR_EP, whatever COORDINATOR_SERV says."""
    room.apply(make_spec(**OVERRIDDEN))
    assert ("EndpointSlice", NS, names.COORDINATOR_SERVICE) in room.cluster.objects


@pytest.mark.parametrize("verbs", [["patch"], ["get", "patch"]])
def test_forbidden_slices_are_skipped_where_clients_do_without(room: Room, verbs: list[str]) -> None:
    """With COORDINATOR_SERV that is a warning; with one that names our own Service, or none, it is refused."""
    room.cluster.forbidden = {(verb, "EndpointSlice") for verb in verbs}
    applied = room.apply(make_spec(**OVERRIDDEN))
    assert "EndpointSlice cluster-coordinator was left out" in "".join(applied.warnings)
    assert ("EndpointSlice", NS, names.COORDINATOR_SERVICE) not in room.cluster.objects
    for serv in ("", f"http://cluster-coordinator.{NS}"):
        with pytest.raises(Forbidden):
            room.apply(make_spec(coordinator_serv=serv))


def test_lacking_rights_on_slices_name_both_ways_out(room: Room) -> None:
    """The rights, or COORDINATOR_SERV, under which they are not needed."""
    room.cluster.lacking = [Right(verb="patch", resource="endpointslices", group="discovery.k8s.io")]
    with pytest.raises(Forbidden, match=r"proverctl rbac .*or set COORDINATOR_SERV to a URL"):
        room.inspect()


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
