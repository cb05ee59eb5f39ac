"""Preflights of the real world: what would stop a deploy is found before anything is changed, and nothing is left."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from temporalio.testing import ActivityEnvironment

from activities.release.activities import KubeActivities
from clients.kubernetes.cluster import APPLY_CONTENT_TYPE, KubernetesCluster, connect
from clients.kubernetes.errors import Call
from clients.kubernetes.pods import PodTrials
from clients.kubernetes.resources import item
from clients.registry.credentials import WorkerSecrets
from domain import names
from domain.errors import ApplyConflict
from domain.kubernetes import Manifest
from domain.messages.inspection import Check, CheckVerdict
from domain.messages.release import TargetRequest
from planning.kubernetes import rbac
from planning.manifests import dry_run
from planning.preflight import coordinator_probe
from tests.support.command_line import Cli
from tests.support.kubernetes.preflight import Room
from tests.support.kubernetes.service_accounts import account_kubeconfig, limited_account, until

OK, WARNING, UNKNOWN, FAILED = CheckVerdict.OK, CheckVerdict.WARNING, CheckVerdict.UNKNOWN, CheckVerdict.FAILED


@pytest.fixture
def room(world: dict[str, str], cluster: KubernetesCluster, tmp_path: Path) -> Iterator[Room]:
    """Return a namespace of its own, read by an administrator."""
    made = Room(world, cluster, tmp_path)
    try:
        made.prepare()
        yield made
    finally:
        made.close()


def verdicts(checks: list[Check]) -> dict[str, CheckVerdict]:
    """Those that are not ok; the nodes are everybody's, so what others do with them is no matter here."""
    return {check.name: check.verdict for check in checks if check.verdict is not OK and check.name != "nodes"}


def limited(room: Room, rules: list[Manifest], folder: Path) -> KubernetesCluster:
    """Return the cluster with these rights in the namespace alone."""
    limited_account(room.cluster, room.name, rules)
    return connect("default", {}, account_kubeconfig(room.cluster, room.world, room.name, "limited", folder))


@pytest.mark.asyncio(loop_scope="module")
async def test_a_healthy_world_is_ok_and_stays_as_it_was(cli: Cli, room: Room) -> None:
    """By the CLI, its workflow and a worker: every check, a node's word on the coordinator too; and nothing is left."""
    before = room.contents()
    spec = room.spec()
    place = ["-n", room.name, "--image-repo", spec.image.repository, "--port", str(room.port), "--replicas", "0"]
    place += ["--client-cpu", "10m", "--client-memory", "16Mi", "--base-image", spec.backend.base_image]
    here = {key: value for key, value in room.world.items() if not key.startswith(("WORLD_", "TEMPORAL_"))}
    environ = here | {"BACKEND_REPO": str(room.repo), "PROVER_STATE_DIR": str(cli.directory / "state")}
    with room.base_image("USER 65532"):
        done = await cli("preflight", "--probe", "--inline", "-o", "json", *place, **environ)
    assert done.code == 0, done.out + done.err
    checks = {check["name"]: check for check in json.loads(done.out)["checks"]}
    nodes = checks.pop("nodes")  # everybody's: others may be at them
    assert nodes["verdict"] != "failed", nodes
    assert {name: check["detail"] for name, check in checks.items() if check["verdict"] != "ok"} == {}
    assert len(checks) == 21
    assert "prover-kube.default" in checks["Temporal"]["detail"]
    assert "reaches the coordinator" in checks["probe"]["detail"]
    assert room.contents_after(before) == before
    assert room.pushed_to()
    assert room.uploads() == []


