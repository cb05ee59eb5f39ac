"""The long watches of serving deployments: asyncio over shared informers, so that hundreds cost no thread each."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable

from clients.kubernetes.cluster import KubernetesCluster
from clients.kubernetes.informers import SharedInformers
from clients.kubernetes.node_watch import NodeWatch
from domain.errors import ProverError
from domain.kubernetes import Manifest, Snapshot
from domain.ports import Explain
from domain.status import Observation
from planning.diagnosis import rollout_status
from planning.kubernetes import objects

REVIEW_SECONDS = 10.0  # seconds after which an unfinished state is judged again: a grace period may have passed
SETTLE_SECONDS = 0.05  # seconds to let a burst of changes become one
EVENTS_EVERY_SECONDS = 5.0  # seconds at least between two lists of events, of a deployment in which something changes
EVENTS_AGAIN_SECONDS = 30.0  # seconds between them while nothing else changes: events alone report some troubles


class SharedWatches:
    """Fulfils `domain.ports.Watches` for one cluster; one for all deployments of a worker."""

    def __init__(self, cluster: KubernetesCluster) -> None:
        self._cluster = cluster
        self._informers = SharedInformers(cluster.connection)
        self._nodes = NodeWatch(cluster.connection)

    async def observations(
        self, namespace: str, deploy_name: str, stage: str, explain: Explain | None = None
    ) -> AsyncGenerator[Observation, None]:
        """Yield the current observation and then each one that differs; a slow consumer gets the latest only.

        `explain` is asked before each while clients run.

        Lost connections recover by themselves; Forbidden or CredentialsRejected when the API server refuses for good.
        """
        changed, notify = _bell()
        events = _Events(self._cluster, namespace)
        last: Observation | None = None
        self._informers.subscribe(namespace, notify)
        try:
            while True:
                news = changed.is_set()
                changed.clear()
                refusal = self._informers.refusal(namespace)
                if refusal:
                    raise refusal
                snapshot = self._snapshot(namespace, deploy_name)
                if snapshot:
                    if explain and _ready(snapshot):
                        snapshot = await explain(snapshot)
                    seen = await _judge(snapshot, events, deploy_name, stage, news=news)
                    if seen != last:
                        last = seen
                        yield seen
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), REVIEW_SECONDS)
                    await asyncio.sleep(SETTLE_SECONDS)
        finally:
            self._informers.unsubscribe(namespace, notify)

    async def capacity(self) -> AsyncGenerator[None, None]:
        """Yield at once, whenever nodes or provers of any namespace changed, and at least every few seconds."""
        changed, notify = _bell()
        self._nodes.subscribe(notify)
        try:
            while True:
                changed.clear()
                yield
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), self._nodes.review)
        finally:
            self._nodes.unsubscribe(notify)

    def close(self) -> None:
        """End the watches and their threads."""
        self._informers.close()
        self._nodes.close()

    def _snapshot(self, namespace: str, deploy_name: str) -> Snapshot | None:
        """Return None until every kind was listed once: half of it would look like missing pods."""
        found = {kind: self._informers.objects(kind, namespace) for kind in ("Deployment", "ReplicaSet", "Pod")}
        deployments, sets, pods = found["Deployment"], found["ReplicaSet"], found["Pod"]
        if deployments is None or sets is None or pods is None:
            return None
        return Snapshot.model_construct(  # not validated: these are the API server's own objects
            now=time.time(),
            deployment=next(iter(deployments), None),
            replica_sets=_named(sets, deploy_name),
            pods=_named(pods, deploy_name),
        )


class _Events:
    """The events of one namespace, read only when something is wrong there, and seldom."""

    def __init__(self, cluster: KubernetesCluster, namespace: str) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._known: list[Manifest] = []
        self._read_at = float("-inf")
        self._stale = False

    async def read(self, *, news: bool) -> list[Manifest]:
        """Return the known events, read again when they may have changed."""
        self._stale = self._stale or news
        if time.monotonic() - self._read_at > (EVENTS_EVERY_SECONDS if self._stale else EVENTS_AGAIN_SECONDS):
            with contextlib.suppress(ProverError):  # events explain; without them the state is still true
                self._known = await asyncio.to_thread(self._cluster.events, self._namespace)
            self._read_at, self._stale = time.monotonic(), False
        return self._known


async def _judge(snapshot: Snapshot, events: _Events, deploy_name: str, stage: str, *, news: bool) -> Observation:
    seen = rollout_status.observe(snapshot, app=deploy_name, stage=stage, image="")
    if seen.complete or not seen.exists:
        return seen
    explained = snapshot.model_copy(update={"events": await events.read(news=news)})
    return rollout_status.observe(explained, app=deploy_name, stage=stage, image="")


def _ready(snapshot: Snapshot) -> bool:
    return any(map(objects.ready, snapshot.pods))


def _bell() -> tuple[asyncio.Event, Callable[[], None]]:
    """Return an event of this loop and a function that sets it from any thread."""
    loop, rung = asyncio.get_running_loop(), asyncio.Event()

    def ring() -> None:
        with contextlib.suppress(RuntimeError):  # the loop closed while a watch thread still talks
            loop.call_soon_threadsafe(rung.set)

    return rung, ring


def _named(listed: list[Manifest], deploy_name: str) -> list[Manifest]:
    return [found for found in listed if (found["metadata"].get("labels") or {}).get("app") == deploy_name]
