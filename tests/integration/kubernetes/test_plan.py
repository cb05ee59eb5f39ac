"""A plan says beforehand what a real API server makes of a deploy, and changes nothing."""

import json
from pathlib import Path

import pytest

from clients.kubernetes.cluster import KubernetesCluster
from clients.kubernetes.errors import Call
from clients.kubernetes.resources import item
from domain import names
from domain.messages.inspection import Action
from domain.spec import Endpoint
from planning.manifests.yaml_output import LAST_APPLIED
from tests.support.kubernetes.inspected_release import CANARY, Inspected, said

ALL = ("Namespace", "Secret", "ConfigMap", "Service", "EndpointSlice", "PodDisruptionBudget", "Deployment")


@pytest.fixture
def room(cluster: KubernetesCluster, world: dict[str, str], namespace: str, tmp_path: Path) -> Inspected:
    """Return an empty namespace."""
    return Inspected(cluster, world, namespace, tmp_path)


def write_as(room: Inspected, manager: str, replicas: int) -> None:
    """Another field manager takes spec.replicas."""
    room.cluster.connection.call(
        Call("scale", "the Deployment"),
        "PATCH",
        item("Deployment", names.DEPLOYMENT, room.namespace),
        query={"fieldManager": manager},
        body={"spec": {"replicas": replicas}},
        content_type="application/merge-patch+json",
    )


def test_before_the_first_deploy_everything_is_made(room: Inspected) -> None:
    """And a plan makes none of it; the namespace is there and would be marked."""
    report = room.plan()
    assert said(report) == dict.fromkeys(ALL, "create") | {"Namespace": "change"}
    assert room.cluster.find("Deployment", room.namespace) == []
    assert report.cost == "2 pods would be added, no node would pull the image."
    assert CANARY not in report.model_dump_json()


def test_of_an_unchanged_deployment_everything_is_the_same(room: Inspected) -> None:
    """Server defaults, managed fields and the controller's annotations are no difference; the digest is known."""
    room.apply()
    report = room.plan()
    assert said(report) == dict.fromkeys(ALL, "same")
    assert [line for change in report.changes for line in change.lines] == []
    assert (report.cost, report.warnings) == ("No pod would be touched and no image pulled.", [])


def test_a_changed_setting_shows_where_it_lands(room: Inspected) -> None:
    """Another coordinator: Service port, slice, nothing else; another circuit restarts the pods."""
    room.apply()
    report = room.plan(room.spec(coordinator=Endpoint(ip="10.0.0.8", port=50056)))
    assert said(report) == dict.fromkeys(ALL, "same") | {"Service": "change", "EndpointSlice": "change"}
    lines = [line for change in report.changes for line in change.lines]
    assert "+      - 10.0.0.8" in lines
    assert "-      targetPort: 50055" in lines
    circuit = room.plan(room.spec(circuit="small"))
    assert said(circuit) == dict.fromkeys(ALL, "same") | {"ConfigMap": "change", "Deployment": "change"}
    assert circuit.replaced == 2


def test_another_stage_replaces_the_pods(room: Inspected) -> None:
    """Its digest is not known before the push, and the plan says so."""
    room.apply()
    report = room.plan(stage="new")
    assert said(report)["Deployment"] == "change"
    assert report.replaced == 2
    assert report.warnings == [
        "The digest of pull.example.com:5000/prover:client-new is known only after the push: the plan compares by tag."
    ]


def test_a_conflict_names_manager_and_field(room: Inspected) -> None:
    """Somebody scaled by kubectl: a deploy would be refused, the other objects are planned all the same."""
    room.apply()
    write_as(room, "kubectl-scale", 5)
    report = room.plan()
    refused = [change for change in report.changes if change.action is Action.REFUSED]
    assert [change.kind for change in refused] == ["Deployment"]
    assert "SSA_CONFLICT" in refused[0].note
    assert "'kubectl-scale'" in refused[0].note
    assert ".spec.replicas" in refused[0].note
    assert "@@ spec @@" in refused[0].lines
    changed = [line for line in refused[0].lines if line[0] in "+-"]
    assert changed == ["-  replicas: 5", "+  replicas: 2"]


