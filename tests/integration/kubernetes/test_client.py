"""The Kubernetes client against a real API server: what it writes, refuses, hears, and how it words failures."""

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from clients.kubernetes.cluster import KubernetesCluster, connect
from clients.kubernetes.errors import Call
from clients.kubernetes.resources import collection
from domain.errors import ApplyConflict, CredentialsRejected, Forbidden, ObjectRejected, ProverError, Unavailable
from domain.kubernetes import Manifest, Right
from tests.support.kubernetes.service_accounts import account_kubeconfig, config_map, limited_account, until


def deployment(namespace: str, selector: str = "toy", replicas: int = 0) -> Manifest:
    """Return a Deployment without pods."""
    template = {
        "metadata": {"labels": {"app": selector}},
        "spec": {"containers": [{"name": "toy", "image": "toy:1"}]},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "toy", "namespace": namespace},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": selector}}, "template": template},
    }


def test_the_fence_names_the_cluster(cluster: KubernetesCluster) -> None:
    """UID of kube-system and a hash of the CA."""
    system = cluster.get("Namespace", "kube-system")
    assert system is not None
    uid, _, authority = cluster.uid().partition("@")
    assert (system["metadata"]["uid"], "ca-") == (uid, authority[:3])


def test_applying_twice_writes_once(cluster: KubernetesCluster, namespace: str) -> None:
    """The second apply of equal content leaves the resource version as it is."""
    first = cluster.apply(config_map(namespace, a="1"))
    second = cluster.apply(config_map(namespace, a="1"))
    third = cluster.apply(config_map(namespace, a="2"))
    versions = [found["metadata"]["resourceVersion"] for found in (first, second, third)]
    assert (versions[0] == versions[1], versions[1] == versions[2]) == (True, False)
    assert [entry["manager"] for entry in third["metadata"]["managedFields"]] == ["prover-cluster"]
    assert "annotations" not in third["metadata"]


def test_a_dry_run_writes_nothing(cluster: KubernetesCluster, namespace: str) -> None:
    """It answers with the object as it would be."""
    assert cluster.apply(config_map(namespace, a="1"), dry_run=True)["data"] == {"a": "1"}
    assert cluster.get("ConfigMap", "toy", namespace) is None


def test_a_conflict_names_the_other_manager_and_the_field(cluster: KubernetesCluster, namespace: str) -> None:
    """Nothing of another writer is overwritten."""
    cluster.apply(config_map(namespace, a="1"))
    other = cluster.connection
    other.call(
        Call("apply", "toy"),
        "PATCH",
        f"{collection('ConfigMap', namespace)}/toy",
        query={"fieldManager": "somebody-else", "force": "true"},
        body=config_map(namespace, a="theirs"),
        content_type="application/apply-patch+yaml",
    )
    with pytest.raises(ApplyConflict, match=r"'somebody-else' owns \.data\.a on ConfigMap toy in namespace"):
        cluster.apply(config_map(namespace, a="2"))
    found = cluster.get("ConfigMap", "toy", namespace)
    assert found is not None
    assert found["data"] == {"a": "theirs"}


def test_an_immutable_field_is_named(cluster: KubernetesCluster, namespace: str) -> None:
    """A selector cannot change; the code says so."""
    cluster.apply(deployment(namespace))
    with pytest.raises(ObjectRejected, match=r"IMMUTABLE_FIELD: spec.selector cannot be changed") as caught:
        cluster.apply(deployment(namespace, selector="other"))
    assert caught.value.diagnosis.on == f"Deployment toy in namespace {namespace}"