@pytest.mark.asyncio(loop_scope="module")
async def test_a_failed_check_is_exit_3_with_its_remedy(cli: Cli, room: Room) -> None:
    """The table on stdout, the sum and the remedies on stderr; a probe without an image is exit 2."""
    room.listening.close()
    place = ["-n", room.name, "--port", str(room.port), "--replicas", "0", "--image-repo", f"{room.name}/prover"]
    here = {key: value for key, value in room.world.items() if not key.startswith(("WORLD_", "TEMPORAL_"))}
    environ = here | {"BACKEND_REPO": str(room.repo), "PROVER_STATE_DIR": str(cli.directory / "state")}
    done = await cli("preflight", "--inline", "--base-image", "nobody/has-this", *place, **environ)
    assert done.code == 3
    assert "✗ FAILED" in done.out
    assert "2 checks failed; nothing was changed" in done.err
    assert "base image: build it" in done.err
    assert "coordinator: start the coordinator" in done.err
    done = await cli("preflight", "--probe", *place, **environ | {"PROBE_IMAGE": ""})
    assert (done.code, "PROBE_IMAGE is not set" in done.err) == (2, True)


def test_a_wrong_password_fails_both_ways(room: Room) -> None:
    """The registry's own word, without the password; nothing was begun there."""
    report = room.on_host(IMAGE_AUTH_PASSWORD="canary-wrong")
    found = {check.name: check for check in report.checks}
    assert (found["registry push"].verdict, found["registry pull"].verdict) == (FAILED, FAILED)
    assert "401" in found["registry push"].detail
    assert "IMAGE_AUTH_USER" in found["registry push"].do
    assert "canary" not in report.model_dump_json()
    assert room.uploads() == []


def test_a_credential_that_the_worker_cannot_resolve(room: Room) -> None:
    """It fails by its name, and the registry is not asked without it."""
    report = room.on_host(IMAGE_AUTH_USER="", IMAGE_AUTH_PASSWORD="")
    found = {check.name: check for check in report.checks}
    assert (found["push credentials"].verdict, "registry push" in found) == (FAILED, False)
    assert "IMAGE_AUTH_USER" in found["push credentials"].detail


def test_a_root_image_is_known_before_it_is_built(room: Room) -> None:
    """The host finds the user, and the cluster's Pod Security refuses the client on trial; nothing was changed."""
    room.namespace(enforce="restricted")
    before = room.contents()
    with room.base_image():
        host = room.on_host()
    assert (host.image_user, verdicts(host.checks)) == ("", {"base image": WARNING})
    found = room.in_cluster(image_user=host.image_user)
    assert verdicts(list(found.values())) == {"pod admission": FAILED}
    assert "PODSECURITY" in found["pod admission"].detail
    assert "runAsNonRoot" in found["pod admission"].detail
    assert verdicts(list(room.in_cluster(image_user="65532").values())) == {}
    assert room.contents() == before


def test_a_namespace_that_only_warns_is_a_warning(room: Room) -> None:
    """The API server's words are passed on."""
    room.namespace(warn="restricted")
    found = room.in_cluster(image_user="")
    assert verdicts(list(found.values())) == {"pod admission": WARNING}
    assert 'would violate PodSecurity "restricted' in found["pod admission"].detail


def test_a_missing_right_is_named_with_its_rule(room: Room, tmp_path: Path) -> None:
    """Of a Role from which somebody took a verb; the optional ones only warn."""
    rules = rbac.role(room.name)["rules"]
    reduced = [rule | {"verbs": [verb for verb in rule["verbs"] if verb != "patch"]} for rule in rules[5:6]]
    cluster = limited(room, [*rules[:5], *reduced, *rules[6:]], tmp_path)
    try:
        found = room.in_cluster(cluster=cluster)
    finally:
        cluster.close()
    missing = found["rights"]
    assert missing.verdict is FAILED
    assert "patch configmaps cluster-conf" in missing.detail
    assert "get nodes" in missing.detail
    assert "Role rule: {apiGroups: [''], resources: [configmaps]" in missing.do
    assert found["optional rights"].verdict is WARNING
    assert "resources: [pods/log]" in found["optional rights"].do
    assert (found["pod admission"].verdict, found["quota"].verdict) == (UNKNOWN, UNKNOWN)
    assert "resources: [pods], verbs: [create, delete]" in found["pod admission"].do
    assert found["objects"].verdict is FAILED


