"""The wait for large rollouts on fake nodes: one list a kind and watches, and memory that stays small."""

import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from activities.release.rollout import Rollout
from clients.kubernetes.cluster import KubernetesCluster
from clients.kubernetes.reflector import STEADY_SECONDS
from domain.kubernetes import Manifest
from domain.messages.release import RolloutRequest
from domain.spec import ClusterSpec, Endpoint, ImageTarget
from domain.status import Observation, Release
from sandbox.kubernetes.fleet import Fleet
from sandbox.settings import Settings
from tests.support.kubernetes.watching import KINDS, Counting, deployment

REPLICAS = 500
MEMORY = 100  # MiB


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """Nodes that take many clients each: the number of pods is what counts here."""
    with Fleet(Settings.from_environment(), "rollout") as made:
        made.create(10)
        yield made


def rollout_of(namespace: str, fleet: Fleet, stage: str, replicas: int) -> Manifest:
    """Our Deployment on the fleet, a tenth of it at a time."""
    found = deployment(namespace, replicas)
    key, _, value = fleet.key_value.partition("=")
    template = found["spec"]["template"]
    template["metadata"]["labels"]["stage"] = stage
    template["spec"] |= {
        "nodeSelector": {key: value},
        "tolerations": [{"key": key, "value": value, "effect": "NoSchedule"}],
    }
    found["spec"]["strategy"] = {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "10%"}}
    return found


def awaited(cluster: KubernetesCluster, namespace: str, stage: str, replicas: int) -> Observation:
    """Return the end of the rollout, as the activity sees it."""
    spec = ClusterSpec(namespace=namespace, coordinator=Endpoint(ip="10.0.0.9"), image=ImageTarget(repository="toy"))
    request = RolloutRequest(spec=spec, release=Release(stage=stage), generation=1, replicas=replicas)
    deadline = time.monotonic() + 300
    return Rollout(cluster, request, lambda _: None).run(lambda: time.monotonic() > deadline)


def resident() -> int:
    """MiB of this process in memory."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) // 1024


def test_five_hundred_clients(world: dict[str, str], cluster: KubernetesCluster, fleet: Fleet) -> None:
    """From nothing to all of them with one list a kind; the rest is watches."""
    namespace = f"test-fleet-{uuid4().hex[:6]}"
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    counting = Counting(world["KUBECONFIG"])
    before, began = resident(), time.monotonic()
    try:
        cluster.apply(rollout_of(namespace, fleet, "one", REPLICAS))
        seen = awaited(KubernetesCluster(counting), namespace, "one", REPLICAS)
        assert (seen.complete, seen.ready, len(seen.pods)) == (True, REPLICAS, REPLICAS), seen.diagnosis
        assert {kind: counting.lists[kind] for kind in KINDS} == dict.fromkeys(KINDS, 1)
        # three times a minute by themselves, and when the API server finds us slow to read: never without a pause
        assert max(counting.watches.values()) <= 2 + (time.monotonic() - began) / STEADY_SECONDS
    finally:
        cluster.delete("Namespace", namespace, "")
        counting.close()
    assert resident() - before < MEMORY
