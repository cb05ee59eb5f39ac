"""The long watch while serving: async, one await per deployment, on a queue of its own (prover-watch.<cluster>)."""

import asyncio
from contextlib import aclosing

from temporalio import activity

from domain.errors import SettingsInvalid
from domain.ports import Watches
from domain.status import Observation
from domain.steps import WatchRequest
from planning import rollout

BEAT_EVERY = 5.0  # seconds


class WatchActivities:
    """Needs the shared informers of each cluster by name."""

    def __init__(self, watches: dict[str, Watches]) -> None:
        """`watches` by CLUSTER name."""
        self._watches = watches

    @activity.defn
    async def watch_release(self, request: WatchRequest) -> Observation:
        """Return the first observation that differs from `request.known` in something that matters."""
        spec = request.spec
        if spec.cluster not in self._watches:
            raise SettingsInvalid([f"CLUSTER={spec.cluster} is not watched by this worker: add it to KUBE_CONTEXTS."])
        watches = self._watches[spec.cluster]
        beating = asyncio.create_task(_beat())
        try:
            async with aclosing(watches.observations(spec.namespace, spec.deploy_name, request.release.stage)) as seen:
                async for observation in seen:
                    if rollout.significant(request.known, observation):
                        return observation
        finally:
            beating.cancel()
        raise AssertionError("observations never end by themselves")


async def _beat() -> None:
    while True:
        activity.heartbeat()
        await asyncio.sleep(BEAT_EVERY)