def test_a_refused_secret_is_not_echoed(cluster: KubernetesCluster, namespace: str) -> None:
    """The message names the field and none of the content."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "toy", "namespace": namespace},
        "type": "kubernetes.io/dockerconfigjson",
        "stringData": {".dockerconfigjson": "hunter2"},
    }
    with pytest.raises(ObjectRejected, match=r"data\[\.dockerconfigjson\]") as caught:
        cluster.apply(secret)
    assert "hunter2" not in str(caught.value)


def test_quota_and_pod_security_have_codes_of_their_own(cluster: KubernetesCluster, namespace: str) -> None:
    """A 403 of admission is no lack of rights."""
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "toy", "namespace": namespace},
        "spec": {"hard": {"pods": "0"}},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "toy", "namespace": namespace},
        "spec": {"containers": [{"name": "toy", "image": "toy:1"}]},
    }
    account_ready = lambda: cluster.get("ServiceAccount", "default", namespace) is not None  # noqa: E731
    assert until(account_ready)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": labels}})
    assert until(lambda: _code(cluster, pod) == "PODSECURITY")
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    cluster.apply(quota)
    assert until(lambda: _code(cluster, pod) == "QUOTA")


def _code(cluster: KubernetesCluster, manifest: Manifest) -> str:
    try:
        cluster.apply(manifest, dry_run=True)
    except ProverError as error:
        return error.diagnosis.code
    return ""


def test_a_missing_right_is_named(
    cluster: KubernetesCluster, world: dict[str, str], namespace: str, tmp_path: Path
) -> None:
    """Verb, resource, identity, namespace and the command that prints the Role."""
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    limited_account(cluster, namespace, rules)
    limited = connect("default", {}, account_kubeconfig(cluster, world, namespace, "limited", tmp_path))
    assert until(lambda: not limited.missing(namespace, [Right(verb="get", resource="configmaps")]))
    with pytest.raises(Forbidden) as caught:
        limited.get("Deployment", "toy", namespace)
    found = caught.value.diagnosis
    who = f"system:serviceaccount:{namespace}:limited"
    assert (found.code, found.what) == ("RBAC", f"{who} may not get deployments.apps in namespace {namespace}")
    assert found.do.endswith(f"proverctl rbac -n {namespace}")
    wanted = [Right(verb=verb, resource="deployments", group="apps") for verb in ("get", "patch")]
    assert limited.missing(namespace, wanted) == wanted
    assert limited.events(namespace) == []
    assert limited.uid() == "@" + cluster.uid().partition("@")[2]
    limited.close()


def test_a_rejected_token_says_so(world: dict[str, str], tmp_path: Path) -> None:
    """401 is permanent and names the kubeconfig."""
    content = yaml.safe_load(Path(world["KUBECONFIG"]).read_text())
    content["users"][0]["user"] = {"token": "expired"}
    (tmp_path / "config").write_text(yaml.safe_dump(content))
    stranger = connect("default", {}, str(tmp_path / "config"))
    with pytest.raises(CredentialsRejected, match=r"TOKEN_EXPIRED.*kubeconfig"):
        stranger.get("Node", "node1")
    stranger.close()


def test_an_unreachable_api_server_is_transient(world: dict[str, str], tmp_path: Path) -> None:
    """Connection refused is worth another try, which is not ours."""
    content = yaml.safe_load(Path(world["KUBECONFIG"]).read_text())
    content["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    (tmp_path / "config").write_text(yaml.safe_dump(content))
    away = connect("default", {}, str(tmp_path / "config"))
    with pytest.raises(Unavailable, match=r"CONTROL_PLANE_DOWN.*https://127\.0\.0\.1:1"):
        away.uid()


def test_delete_leaves_a_newcomer_alone(cluster: KubernetesCluster, namespace: str) -> None:
    """The UID precondition protects an object that took the name meanwhile."""
    found = cluster.apply(config_map(namespace, a="1"))
    assert cluster.delete("ConfigMap", "toy", namespace, uid=str(uuid4())) is False
    assert cluster.get("ConfigMap", "toy", namespace) is not None
    assert cluster.delete("ConfigMap", "toy", namespace, uid=found["metadata"]["uid"]) is True
    assert until(lambda: cluster.get("ConfigMap", "toy", namespace) is None)
    assert cluster.delete("ConfigMap", "toy", namespace) is False


def test_find_pages_through_everything(cluster: KubernetesCluster, namespace: str) -> None:
    """Objects carry kind and version, as get gives them."""
    cluster.apply(config_map(namespace, a="1"))
    assert until(lambda: len(cluster.find("ConfigMap", namespace)) == 2)  # the other is the cluster's CA
    assert {(found["kind"], found["apiVersion"]) for found in cluster.find("ConfigMap", namespace)} == {
        ("ConfigMap", "v1")
    }


def test_changes_are_heard_and_leave_no_thread(cluster: KubernetesCluster, namespace: str) -> None:
    """One yield at once, one soon after a change, and nothing left behind when closed."""
    before = set(threading.enumerate())
    changes = iter(cluster.changes(namespace, lambda: False))
    next(changes)
    for _ in itertools.takewhile(lambda _: _quiet(changes) < 1.5, range(20)):
        pass  # the first lists are news too
    cluster.apply(deployment(namespace))
    assert _quiet(changes) < 1.5
    changes.close()  # type: ignore[attr-defined]
    assert set(threading.enumerate()) - before == set()


def _quiet(changes: Iterator[None]) -> float:
    began = time.monotonic()
    next(changes)
    return time.monotonic() - began
