"""The long watches: async, one await per deployment, on a queue of their own (prover-watch.<cluster>)."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager

from temporalio import activity

from activities.cluster import capacity
from activities.cluster.explanation import Registration
from domain.errors import SettingsInvalid, TransientError
from domain.kubernetes import Snapshot
from domain.messages.nodes import NodesReport, NodesRequest
from domain.messages.release import WatchRequest
from domain.ports import Cluster, Explain, Reach, Watches
from domain.spec import ClusterSpec
from domain.status import Observation
from planning.diagnosis import rollout_status
from planning.text.listing import listed

BEAT_EVERY = 5.0  # seconds
PACE = 1.0  # seconds between two looks at the nodes
SHARE = 2.0  # and as many times as long as the last look took, for thousands of nodes take seconds
NAMED = 3  # nodes in a line of progress

Say = Callable[[str], None]


class WatchActivities:
    """Needs the clusters, and the shared informers of each, by CLUSTER name."""

    def __init__(
        self, watches: Mapping[str, Watches], clusters: Mapping[str, Cluster], reach: Reach | None = None
    ) -> None:
        """Watches and clusters by CLUSTER name; `reach` is how this machine tries a coordinator."""
        self._watches = watches
        self._clusters = clusters
        self._reach = reach
        self._registrations: dict[tuple[str, str], Registration] = {}  # kept from one watch to the next

    @activity.defn
    async def watch_release(self, request: WatchRequest) -> Observation:
        """Return the first observation that differs from `request.known` in something that matters."""
        spec = request.spec
        watches = self._watching(spec.cluster)
        async with (
            _beating(),
            aclosing(
                watches.observations(
                    spec.namespace, spec.deploy_name, request.release.stage, self._explaining(request.spec)
                )
            ) as seen,
        ):
            async for observation in seen:
                if rollout_status.significant(request.known, observation):
                    return observation
        raise AssertionError("observations never end by themselves")

    @activity.defn
    async def await_nodes(self, request: NodesRequest) -> NodesReport:
        """Return as soon as so many clients fit; for days, holding a thread only while the nodes are judged."""
        watches, cluster = self._watching(request.spec.cluster), self._clusters[request.spec.cluster]
        async with _beating() as say, aclosing(watches.capacity()) as changes:
            async for _ in changes:
                began = time.monotonic()
                try:
                    report = await asyncio.to_thread(capacity.look, cluster, request, _beaten)
                except TransientError as error:  # nodes come and go without the API server, so the wait goes on
                    say(f"waiting for the Kubernetes API: {error.diagnosis.because or error.diagnosis.what}")
                else:
                    if report.diagnosis is None:
                        return report
                    say(progress(report))
                await asyncio.sleep(max(PACE, SHARE * (time.monotonic() - began)))
        raise AssertionError("the watch of nodes never ends by itself")

    def _explaining(self, spec: ClusterSpec) -> Explain:
        """Return the reader of logs, which reads once a minute whatever changes."""
        fresh = Registration(self._clusters[spec.cluster], self._reach)
        registration = self._registrations.setdefault((spec.cluster, spec.namespace), fresh)

        async def explain(snapshot: Snapshot) -> Snapshot:
            if registration.due:
                return await asyncio.to_thread(registration.add, spec, snapshot)
            return registration.add(spec, snapshot)

        return explain

    def _watching(self, cluster: str) -> Watches:
        if cluster not in self._watches:
            raise SettingsInvalid([f"CLUSTER={cluster} is not watched by this worker: add it to KUBE_CONTEXTS."])
        return self._watches[cluster]


def progress(report: NodesReport) -> str:
    """Return one line for the heartbeat, e.g. `48 of 50 nodes usable; node-9: cordoned`."""
    text = f"{report.usable} of {report.wanted} nodes usable"
    unusable = [node for node in report.nodes if not node.usable]
    named = [f"{node.name}: {', '.join(node.reasons) or node.booked_by}" for node in unusable]
    return "; ".join([text, *([listed(named, NAMED, "; ")] if named else [])])


def _beaten(_text: str) -> None:
    """Ignore a text: the event loop sends heartbeats meanwhile."""


@asynccontextmanager
async def _beating() -> AsyncIterator[Say]:
    """Heartbeats with what was said last."""
    said: list[str] = []

    def say(text: str) -> None:
        said[:] = [text]
        activity.heartbeat(text)

    async def beat() -> None:
        while True:
            activity.heartbeat(*said)
            await asyncio.sleep(BEAT_EVERY)

    beating = asyncio.create_task(beat())
    try:
        yield say
    finally:
        beating.cancel()
