"""Shared informers on a real API server: many namespaces on three threads, and per namespace where rights are few."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from clients.kubernetes import node_watch
from clients.kubernetes.cluster import KubernetesCluster, connect
from clients.kubernetes.deployment_watch import SharedWatches
from domain.errors import Forbidden
from domain.kubernetes import Manifest
from domain.status import Observation
from tests.support.kubernetes.service_accounts import account_kubeconfig, limited_account
from tests.support.kubernetes.watching import READ, deployment

PATIENCE = 20.0  # seconds


@pytest.fixture
def namespaces(cluster: KubernetesCluster) -> Iterator[list[str]]:
    """Five namespaces of this test alone."""
    made = [f"test-watch-{uuid4().hex[:8]}" for _ in range(5)]
    for name in made:
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield made
    for name in made:
        cluster.delete("Namespace", name, "")


async def _until_wanted(seen: AsyncGenerator[Observation, None], wanted: int) -> Observation:
    async with asyncio.timeout(PATIENCE):
        async for observation in seen:
            if observation.exists and observation.wanted == wanted and len(observation.pods) == wanted:
                return observation
    raise AssertionError("observations never end by themselves")


async def test_many_namespaces_share_three_threads(cluster: KubernetesCluster, namespaces: list[str]) -> None:
    """Each hears its own changes; the number of threads does not grow with the number of namespaces."""
    before = set(threading.enumerate())
    watches = SharedWatches(cluster)
    streams = [watches.observations(namespace, "client", "abc") for namespace in namespaces]
    firsts = [await anext(stream) for stream in streams]
    assert [first.exists for first in firsts] == [False] * 5
    watching = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("watch ")]
    assert len(watching) == 3
    for number, namespace in enumerate(namespaces):
        await asyncio.to_thread(cluster.apply, deployment(namespace, number))
    found = [await _until_wanted(stream, number) for number, stream in enumerate(streams)]
    assert [entry.ready for entry in found] == [0] * 5
    for stream in streams:
        await stream.aclose()
    await asyncio.to_thread(watches.close)
    assert [thread for thread in watching if thread.is_alive()] == []


async def test_without_cluster_wide_rights_each_namespace_is_watched(
    cluster: KubernetesCluster, world: dict[str, str], namespaces: list[str], tmp_path: Path
) -> None:
    """A Role in one namespace is enough."""
    namespace = namespaces[0]
    rules = [
        {"apiGroups": ["apps"], "resources": ["deployments", "replicasets"], "verbs": READ},
        {"apiGroups": [""], "resources": ["pods", "events"], "verbs": READ},
    ]
    limited_account(cluster, namespace, rules)
    limited = connect("default", {}, account_kubeconfig(cluster, world, namespace, "limited", tmp_path))
    cluster.apply(deployment(namespace, 1))
    watches = SharedWatches(limited)
    stream = watches.observations(namespace, "client", "abc")
    assert (await _until_wanted(stream, 1)).pods[0].state == "Pending"
    await asyncio.to_thread(cluster.apply, deployment(namespace, 2))
    assert len((await _until_wanted(stream, 2)).pods) == 2
    await stream.aclose()
    await asyncio.to_thread(watches.close)
    limited.close()


async def test_a_slow_consumer_gets_the_latest(cluster: KubernetesCluster, namespaces: list[str]) -> None:
    """What changed in between is skipped, not queued."""
    watches = SharedWatches(cluster)
    stream = watches.observations(namespaces[0], "client", "abc")
    await anext(stream)
    for replicas in (1, 2, 3, 0):
        await asyncio.to_thread(cluster.apply, deployment(namespaces[0], replicas))
    seen = await _until_wanted(stream, 0)
    assert seen.pods == []
    await stream.aclose()
    await asyncio.to_thread(watches.close)


async def test_rights_that_are_not_there_are_named(
    cluster: KubernetesCluster, world: dict[str, str], namespaces: list[str], tmp_path: Path
) -> None:
    """Instead of a watch that silently never says anything."""
    limited_account(cluster, namespaces[0], [{"apiGroups": [""], "resources": ["pods"], "verbs": READ}])
    limited = connect("default", {}, account_kubeconfig(cluster, world, namespaces[0], "limited", tmp_path))
    watches = SharedWatches(limited)
    with pytest.raises(Forbidden, match=r"may not list (deployments|replicasets).apps in namespace"):
        await anext(watches.observations(namespaces[0], "client", "abc"))
    await asyncio.to_thread(watches.close)
    limited.close()


def node(name: str, **labels: str) -> Manifest:
    """Return a node that nobody runs and nothing goes to."""
    taint = {"key": "test", "value": name, "effect": "NoSchedule"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels},
        "spec": {"taints": [taint]},
    }


async def _told_within(changes: AsyncGenerator[None, None], seconds: float) -> None:
    async with asyncio.timeout(seconds):
        await anext(changes)


async def test_nodes_are_watched_while_somebody_waits(cluster: KubernetesCluster) -> None:
    """Once for all who wait, told at once, and by no thread before and after."""
    before = set(threading.enumerate())
    watches, name = SharedWatches(cluster), f"test-watch-{uuid4().hex[:8]}"
    waiting = [watches.capacity(), watches.capacity()]
    for changes in waiting:
        await _told_within(changes, 1)
    watching = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("watch ")]
    assert len(watching) == 2
    for labels in ({}, {"a": "b"}):
        for changes in waiting:
            await _quiet(changes)
        await asyncio.to_thread(cluster.apply, node(name, **labels))
        for changes in waiting:
            await _told_within(changes, node_watch.REVIEW_SECONDS - 2)
    await asyncio.to_thread(cluster.delete, "Node", name, "")
    for changes in waiting:
        await changes.aclose()
    await asyncio.to_thread(_join, watching)
    assert [thread for thread in watching if thread.is_alive()] == []
    await asyncio.to_thread(watches.close)


async def _quiet(changes: AsyncGenerator[None, None]) -> None:
    """Until nothing is heard for a moment; others use the world, too."""
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        await anext(changes)
        if loop.time() - began > 0.5:
            return


def _join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(PATIENCE)


async def test_where_nodes_may_not_be_watched_they_are_looked_at_often(
    cluster: KubernetesCluster, world: dict[str, str], namespaces: list[str], tmp_path: Path
) -> None:
    """A look every few seconds costs little and needs no more than the right to list."""
    limited_account(cluster, namespaces[0], [{"apiGroups": [""], "resources": ["pods"], "verbs": READ}])
    limited = connect("default", {}, account_kubeconfig(cluster, world, namespaces[0], "limited", tmp_path))
    watches = SharedWatches(limited)
    changes = watches.capacity()
    await _told_within(changes, 1)
    for _ in range(2):
        await _told_within(changes, node_watch.BLIND_REVIEW_SECONDS + 2)
    await changes.aclose()
    await asyncio.to_thread(watches.close)
    limited.close()