def test_the_printed_rights_suffice(room: Room, tmp_path: Path) -> None:
    """Under exactly what `proverctl rbac` prints all is ok, and a node is asked."""
    documents = rbac.documents(room.name)
    try:
        for manifest in documents:
            room.cluster.apply(manifest)
        config = account_kubeconfig(room.cluster, room.world, room.name, rbac.NAME, tmp_path)
        cluster = connect("default", {}, config)
        before = room.contents()
        found = room.in_cluster(cluster=cluster, probe=True)
        cluster.close()
    finally:
        for manifest in documents:
            if manifest["kind"] == "ClusterRoleBinding":
                room.cluster.delete("ClusterRoleBinding", manifest["metadata"]["name"], "")
    assert verdicts(list(found.values())) == {}
    assert room.contents_after(before) == before


def test_a_quota_that_is_too_small(room: Room) -> None:
    """With its numbers; the pod on trial is not blamed for it."""
    room.put("ResourceQuota", "small", spec={"hard": {"pods": "0"}})
    assert until(lambda: bool(room.cluster.find("ResourceQuota", room.name)[0].get("status")))
    found = room.in_cluster(room.spec(replicas=1))
    assert found["nodes"].verdict is FAILED
    assert found["quota"].detail == "small: pods 0 of 0"
    assert (found["pod admission"].verdict, "quota" in found["pod admission"].detail) == (OK, True)


def test_a_limit_range_that_no_client_meets(room: Room) -> None:
    """Found on trial, by the API server's own words."""
    most = {"type": "Container", "max": {"memory": "8Mi"}, "default": {"memory": "8Mi"}}
    room.put("LimitRange", "tight", spec={"limits": [most]})
    found = room.in_cluster(room.spec(client_memory="64Mi"))["pod admission"]
    assert (found.verdict, "LIMITRANGE" in found.detail) == (FAILED, True)
    assert "8Mi" in found.detail


def test_what_the_api_server_would_not_take(room: Room) -> None:
    """Another writer's field and an immutable one, by name; a deploy refuses by the same, before it builds an image."""
    spec = room.spec()
    for manifest in dry_run.manifests(spec, room.owner(spec)):
        room.cluster.apply(manifest)
    other = {"apiVersion": "v1", "kind": "ConfigMap", "data": {names.CONFIG_KEY: "theirs"}}
    room.cluster.connection.call(
        Call("apply", "the configuration"),
        "PATCH",
        item("ConfigMap", names.CONFIG_MAP, room.name),
        query={"fieldManager": "somebody", "force": "true"},
        body=other | {"metadata": {"name": names.CONFIG_MAP}},
        content_type=APPLY_CONTENT_TYPE,
    )
    before = room.contents()
    changed = spec.model_copy(update={"deploy_name": "another"})
    found = room.in_cluster(changed)
    assert verdicts(list(found.values())) == {"objects": FAILED}
    assert ("SSA_CONFLICT" in found["objects"].detail, "'somebody'" in found["objects"].detail) == (True, True)
    assert "IMMUTABLE_FIELD" in found["objects"].detail
    secrets = WorkerSecrets({"IMAGE_AUTH_USER": "ann", "IMAGE_AUTH_PASSWORD": "of this test"})
    deploy = KubeActivities({"default": room.cluster}, secrets, room.prefix)
    with pytest.raises(ApplyConflict, match="somebody"):
        ActivityEnvironment().run(deploy.inspect_target, TargetRequest(spec=changed, deployment_id=spec.deployment_id))
    assert room.contents() == before


def test_the_namespace_of_another_deployment(room: Room) -> None:
    """Refused by its mark, as a deploy would be."""
    mark = {names.OWNER_ANNOTATION: "another/temporal/prover-cluster/default/x"}
    room.put("ConfigMap", names.CONFIG_MAP, metadata={"annotations": mark})
    found = room.in_cluster()["ownership"]
    assert (found.verdict, "another/temporal" in found.detail) == (FAILED, True)


