"""The whole life of a release on a real cluster, under exactly the rights that `proverctl rbac` prints."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from activities.release.activities import KubeActivities
from clients.kubernetes.cluster import KubernetesCluster
from clients.kubernetes.errors import Call
from clients.kubernetes.resources import collection
from clients.registry.credentials import WorkerSecrets
from domain import names
from domain.diagnosis import Severity
from domain.errors import ApplyConflict, CredentialsMissing, Forbidden, OwnedByAnother, Refused
from domain.messages.nodes import NodesRequest
from domain.spec import SecretRef
from planning.kubernetes import rbac
from tests.support.kubernetes.release import Room, listing
from tests.support.kubernetes.service_accounts import until


@pytest.mark.parametrize("optional", [True, False])
def test_a_release_lives_and_leaves_nothing(room: Room, *, optional: bool) -> None:
    """Inspected, applied once, rolled out, scaled, removed; with the optional rights the namespace is annotated too."""
    kube = room.grant(optional=optional)
    assert until(lambda: "configmaps/kube-root-ca.crt" in listing(room.admin, room.namespace))
    before = listing(room.admin, room.namespace)
    spec, release = room.spec(login=True), room.release()
    target = room.run(kube.inspect_target, room.target(spec))
    assert (target.deployed, len(target.warnings)) == (False, 0 if optional else 1)
    assert room.run(kube.check_nodes, NodesRequest(spec=spec, replicas=1)).usable >= 1

    applied = room.apply(kube, spec, release)
    assert (applied.changed, len([w for w in applied.warnings if "not annotated" in w])) == (True, 0 if optional else 1)
    namespace = room.admin.get("Namespace", room.namespace)
    assert namespace is not None
    assert namespace["metadata"].get("annotations", {}).get(names.STAGE_ANNOTATION) == ("abc" if optional else None)
    seen = room.rollout(kube, spec, release, applied.generation)
    assert (seen.complete, seen.ready, seen.diagnosis, seen.pods[0].state) == (True, 1, None, "Running")
    again = room.apply(kube, spec, release)
    assert (again.changed, again.generation) == (False, applied.generation)

    nothing = room.spec(0, login=True)
    scaled = room.apply(kube, nothing, release)
    assert room.rollout(kube, nothing, release, scaled.generation).pods == []

    request = room.target(spec, target.cluster_uid)
    removed = room.run(kube.remove_release, request)
    assert sorted(removed.objects) == [
        "ConfigMap/cluster-conf",
        "Deployment/prover-cli-t",
        "EndpointSlice/cluster-coordinator",
        "PodDisruptionBudget/prover-cli-t",
        "Secret/img-cred",
        "Service/cluster-coordinator",
    ]
    assert (removed.warnings, listing(room.admin, room.namespace)) == ([], before)
    namespace = room.admin.get("Namespace", room.namespace)
    assert namespace is not None
    assert "annotations" not in namespace["metadata"]
    assert room.run(kube.remove_release, request).objects == []


def test_removal_waits_for_running_clients(room: Room) -> None:
    """When it returns, no pod is left."""
    kube = room.grant(optional=True)
    spec, release = room.spec(), room.release()
    applied = room.apply(kube, spec, release)
    room.rollout(kube, spec, release, applied.generation)
    room.beats.clear()
    room.run(kube.remove_release, room.target(spec))
    assert room.admin.find("Pod", room.namespace) == []
    assert [beat for beat in room.beats if beat.startswith("waiting until")] != []


def test_the_pull_secret_holds_the_login_and_no_more(room: Room) -> None:
    """Keyed by the pull host; nothing of it in beats or other objects; gone when no longer wanted."""
    kube = room.grant(optional=True)
    room.apply(kube, room.spec(0, login=True), room.release())
    secret = room.admin.get("Secret", names.PULL_SECRET, room.namespace)
    assert secret is not None
    auths = json.loads(base64.b64decode(secret["data"][".dockerconfigjson"]))["auths"]
    host = room.world["WORLD_ANONYMOUS_REGISTRY_ALIAS"]
    assert {host: "canary-hunter2"} == {key: entry["password"] for key, entry in auths.items()}
    assert "last-applied-configuration" not in json.dumps(secret)
    assert "hunter2" not in json.dumps([room.beats, room.admin.get("Deployment", names.DEPLOYMENT, room.namespace)])
    room.apply(kube, room.spec(0), room.release())
    assert room.admin.get("Secret", names.PULL_SECRET, room.namespace) is None


def test_new_credentials_come_without_a_rollout(room: Room, tmp_path: Path) -> None:
    """Rotated where the reference points, the next apply puts them into the Secret; generation and pods stay."""
    kube = room.grant(optional=True)
    file = tmp_path / "login"
    file.write_text("prover:canary-of-yesterday")
    auth = SecretRef(ref=f"file:{file}", required=True)
    spec = room.spec()
    spec = spec.model_copy(update={"image": spec.image.model_copy(update={"pull_auth": auth})})
    first = room.apply(kube, spec, room.release())
    room.rollout(kube, spec, room.release(), first.generation)
    before = _standing(room)
    file.write_text("prover:canary-of-today")
    second = room.apply(kube, spec, room.release())
    secret = room.admin.get("Secret", names.PULL_SECRET, room.namespace)
    assert secret is not None
    config = base64.b64decode(secret["data"][".dockerconfigjson"]).decode()
    assert ("canary-of-today" in config, "canary-of-yesterday" in config) == (True, False)
    assert (second.changed, second.generation, _standing(room)) == (True, first.generation, before)
    assert room.apply(kube, spec, room.release()).changed is False


def _standing(room: Room) -> tuple[Any, ...]:
    """Return the Deployment's generation and the pods there are."""
    deployment = room.admin.get("Deployment", names.DEPLOYMENT, room.namespace)
    assert deployment is not None
    pods = sorted(pod["metadata"]["uid"] for pod in room.admin.find("Pod", room.namespace))
    return deployment["metadata"]["generation"], pods