def test_an_immutable_selector_is_refused_by_name(room: Inspected) -> None:
    """CLUSTER_DEPLOYNAME is fixed after the first deploy."""
    room.apply()
    refused = {change.kind: change for change in room.plan(room.spec(deploy_name="other")).changes}["Deployment"]
    assert refused.action is Action.REFUSED
    assert "IMMUTABLE_FIELD" in refused.note
    assert "spec.selector" in refused.note
    assert "@@ spec.selector.matchLabels @@" in refused.lines
    assert "+      app: other" in refused.lines


def test_another_address_family_is_a_replacement(room: Inspected) -> None:
    """As the deploy does it: slice and Service are deleted and made anew."""
    room.apply()
    report = said(room.plan(room.spec(coordinator=Endpoint(ip="fd00::9"))))
    assert (report["EndpointSlice"], report["Service"]) == ("replace", "replace")


def test_what_this_release_has_not_is_removed(room: Inspected) -> None:
    """The Secret of a registry without credentials; the slice stays, whatever COORDINATOR_SERV says."""
    room.apply()
    spec = room.spec()
    image = spec.image.model_copy(update={"pull_auth": None})
    report = said(room.plan(room.spec(coordinator_serv="http://elsewhere", image=image)))
    assert (report["EndpointSlice"], report["Secret"]) == ("same", "remove")


def test_a_rotated_password_changes_the_secret_and_shows_nothing(room: Inspected) -> None:
    """Neither old nor new; also what kubectl remembers of it stays hidden."""
    room.apply()
    secret = room.cluster.get("Secret", names.PULL_SECRET, room.namespace)
    assert secret is not None
    old = secret["data"][".dockerconfigjson"]
    room.cluster.connection.call(
        Call("annotate", "the Secret"),
        "PATCH",
        item("Secret", names.PULL_SECRET, room.namespace),
        body={"metadata": {"annotations": {LAST_APPLIED: old}}},
        content_type="application/merge-patch+json",
    )
    room.login(f"new-{CANARY}")
    report = room.plan()
    changed = {change.kind: change for change in report.changes}["Secret"]
    assert changed.action is Action.CHANGE
    values = [line for line in changed.lines if line[0] in "+-"]
    assert values == ["-  .dockerconfigjson: '***'", "+  .dockerconfigjson: '*** (another value)'"]
    text = report.model_dump_json()
    assert CANARY not in text
    assert old not in text


def test_a_namespace_that_is_not_there_is_said(room: Inspected) -> None:
    """Nothing can be tried in it, so everything is shown as made."""
    spec = room.spec(namespace=f"{room.namespace}-absent")
    report = room.plan(spec)
    assert said(report) == dict.fromkeys(ALL, "create")
    assert any("does not exist yet" in warning for warning in report.warnings)


async def test_the_plan_of_the_command_line(room: Inspected) -> None:
    """As a difference for people, as data for programs; exit 3 when something would be refused."""
    room.apply()
    same = await room.cli("plan", "--direct")
    assert same.code == 0, same.err
    assert "= Deployment prover-cli-t: same" in same.out
    changed = await room.cli("plan", "--direct", "--replicas", "3")
    assert changed.code == 0, changed.err
    assert "    -  replicas: 2\n    +  replicas: 3" in changed.out
    assert "\x1b" not in changed.out
    write_as(room, "kubectl-scale", 5)
    refused = await room.cli("plan", "--direct", "-o", "json")
    assert refused.code == 3
    assert "Deployment prover-cli-t" in refused.err
    actions = {change["kind"]: change["action"] for change in json.loads(refused.out)["changes"]}
    assert actions["Deployment"] == "refused"
    assert CANARY not in same.out + same.err + changed.out + refused.out + refused.err
