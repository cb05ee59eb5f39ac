"""Kube activities over a fake cluster, and calls to them as a worker makes them."""

from collections.abc import Callable
from typing import Any

from temporalio.testing import ActivityEnvironment

from activities.release.activities import KubeActivities
from clients.registry.credentials import RegistryLogin
from domain import names
from domain.messages.release import ApplyRequest, RolloutRequest, TargetRequest
from domain.spec import ClusterSpec, Endpoint, ImageTarget, SecretRef
from domain.status import Release
from tests.support.kubernetes.fake_cluster import FakeCluster

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
    """Return a spec of two clients."""
    image = ImageTarget(repository="prover", push_host="registry:5000", pull_host="registry:5000")
    return ClusterSpec(namespace=NS, coordinator=Endpoint(ip="10.0.0.9"), image=image).model_copy(update=changes)


def with_login(spec: ClusterSpec) -> ClusterSpec:
    """Return the spec with credentials for pulling."""
    image = spec.image.model_copy(update={"pull_auth": SecretRef(ref="env:IMAGE_AUTH")})
    return spec.model_copy(update={"image": image})


class Room:
    """Activities over a fake cluster that has the namespace, and calls to them."""

    def __init__(self, cluster: FakeCluster | None = None) -> None:
        self.cluster = cluster or FakeCluster()
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

    def apply_service(self) -> Any:
        """apply_service."""
        release = Release(stage="abc", image=IMAGE)
        request = ApplyRequest(spec=make_spec(), release=release, deployment_id=ID, cluster_uid="uid-1@ca-1")
        return self.run(self.activities.apply_service, request)

    def remove(self, spec: ClusterSpec | None = None) -> Any:
        """remove_release."""
        request = TargetRequest(spec=spec or make_spec(), deployment_id=ID, cluster_uid="uid-1@ca-1")
        return self.run(self.activities.remove_release, request)

    def await_rollout(self, replicas: int = 0, *, patient: bool = False) -> Any:
        """await_rollout of a release with this many clients."""
        release = Release(stage="abc", image=IMAGE)
        request = RolloutRequest(spec=make_spec(), release=release, generation=1, replicas=replicas, patient=patient)
        self.beats.clear()
        return self.run(self.activities.await_rollout, request)