def test_pods_cannot_use_an_identity_token(room: Room, tmp_path: Path) -> None:
    """It is said before anything is built or written, with the setting that gives pods another login."""
    kube = room.grant(optional=True)
    file = tmp_path / "login"
    file.write_text("<token>:canary-refresh")
    spec = room.spec()
    auth = SecretRef(ref=f"file:{file}", required=True)
    spec = spec.model_copy(update={"image": spec.image.model_copy(update={"pull_auth": auth})})
    with pytest.raises(CredentialsMissing, match="IMAGE_PULL_AUTH") as caught:
        room.run(kube.inspect_target, room.target(spec))
    assert "canary" not in str(caught.value)


def test_a_foreign_deployment_is_refused_and_untouched(room: Room) -> None:
    """Exit 3: one that we did not create, and one of another Temporal."""
    kube = room.grant(optional=True)
    room.apply(kube, room.spec(0), room.release())
    before = _written(room)
    stranger = KubeActivities({"default": room.clusters[0]}, WorkerSecrets({}), "another/temporal")
    with pytest.raises(OwnedByAnother, match=room.prefix):
        room.run(stranger.inspect_target, room.target(room.spec(2)))
    with pytest.raises(OwnedByAnother):
        room.apply(stranger, room.spec(2), room.release("other"))
    assert room.run(stranger.remove_release, room.target(room.spec(2))).objects == []
    assert _written(room) == before


def _written(room: Room) -> tuple[Any, ...]:
    """Return the parts of Deployment and Namespace that people write; status is the controllers'."""
    deployment = room.admin.get("Deployment", names.DEPLOYMENT, room.namespace) or {}
    namespace = room.admin.get("Namespace", room.namespace) or {}
    return deployment["metadata"]["uid"], deployment["metadata"]["labels"], deployment["spec"], namespace["metadata"]


def test_missing_rights_are_named_before_anything_is_written(room: Room) -> None:
    """All of them at once."""
    kube = room.grant(optional=False)
    role = rbac.role(room.namespace)
    kept = [rule for rule in role["rules"] if "endpointslices" not in rule["resources"]]
    room.admin.apply(role | {"rules": kept})
    names_all = r"create endpointslices\.discovery\.k8s\.io, patch endpointslices.*, delete endpointslices"
    with pytest.raises(Forbidden, match=names_all) as caught:
        room.run(kube.inspect_target, room.target(room.spec()))
    rights, _, without = caught.value.diagnosis.do.partition("; ")
    assert rights.endswith(f"proverctl rbac -n {room.namespace}")
    assert without.startswith("or set COORDINATOR_SERV")


def test_an_absent_namespace(room: Room, cluster: KubernetesCluster) -> None:
    """Created with the rights, refused with the command without them."""
    kube = room.grant(optional=False)
    absent = room.spec(0).model_copy(update={"namespace": f"{room.namespace}-x"})
    with pytest.raises((Refused, Forbidden), match=rf"{room.namespace}-x"):
        room.run(kube.inspect_target, room.target(absent))
    allowed = KubeActivities({"default": cluster}, WorkerSecrets({}), room.prefix)
    assert room.run(allowed.inspect_target, room.target(absent)).namespace_exists is False
    room.apply(allowed, absent, room.release())
    assert cluster.get("Deployment", names.DEPLOYMENT, absent.namespace) is not None
    cluster.delete("Namespace", absent.namespace, "")


def test_another_writer_is_named(room: Room) -> None:
    """Never silently overwritten."""
    kube = room.grant(optional=True)
    room.apply(kube, room.spec(0), room.release())
    room.admin.connection.call(
        Call("patch", "a deadline"),
        "PATCH",
        f"{collection('Deployment', room.namespace)}/{names.DEPLOYMENT}",
        query={"fieldManager": "some-autoscaler"},
        body={"spec": {"progressDeadlineSeconds": 77}},
        content_type="application/merge-patch+json",
    )
    with pytest.raises(ApplyConflict, match=r"'some-autoscaler' owns \.spec\.progressDeadlineSeconds"):
        room.apply(kube, room.spec(0), room.release())


def test_an_image_that_is_not_there_ends_the_wait(room: Room) -> None:
    """With the cause, long before any deadline."""
    kube = room.grant(optional=True)
    release = room.release(image=f"{room.image.partition('@')[0]}@sha256:{'0' * 64}")
    applied = room.apply(kube, room.spec(), release)
    seen = room.rollout(kube, room.spec(), release, applied.generation)
    assert seen.diagnosis is not None
    assert (seen.diagnosis.code, seen.diagnosis.severity) == ("IMAGE_NOT_FOUND", Severity.FATAL)


def test_old_endpoints_and_their_mirror_go(room: Room) -> None:
    """What the original script left beside our slice would go on routing to the old coordinator."""
    kube = room.grant(optional=True)
    room.apply(kube, room.spec(0), room.release())
    old = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": names.COORDINATOR_SERVICE, "namespace": room.namespace},
        "subsets": [{"addresses": [{"ip": "10.9.9.9"}], "ports": [{"name": "http", "port": 50055}]}],
    }
    room.admin.apply(old)
    assert until(lambda: len(room.admin.find("EndpointSlice", room.namespace)) == 2)
    assert room.apply(kube, room.spec(0), room.release()).changed is True
    assert until(lambda: len(room.admin.find("EndpointSlice", room.namespace)) == 1)
    assert room.admin.get("Endpoints", names.COORDINATOR_SERVICE, room.namespace) is None
