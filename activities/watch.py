"""The long watch while serving: async, one await per deployment, on a queue of its own (prover-watch.<cluster>)."""

from temporalio import activity

from domain.ports import Watches
from domain.status import Observation
from domain.steps import WatchRequest


class WatchActivities:
    """Needs the shared informers of each cluster by name."""

    def __init__(self, watches: dict[str, Watches]) -> None:
        """`watches` by CLUSTER name."""
        self._watches = watches

    @activity.defn
    async def watch_release(self, request: WatchRequest) -> Observation:
        """Return the first observation that differs from `request.known` in something that matters."""
        raise NotImplementedError
