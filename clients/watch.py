"""The long watches of serving deployments: asyncio over shared informers, so that hundreds cost no thread each."""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator

from clients.cluster import KubernetesCluster
from clients.watch_cache import WatchCache
from domain.errors import ProverError
from domain.ports import Manifest
from domain.snapshot import Snapshot
from domain.status import Observation
from planning import rollout

REVIEW = 10.0  # seconds after which an unfinished state is judged again: a grace period may have passed
SETTLE = 0.05  # seconds to let a burst of changes become one


class SharedWatches:
    """Fulfils `domain.ports.Watches` for one cluster; one for all deployments of a worker."""

    def __init__(self, cluster: KubernetesCluster) -> None:
        self._cluster = cluster
        self._cache = WatchCache(cluster.connection)

    async def observations(self, namespace: str, deploy_name: str, stage: str) -> AsyncGenerator[Observation, None]:
        """The current observation and then each one that differs; a slow consumer gets the latest only.

        Lost connections recover by themselves; Forbidden or CredentialsRejected when the API server says no for good.
        """
        loop, changed = asyncio.get_running_loop(), asyncio.Event()

        def notify() -> None:
            with contextlib.suppress(RuntimeError):  # the loop closed while a watch thread still talks
                loop.call_soon_threadsafe(changed.set)

        self._cache.subscribe(namespace, notify)
        last: Observation | None = None
        try:
            while True:
                refusal = self._cache.refusal(namespace)
                if refusal:
                    raise refusal
                seen = await self._observe(namespace, deploy_name, stage)
                if seen is not None and seen != last:
                    last = seen
                    yield seen
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), REVIEW)
                    await asyncio.sleep(SETTLE)
                changed.clear()
        finally:
            self._cache.unsubscribe(namespace, notify)

    def close(self) -> None:
        """End the watches and their threads."""
        self._cache.close()

    async def _observe(self, namespace: str, deploy_name: str, stage: str) -> Observation | None:
        """None until every kind was listed once; a first look at half of it would report missing pods."""
        found = {kind: self._cache.objects(kind, namespace) for kind in ("Deployment", "ReplicaSet", "Pod")}
        deployments, sets, pods = found["Deployment"], found["ReplicaSet"], found["Pod"]
        if deployments is None or sets is None or pods is None:
            return None
        deployment = deployments[0] if deployments else None

        def observe(events: list[Manifest]) -> Observation:
            snapshot = Snapshot(
                now=time.time(),
                deployment=deployment,
                replica_sets=_named(sets, deploy_name),
                pods=_named(pods, deploy_name),
                events=events,
            )
            return rollout.observe(snapshot, app=deploy_name, stage=stage, image="")

        seen = observe([])
        if seen.complete or deployment is None:
            return seen
        with contextlib.suppress(ProverError):  # events explain; without them the state is still true
            return observe(await asyncio.to_thread(self._cluster.events, namespace))
        return seen


def _named(objects: list[Manifest], deploy_name: str) -> list[Manifest]:
    return [found for found in objects if (found["metadata"].get("labels") or {}).get("app") == deploy_name]
