"""Activities on a namespace of their own, under exactly the rights that `proverctl rbac` prints."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from temporalio.testing import ActivityEnvironment

from activities.release.activities import KubeActivities
from clients.kubernetes.cluster import KubernetesCluster, connect
from clients.kubernetes.errors import Call
from clients.registry.credentials import WorkerSecrets
from domain.kubernetes import Manifest
from domain.messages.release import ApplyRequest, RolloutRequest, TargetRequest
from domain.spec import ClusterSpec, Endpoint, ImageTarget, SecretRef
from domain.status import Release
from planning.kubernetes import rbac
from tests.support.kubernetes.service_accounts import account_kubeconfig

LOGIN = {"IMAGE_AUTH_USER": "prover", "IMAGE_AUTH_PASSWORD": "canary-hunter2"}
# Events and their like come and go by themselves, and review kinds cannot be listed.
PASSING = ("events", "events.events.k8s.io", "leases.coordination.k8s.io")


class Room:
    """Activities under limited rights in a namespace of their own."""

    def __init__(self, admin: KubernetesCluster, world: dict[str, str], image: str, folder: Path) -> None:
        self.admin = admin
        self.world = world
        self.image = image
        self.folder = folder
        self.namespace = f"test-kube-{uuid4().hex[:8]}"
        self.prefix = f"test/{uuid4().hex[:8]}"
        self.beats: list[str] = []
        self.clusters: list[KubernetesCluster] = []
        admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})
        self.granted: list[Manifest] = []

    def grant(self, *, optional: bool) -> KubeActivities:
        """Grant the rights of `proverctl rbac`, and make activities that have no others."""
        self.granted = rbac.documents(self.namespace, optional=optional)
        for manifest in self.granted:
            self.admin.apply(manifest)
        config = account_kubeconfig(self.admin, self.world, self.namespace, rbac.NAME, self.folder)
        self.clusters.append(connect("default", {}, config))
        return KubeActivities({"default": self.clusters[-1]}, WorkerSecrets(LOGIN), self.prefix)

    def close(self) -> None:
        """Everything goes; cluster roles are shared and stay, their bindings are this test's."""
        for cluster in self.clusters:
            cluster.close()
        for manifest in self.granted:
            if manifest["kind"] == "ClusterRoleBinding":
                self.admin.delete("ClusterRoleBinding", manifest["metadata"]["name"], "")
        self.admin.delete("Namespace", self.namespace, "")

    def spec(self, replicas: int = 1, *, login: bool = False, **changes: Any) -> ClusterSpec:
        """Return a spec of stand-ins for clients."""
        host = self.world["WORLD_ANONYMOUS_REGISTRY_ALIAS"]
        auth = SecretRef(ref="env:IMAGE_AUTH", required=True) if login else None
        target = ImageTarget(repository="pause", pull_host=host, pull_auth=auth)
        endpoint = Endpoint(ip=self.world["COORDINATOR_EP"])
        spec = ClusterSpec(namespace=self.namespace, coordinator=endpoint, image=target, replicas=replicas)
        return spec.model_copy(update=changes)

    def run(self, activity: Callable[[Any], Any], request: Any) -> Any:
        """As the worker runs it."""
        environment = ActivityEnvironment()
        environment.on_heartbeat = lambda *details: self.beats.append(str(details[0]))
        return environment.run(activity, request)

    def target(self, spec: ClusterSpec, uid: str = "") -> TargetRequest:
        """Return the namespace as a target."""
        return TargetRequest(spec=spec, deployment_id=spec.deployment_id, cluster_uid=uid)

    def release(self, stage: str = "abc", image: str = "") -> Release:
        """One release of the stand-in."""
        return Release(stage=stage, image=image or self.image)

    def apply(self, kube: KubeActivities, spec: ClusterSpec, release: Release) -> Any:
        """apply_release."""
        uid = kube._cluster("default").uid()  # noqa: SLF001 - the fence as these activities see it
        request = ApplyRequest(
            spec=spec, release=release, deployment_id=spec.deployment_id, cluster_uid=uid, image_user="65534"
        )
        return self.run(kube.apply_release, request)

    def rollout(self, kube: KubeActivities, spec: ClusterSpec, release: Release, generation: int) -> Any:
        """await_rollout."""
        request = RolloutRequest(spec=spec, release=release, generation=generation, replicas=spec.replicas)
        return self.run(kube.await_rollout, request)


def listing(admin: KubernetesCluster, namespace: str) -> set[str]:
    """`resource/name` of everything of every namespaced kind, but events."""
    found = set()
    for group, resource in _namespaced_kinds(admin):
        path = f"{group}/namespaces/{namespace}/{resource}"
        items = admin.connection.call(Call("list", path), "GET", path).get("items") or []
        found |= {f"{resource}/{entry['metadata']['name']}" for entry in items}
    return found


def _namespaced_kinds(admin: KubernetesCluster) -> Iterator[tuple[str, str]]:
    call = Call("discover", "kinds")
    groups = admin.connection.call(call, "GET", "/apis")["groups"]
    roots = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]
    for root in roots:
        for kind in admin.connection.call(call, "GET", root)["resources"]:
            group = root.split("/")[2] if root.count("/") > 2 else ""
            full = f"{kind['name']}.{group}" if group else kind["name"]
            if kind["namespaced"] and "list" in kind["verbs"] and full not in PASSING:
                yield root, kind["name"]
