"""The printed rights suffice for everything that is applied and removed, and for nothing beside it."""

import subprocess
import uuid
from collections.abc import Iterator

import pytest
import yaml

from domain.kubernetes import Manifest
from domain.spec import ClusterSpec, Endpoint, ImageTarget
from domain.status import Release
from planning.kubernetes import rbac
from planning.manifests import render

APPLY = ("apply", "--server-side", "--field-manager=prover-cluster", "--validate=false", "-f", "-")


class Kubectl:
    """The world's kubectl as administrator or, with `account`, as that service account of the namespace."""

    def __init__(self, world: dict[str, str], namespace: str, account: str = "") -> None:
        self.namespace = namespace
        self._command = [world["WORLD_KUBECTL"], "--kubeconfig", world["KUBECONFIG"], "--cache-dir=/nonexistent"]
        if account:
            self._command += ["--as", f"system:serviceaccount:{namespace}:{account}"]

    def run(self, *arguments: str, documents: list[Manifest] | None = None) -> subprocess.CompletedProcess[str]:
        """Run it; the caller judges the result."""
        text = yaml.safe_dump_all(documents or [])
        command = [*self._command, *arguments]
        return subprocess.run(command, input=text, capture_output=True, text=True, timeout=120, check=False)

    def must(self, *arguments: str, documents: list[Manifest] | None = None) -> str:
        """Run it and see it succeed."""
        done = self.run(*arguments, documents=documents)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def may(self, verb: str, resource: str, *more: str) -> bool:
        """Whether the identity has this right."""
        return self.run("auth", "can-i", verb, resource, *more).stdout.strip() == "yes"


@pytest.fixture
def administrator(world: dict[str, str]) -> Iterator[Kubectl]:
    """Return a namespace with the required rights applied."""
    name = f"rbac-{uuid.uuid4().hex[:8]}"
    kubectl = Kubectl(world, name)
    kubectl.must("create", "namespace", name)
    documents = rbac.documents(name)
    kubectl.must(*APPLY, documents=rbac.documents(name, optional=False))
    yield kubectl
    bindings = [found["metadata"]["name"] for found in documents if found["kind"] == "ClusterRoleBinding"]
    kubectl.must("delete", "clusterrolebinding", "--ignore-not-found", *bindings)
    kubectl.must("delete", "namespace", name, "--wait=false")


def objects(spec: ClusterSpec) -> list[Manifest]:
    """Everything that a deployment writes into its namespace; no pod is made."""
    release = Release(stage="abc", image=render.image_reference(spec, "abc", "sha256:" + "a" * 64))
    secret = render.pull_secret(spec, "user", "password", "test/owner")
    return [secret, *render.render(spec, release, owner="test/owner", image_user="65532", pull_secret=True)]


def test_required_rights_suffice_to_apply_and_remove(world: dict[str, str], administrator: Kubectl) -> None:
    """As the service account every object is created, changed, read and deleted; the rest stays closed."""
    namespace = administrator.namespace
    worker = Kubectl(world, namespace, rbac.NAME)
    image = ImageTarget(repository="prover", pull_host=world["IMAGE_HOST_ALIAS"])
    spec = ClusterSpec(namespace=namespace, coordinator=Endpoint(ip=world["COORDINATOR_EP"]), image=image, replicas=0)
    worker.must(*APPLY, documents=objects(spec))
    changed = worker.must(*APPLY, documents=objects(spec.model_copy(update={"circuit": "other"})))
    assert "configmap/cluster-conf serverside-applied" in changed
    for found in objects(spec):
        kind, name = found["kind"].lower(), found["metadata"]["name"]
        worker.must("get", kind, name, "-n", namespace)
        worker.must("delete", kind, name, "-n", namespace, "--wait=false")
    for kind in ("pods", "replicasets", "deployments", "events"):
        assert worker.may("watch", kind, "-n", namespace), kind
    worker.must("get", "nodes")
    assert worker.may("watch", "nodes")


@pytest.mark.parametrize(
    ("verb", "resource"),
    [
        ("list", "secrets"),
        ("watch", "secrets"),
        ("get", "secrets/other"),
        ("create", "secrets/other"),
        ("delete", "deployments.apps/other"),
        ("create", "pods"),
        ("create", "pods/exec"),
        ("create", "rolebindings"),
        ("patch", "namespaces"),
        ("patch", "nodes"),
    ],
)
def test_nothing_else_is_granted(world: dict[str, str], administrator: Kubectl, verb: str, resource: str) -> None:
    """Objects of other names, other Secrets and everything that leads to more rights stay closed."""
    worker = Kubectl(world, administrator.namespace, rbac.NAME)
    assert not worker.may(verb, resource, "-n", administrator.namespace)


def test_optional_rights_open_what_they_say(world: dict[str, str], administrator: Kubectl) -> None:
    """Logs, quotas and a probe's pod, pods of all namespaces and the Namespace itself, once they are granted."""
    worker, here = Kubectl(world, administrator.namespace, rbac.NAME), ("-n", administrator.namespace)
    inside = [("get", "pods", "--subresource=log"), ("list", "resourcequotas"), ("list", "limitranges")]
    inside += [("create", "pods"), ("delete", "pods")]
    assert [right for right in inside if worker.may(*right, *here)] == []
    assert not worker.may("list", "pods", "-A")
    administrator.must(*APPLY, documents=rbac.documents(administrator.namespace))
    assert [right for right in inside if not worker.may(*right, *here)] == []
    assert worker.may("list", "pods", "-A")
    assert not worker.may("create", "pods", "-n", "default")
    assert worker.may("create", "namespaces")
    spec = ClusterSpec(
        namespace=administrator.namespace, coordinator=Endpoint(ip="10.0.0.1"), image=ImageTarget(repository="prover")
    )
    worker.must(*APPLY, documents=[render.namespace_marks(spec, "abc", "test/owner")])
    worker.must(*APPLY, documents=[render.namespace_marks(spec, "", "")])
    left = administrator.must("get", "namespace", administrator.namespace, "-o", "jsonpath={.metadata.annotations}")
    assert left in ("", "{}")
