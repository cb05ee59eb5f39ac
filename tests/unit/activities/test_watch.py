"""The long watch: it returns only what matters, and beats while nothing does."""

import asyncio
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities import watch
from activities.watch import WatchActivities
from domain.errors import SettingsInvalid, Unavailable
from domain.kubernetes import Manifest, Snapshot
from domain.messages.nodes import NodesReport, NodesRequest, NodeVerdict
from domain.messages.release import WatchRequest
from domain.ports import Explain
from domain.spec import ClusterSpec, Endpoint, ImageTarget
from domain.status import Observation, Pod, Release
from tests.support.kubernetes import objects
from tests.support.kubernetes.fake_cluster import FakeCluster

KNOWN = Observation(
    exists=True, wanted=1, updated=1, ready=1, available=1, complete=True, pods=[Pod(name="a", ready=True)]
)


class FakeWatches:
    """Observes what it was given, then nothing for ever; remembers that it was closed.

    There is news of nodes as often as anybody asks.
    """

    def __init__(self, *seen: Observation) -> None:
        self.seen = seen
        self.asked: tuple[str, str, str] | None = None
        self.closed = False
        self.snapshot = Snapshot()
        self.explained: list[Snapshot] = []

    async def observations(
        self, namespace: str, deploy_name: str, stage: str, explain: Explain | None = None
    ) -> AsyncGenerator[Observation, None]:
        """The script; what explains is asked beside each."""
        self.asked = (namespace, deploy_name, stage)
        await asyncio.sleep(0)  # as a real one, it lets others run
        try:
            for observation in self.seen:
                self.explained += [await explain(self.snapshot)] if explain else []
                yield observation
        finally:
            self.closed = True

    async def capacity(self) -> AsyncGenerator[None, None]:
        """Always."""
        try:
            while True:
                await asyncio.sleep(0)
                yield
        finally:
            self.closed = True


def request(cluster: str = "default") -> WatchRequest:
    """A watch of one client that runs."""
    spec = ClusterSpec(
        cluster=cluster, namespace="ns", coordinator=Endpoint(ip="10.0.0.9"), image=ImageTarget(repository="prover")
    )
    return WatchRequest(spec=spec, release=Release(stage="abc"), known=KNOWN)


async def test_the_first_observation_that_matters_is_returned() -> None:
    """Restart counts alone are no news; a client that is not ready is."""
    restarted = KNOWN.model_copy(update={"pods": [Pod(name="a", ready=True, restarts=3)]})
    lost = KNOWN.model_copy(update={"ready": 0})
    watches = FakeWatches(KNOWN, restarted, lost)
    beats: list[object] = []
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: beats.append(details)
    assert (
        await environment.run(
            WatchActivities({"default": watches}, {"default": FakeCluster()}).watch_release, request()
        )
        == lost
    )
    assert (watches.asked, watches.closed, len(beats) > 0) == (("ns", "client", "abc"), True, True)


async def test_what_clients_say_is_read_once_however_often_the_watch_starts() -> None:
    """Each look sees it; a watch that begins anew within the minute does not read it again."""
    reads: list[str] = []

    class Heard(FakeCluster):
        def logs(self, pod: str, namespace: str, *, previous: bool = False, lines: int = 20) -> str:
            reads.append(pod)
            return super().logs(pod, namespace, previous=previous, lines=lines)

    cluster = Heard()
    cluster.said = {"p1": "ERROR poll task error tcp connect error: Connection refused"}
    watches = FakeWatches(KNOWN, KNOWN, KNOWN.model_copy(update={"ready": 0}))
    watches.snapshot = Snapshot(deployment=objects.deployment(1), pods=[objects.pod("p1")])
    activities = WatchActivities({"default": watches}, {"default": cluster}, lambda *_: "refused")
    for _ in range(2):
        await ActivityEnvironment().run(activities.watch_release, request())
    assert (reads, len(watches.explained)) == (["p1"], 6)
    assert {(one.logs["p1"], one.circuit) for one in watches.explained} == {(cluster.said["p1"], "")}


async def test_an_unknown_cluster_is_named() -> None:
    """Instead of a KeyError."""
    with pytest.raises(SettingsInvalid, match="CLUSTER=other"):
        await ActivityEnvironment().run(WatchActivities({}, {}).watch_release, request("other"))


def node(cluster: FakeCluster, name: str, **spec: object) -> None:
    """A node for clients that is Ready."""
    cluster.put(
        "Node",
        name,
        labels={"fluidexnode": "computation"},
        spec={"taints": [{"key": "dedicated", "value": "computation", "effect": "NoSchedule"}], **spec},
        status={"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"cpu": "4", "memory": "8Gi"}},
    )


class GrowingCluster(FakeCluster):
    """Something happens before each look at its nodes."""

    def find(self, kind: str, namespace: str = "", **chosen: Any) -> list[Manifest]:
        """As any other."""
        if kind == "Node" and self.steps:
            self.steps.pop(0)()
        return super().find(kind, namespace, **chosen)


async def test_nodes_are_awaited_until_every_client_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The heartbeat says which are missing; an API server that is away is waited for, too."""
    monkeypatch.setattr(watch, "PACE", 0.01)
    cluster, watches = GrowingCluster(), FakeWatches()
    node(cluster, "node-1")
    node(cluster, "node-2", unschedulable=True)

    def away() -> None:
        raise Unavailable("down", because="the connection broke")

    cluster.steps = [lambda: None, away, partial(node, cluster, "node-2")]
    beats: list[str] = []
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: beats.append(str(details))
    activities = WatchActivities({"default": watches}, {"default": cluster})
    report = await environment.run(activities.await_nodes, NodesRequest(spec=request().spec, replicas=2))
    assert (report.usable, report.diagnosis, watches.closed, cluster.steps) == (2, None, True, [])
    said = [beat for beat in beats if beat != "()"]
    assert said == [
        "('1 of 2 nodes usable; node-2: cordoned',)",
        "('waiting for the Kubernetes API: the connection broke',)",
    ]


def test_progress_names_three_nodes_and_counts_the_rest() -> None:
    """One line, however many nodes there are."""
    nodes = [NodeVerdict(name=f"n{number}", usable=False, reasons=["cordoned"]) for number in range(5)]
    assert watch.progress(NodesReport(wanted=2, usable=0, nodes=nodes)) == (
        "0 of 2 nodes usable; n0: cordoned; n1: cordoned; n2: cordoned; and 2 more"
    )
