"""Faulty deployment, rendered by the product in a namespace of its own, and our diagnosis of it."""

import contextlib
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from activities.release.rollout import Rollout
from bench.world.embedded import World
from clients.kubernetes.cluster import KubernetesCluster
from domain import names
from domain.errors import TransientError
from domain.kubernetes import Manifest, Snapshot
from domain.messages.release import RolloutRequest
from domain.spec import ClusterSpec, Endpoint, ImageTarget, KeyValue
from domain.status import Observation, Release
from planning.manifests import render

_STAGE = "bench"
_APPLY_SECONDS = 60.0  # seconds for an apply
_USER = "65532"  # any number but 0 will do: the images name their own


class Case:
    """A deployment; on real nodes, which others use too, it is no prover to the scheduler."""

    def __init__(
        self,
        world: World,
        name: str,
        *,
        image: str = "",
        key_value: str = "",
        replicas: int = 2,
        container: Mapping[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
        extra: Sequence[Manifest] = (),
    ) -> None:
        """`image` as nodes know it; `key_value` is the label and taint of a fleet; `extra` objects come first."""
        self.namespace = f"{name}-{uuid.uuid4().hex[:8]}"
        self._labels = dict(labels or {})
        self._container = dict(container or {})
        self._extra = [found | {"metadata": found["metadata"] | {"namespace": self.namespace}} for found in extra]
        self._shares_nodes = not key_value
        node = KeyValue(key=key_value.partition("=")[0], value=key_value.partition("=")[2]) if key_value else None
        registry = world.env["WORLD_ANONYMOUS_REGISTRY_ALIAS"]
        self.release = Release(stage=_STAGE, image=image or f"{registry}/pause:1", image_user=_USER)
        self.spec = ClusterSpec(
            namespace=self.namespace,
            coordinator=Endpoint(ip=world.env["COORDINATOR_EP"]),
            image=ImageTarget(repository="pause", push_host=registry, pull_host=registry),
            stage=_STAGE,
            replicas=replicas,
            client_grace=1,
            **({"node_label": node, "node_taint": node} if node else {}),
        )

    def manifests(self) -> list[Manifest]:
        """Return the objects that a deploy applies."""
        objects = render.render(self.spec, self.release, owner="bench/bench", image_user=_USER, pull_secret=False)
        template = objects[-1]["spec"]["template"]
        template["spec"]["containers"][0] |= self._container
        if self._shares_nodes:
            del template["spec"]["affinity"]["podAntiAffinity"]
            template["metadata"]["labels"][names.ROLE_LABEL] = "bench"
        return objects

    def prepare(self, cluster: KubernetesCluster) -> None:
        """Create the namespace and what hinders the deployment."""
        metadata = {"name": self.namespace, "labels": self._labels}
        _apply(cluster, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}, *self._extra)

    def apply(self, cluster: KubernetesCluster) -> None:
        """Roll it out."""
        _apply(cluster, *self.manifests())

    def remove(self, cluster: KubernetesCluster) -> None:
        """Delete the namespace; its end is not awaited."""
        with contextlib.suppress(TransientError):
            cluster.delete("Namespace", self.namespace, "")

    def await_rollout(
        self, cluster: KubernetesCluster, hear: Callable[[Observation], None], seconds: float
    ) -> Observation | None:
        """Return what ends the product's wait for the rollout, or None; pass each judgement on the way to `hear`."""
        deadline = time.monotonic() + seconds
        request = RolloutRequest(spec=self.spec, release=self.release, generation=0, replicas=self.spec.replicas)
        try:
            return _Overheard(cluster, request, hear).run(lambda: time.monotonic() > deadline)
        except TransientError:
            return None


def _apply(cluster: KubernetesCluster, *objects: Manifest) -> None:
    """Again while the API server is too busy to answer, as the product's workflow does."""
    deadline = time.monotonic() + _APPLY_SECONDS
    for found in objects:
        while True:
            try:
                cluster.apply(found)
                break
            except TransientError:
                if time.monotonic() > deadline:
                    raise


class _Overheard(Rollout):
    """The wait of activity await_rollout."""

    def __init__(
        self, cluster: KubernetesCluster, request: RolloutRequest, hear: Callable[[Observation], None]
    ) -> None:
        super().__init__(cluster, request, beat=lambda _: None)
        self._hear = hear

    def _judge(self, snapshot: Snapshot) -> Observation:
        seen = super()._judge(snapshot)
        self._hear(seen)
        return seen