def test_a_namespace_that_is_not_there(room: Room) -> None:
    """Who may create it is fine, and nothing is tried in it."""
    found = room.in_cluster(room.spec(namespace=f"{room.name}-none"), probe=True)
    assert verdicts(list(found.values())) == {"probe": UNKNOWN}
    assert room.cluster.get("Namespace", f"{room.name}-none") is None


def test_a_coordinator_that_is_down(room: Room) -> None:
    """Refused here and from a node, each in its own words; the probe's pod is gone afterwards."""
    before = room.contents()
    room.listening.close()
    found = room.in_cluster(probe=True)
    assert verdicts(list(found.values())) == {"coordinator": FAILED, "probe": FAILED}
    assert "nothing listens there" in found["coordinator"].detail
    assert "connection refused" in found["probe"].detail
    assert f"node {room.world['WORLD_NAME']}-node" in found["probe"].detail
    assert room.contents_after(before) == before


def test_an_image_that_no_node_can_pull_leaves_the_probe_unknown(room: Room) -> None:
    """In the kubelet's words; it says nothing of the coordinator."""
    before = room.contents()
    missing = f"{room.world['WORLD_ANONYMOUS_REGISTRY_ALIAS']}/nobody/has-this:1"
    found = room.in_cluster(probe=True, probe_image=missing)["probe"]
    assert (found.verdict, "ErrImagePull" in found.detail) == (UNKNOWN, True)
    assert room.contents_after(before) == before


def test_what_a_killed_probe_left_is_removed(room: Room) -> None:
    """The pod bears a name that the next run knows."""
    before = room.contents()
    asked = room.request()
    owner = f"elsewhere/{asked.deployment_id}"
    left = coordinator_probe.pod(asked.spec, owner, asked.probe_image, asked.spec.coordinator.ip, room.port)
    PodTrials(room.cluster.connection).create(left, dry_run=False)
    assert room.in_cluster(probe=True)["probe"].verdict is OK
    assert room.contents_after(before) == before


@contextlib.contextmanager
def policy(room: Room, message: str) -> Iterator[None]:
    """Return an admission policy that denies every pod of the namespace."""
    name, root = f"{room.name}-policy", "/apis/admissionregistration.k8s.io/v1"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
    here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": room.name}}}
    denied = {"validations": [{"expression": "false", "message": message}], "failurePolicy": "Fail"}
    constraints: Manifest = {"resourceRules": [rule], **here}
    bodies: dict[str, Manifest] = {
        "ValidatingAdmissionPolicy": {"matchConstraints": constraints, **denied},
        "ValidatingAdmissionPolicyBinding": {"policyName": name, "validationActions": ["Deny"]},
    }
    plural = {"ValidatingAdmissionPolicy": "validatingadmissionpolicies"}
    paths = {kind: f"{root}/{plural.get(kind, f'{kind.lower()}s')}" for kind in bodies}
    version = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": name}}
    try:
        for kind, body in bodies.items():
            found = {"kind": kind, "spec": body, **version}
            room.cluster.connection.call(Call("create", kind), "POST", paths[kind], body=found)
        yield
    finally:
        for kind, path in paths.items():
            room.cluster.connection.call(Call("delete", kind), "DELETE", f"{path}/{name}")


def test_an_admission_policy_that_denies_is_found_on_trial(room: Room) -> None:
    """Of the cluster's owner, in its own words; nothing was changed."""
    with policy(room, "only on Tuesdays"):
        assert until(lambda: room.in_cluster()["pod admission"].verdict is FAILED)
        found = room.in_cluster()["pod admission"]
    assert ("ADMISSION_DENIED" in found.detail, "only on Tuesdays" in found.detail) == (True, True)
