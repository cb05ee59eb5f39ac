"""Rows of docs/diagnoses.md that are about our own calls: what the API server answers, or that it does not."""

import copy
from pathlib import Path

import pytest
import yaml

from activities.cluster.explanation import enrich
from clients.kubernetes.cluster import KubernetesCluster, connect
from clients.kubernetes.errors import Call
from domain import names
from domain.diagnosis import Diagnosis, Severity
from domain.kubernetes import Manifest, Snapshot
from domain.spec import ClusterSpec, Endpoint, ImageTarget
from domain.status import Release
from planning.manifests import render
from tests.support.diagnosis.case import refusal
from tests.support.kubernetes.service_accounts import account_kubeconfig, limited_account


@pytest.fixture
def deployment(cluster: KubernetesCluster, namespace: str) -> Manifest:
    """Ours, of no client."""
    image = ImageTarget(repository="x")
    spec = ClusterSpec(namespace=namespace, coordinator=Endpoint(ip="10.9.8.7"), image=image, replicas=0)
    made = render.render(spec, Release(stage="abc", image="x:1"), owner="test/owner", pull_secret=False)[-1]
    cluster.apply(made)
    return made


def said(found: Diagnosis) -> tuple[str, Severity]:
    """Code and class."""
    assert found.do or found.severity is Severity.TRANSIENT
    return found.code, found.severity


def test_a_field_that_never_changes(cluster: KubernetesCluster, deployment: Manifest) -> None:
    """The selector of a living Deployment; the field is named, and nothing has changed."""
    other = copy.deepcopy(deployment)
    other["spec"]["selector"]["matchLabels"]["app"] = other["spec"]["template"]["metadata"]["labels"]["app"] = "other"
    found = refusal(lambda: cluster.apply(other))
    assert said(found) == ("IMMUTABLE_FIELD", Severity.FATAL)
    assert "spec.selector" in found.what
    live = cluster.get("Deployment", names.DEPLOYMENT, deployment["metadata"]["namespace"])
    assert live is not None
    assert live["spec"]["selector"]["matchLabels"]["app"] == "client"


def test_a_field_that_another_manager_owns(cluster: KubernetesCluster, deployment: Manifest) -> None:
    """Manager and field are named, and it is left alone."""
    namespace = deployment["metadata"]["namespace"]
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{names.DEPLOYMENT}"
    cluster.connection.call(
        Call("scale", "it"),
        "PATCH",
        path,
        query={"fieldManager": "somebody"},
        body={"spec": {"replicas": 1}},
        content_type="application/merge-patch+json",
    )
    found = refusal(lambda: cluster.apply(deployment))
    assert said(found) == ("SSA_CONFLICT", Severity.FATAL)
    assert "'somebody' owns .spec.replicas" in found.what


@pytest.fixture
def limited(cluster: KubernetesCluster, namespace: str, world: dict[str, str], tmp_path: Path) -> KubernetesCluster:
    """Return the cluster for an account that may read Deployments there and nothing else."""
    limited_account(cluster, namespace, [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]}])
    return connect("default", {}, account_kubeconfig(cluster, world, namespace, "limited", tmp_path))


def test_a_right_that_lacks(limited: KubernetesCluster, namespace: str) -> None:
    """Who may not do what, where, and what to give an administrator."""
    found = refusal(lambda: limited.find("Pod", namespace))
    assert said(found) == ("RBAC", Severity.FATAL)
    assert found.what == f"system:serviceaccount:{namespace}:limited may not list pods in namespace {namespace}"
    assert f"proverctl rbac -n {namespace}" in found.do
    limited.close()


def test_what_explains_may_not_be_read(limited: KubernetesCluster, namespace: str) -> None:
    """Then it stays unknown, and the finding is told without."""
    image = ImageTarget(repository="x")
    spec = ClusterSpec(namespace=namespace, coordinator=Endpoint(ip="10.9.8.7"), image=image)
    pending = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: x"}
    template = {"metadata": {"labels": {"app": "client"}}, "spec": {"containers": []}}
    pod = {"metadata": {"name": "p", "labels": {"app": "client"}}, "spec": {}, "status": {"conditions": [pending]}}
    owner = {"metadata": {"name": "d", "uid": "d"}, "spec": {"template": template}}
    seen = Snapshot(deployment=owner, pods=[pod])
    assert enrich(limited, spec, seen) == seen
    limited.close()


def changed_kubeconfig(world: dict[str, str], folder: Path, **parts: object) -> str:
    """Write the administrator's kubeconfig with a change that spoils it."""
    content = yaml.safe_load(Path(world["KUBECONFIG"]).read_text())
    if "server" in parts:
        content["clusters"][0]["cluster"]["server"] = parts["server"]
    if "user" in parts:
        content["users"][0]["user"] = parts["user"]
    file = folder / "spoilt.kubeconfig"
    file.write_text(yaml.safe_dump(content))
    return str(file)


def test_credentials_that_are_over(world: dict[str, str], tmp_path: Path) -> None:
    """A token that nobody knows any more."""
    spoilt = connect("default", {}, changed_kubeconfig(world, tmp_path, user={"token": "over"}))
    found = refusal(lambda: spoilt.find("Pod", "default"))
    assert said(found) == ("TOKEN_EXPIRED", Severity.FATAL)
    spoilt.close()


def test_an_api_server_that_is_away(world: dict[str, str], tmp_path: Path) -> None:
    """Waited for, by whoever asked."""
    host = world["COORDINATOR_EP"]
    spoilt = connect("default", {}, changed_kubeconfig(world, tmp_path, server=f"https://{host}:9"))
    found = refusal(lambda: spoilt.find("Pod", "default"))
    assert said(found) == ("CONTROL_PLANE_DOWN", Severity.TRANSIENT)
    assert f"https://{host}:9" in found.on
    spoilt.close()
