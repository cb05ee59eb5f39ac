"""The durable wait for nodes on a real API server: told what is missing, and over the moment that a node fits."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from temporalio.testing import ActivityEnvironment

from activities.watch import WatchActivities
from clients.kubernetes.cluster import KubernetesCluster
from clients.kubernetes.deployment_watch import SharedWatches
from domain.messages.nodes import NodesReport, NodesRequest
from domain.spec import ClusterSpec, Endpoint, ImageTarget, KeyValue
from sandbox.kubernetes.fleet import Fleet
from sandbox.settings import Settings

PATIENCE = 60.0  # seconds on a busy machine; the review alone comes every ten


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    """Two nodes, one of them cordoned."""
    with Fleet(Settings.from_environment(), "await") as made:
        made.create(1)
        made.create(1, cordoned=True)
        yield made


@pytest_asyncio.fixture
async def watches(cluster: KubernetesCluster) -> AsyncIterator[SharedWatches]:
    """Of this test alone."""
    made = SharedWatches(cluster)
    yield made
    await asyncio.to_thread(made.close)


class Wait:
    """One activity that waits for clients of its own fleet, and what it says."""

    def __init__(self, cluster: KubernetesCluster, watches: SharedWatches, fleet: Fleet, namespace: str) -> None:
        key, _, value = fleet.key_value.partition("=")
        self._pair = KeyValue(key=key, value=value)
        self._namespace = namespace
        self._activities = WatchActivities({"default": watches}, {"default": cluster})
        self._said: list[str] = []
        self._heard = asyncio.Event()

    def start(self, replicas: int) -> "asyncio.Task[NodesReport]":
        """The wait."""
        spec = ClusterSpec(
            namespace=self._namespace,
            coordinator=Endpoint(ip="10.0.0.9"),
            image=ImageTarget(repository="toy"),
            node_label=self._pair,
            node_taint=self._pair,
        )
        environment = ActivityEnvironment()
        environment.on_heartbeat = self._hear
        request = NodesRequest(spec=spec, replicas=replicas)
        return asyncio.ensure_future(environment.run(self._activities.await_nodes, request))

    async def until_said(self, text: str) -> None:
        """Until the heartbeats say so."""
        async with asyncio.timeout(PATIENCE):
            while not any(text in said for said in self._said):
                self._heard.clear()
                await self._heard.wait()

    def _hear(self, *details: object) -> None:
        self._said.extend(map(str, details))
        self._heard.set()


async def test_the_wait_is_over_when_a_node_fits(
    cluster: KubernetesCluster, watches: SharedWatches, fleet: Fleet, namespace: str
) -> None:
    """A node that is uncordoned, then one that arrives: heard of, not found by looking again."""
    wait = Wait(cluster, watches, fleet, namespace)
    second = f"{fleet.name}-1"
    waiting = wait.start(2)
    await wait.until_said(f"1 of 2 nodes usable; {second}: cordoned")
    await asyncio.to_thread(fleet.cordon, second, cordoned=False)
    report = await asyncio.wait_for(waiting, PATIENCE)
    assert (report.usable, report.diagnosis) == (2, None)
    waiting = wait.start(3)
    await wait.until_said("2 of 3 nodes usable")
    await asyncio.to_thread(fleet.create, 1)
    report = await asyncio.wait_for(waiting, PATIENCE)
    assert (report.usable, report.diagnosis) == (3, None)


async def test_many_wait_without_threads(
    cluster: KubernetesCluster, watches: SharedWatches, fleet: Fleet, namespace: str
) -> None:
    """Ten waits hold the two threads of the watches, and are over together."""
    waits = [Wait(cluster, watches, fleet, namespace) for _ in range(10)]
    before = set(threading.enumerate())
    waiting = [wait.start(2) for wait in waits]
    for wait in waits:
        await wait.until_said("1 of 2 nodes usable")
    held = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("watch ")]
    assert len(held) == 2
    await asyncio.to_thread(fleet.cordon, f"{fleet.name}-1", cordoned=False)
    async with asyncio.timeout(PATIENCE):
        reports = await asyncio.gather(*waiting)
    assert {report.usable for report in reports} == {2}
