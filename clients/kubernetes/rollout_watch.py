"""The watches of one rollout: a list and a watch for each kind, a snapshot at once after each change."""

import threading
import time
from collections.abc import Callable, Iterator

from clients.kubernetes.connection import ApiConnection
from clients.kubernetes.object_store import ObjectStore
from clients.kubernetes.reflector import Reflector
from clients.kubernetes.resources import collection
from domain import names
from domain.errors import ProverError
from domain.kubernetes import Manifest, Snapshot
from planning.kubernetes.objects import last_seen

TICK_SECONDS = 2.0  # seconds between yields when nothing happens, so that callers beat
BURST_SECONDS = 0.01  # seconds between yields when much happens; the first change of a burst does not wait
LONGEST_PAUSE_SECONDS = (
    0.2  # seconds; a caller that takes long to judge many pods is given time to do other things, too
)
# A watch of a rollout is short, so that a connection that silently leads nowhere is found out within seconds: the
# server ends it after WATCH, and shortly before that it sends a bookmark.
WATCH_SECONDS, SILENCE_SECONDS = 20, 23.0
MOST_EVENTS = 3000  # the newest are kept


class RolloutWatch:
    """The Deployment of one namespace, the ReplicaSets and pods of its `app` label, and the events about them."""

    def __init__(
        self,
        connection: ApiConnection,
        namespace: str,
        deploy_name: str,
        *,
        watch: int = WATCH_SECONDS,
        silence: float = SILENCE_SECONDS,
    ) -> None:
        """Prepare the watches; `watch` and `silence` are in seconds."""
        self._news = threading.Event()
        ours, app = {"fieldSelector": f"metadata.name={names.DEPLOYMENT}"}, {"labelSelector": f"app={deploy_name}"}
        selectors = {"Deployment": ours, "ReplicaSet": app, "Pod": app, "Event": {}}
        self._stores = {
            kind: _EventStore(self._tell, limit=MOST_EVENTS) if kind == "Event" else ObjectStore(self._tell)
            for kind in selectors
        }
        self._reflectors = {
            kind: Reflector(
                connection,
                collection(kind, namespace),
                self._stores[kind],
                selectors=chosen,
                server_timeout=watch,
                silence=silence,
            )
            for kind, chosen in selectors.items()
        }

    def snapshots(self, stop: Callable[[], bool]) -> Iterator[Snapshot | None]:
        """Yield until `stop`, at least every TICK_SECONDS; None while the API server is away or not all is listed."""
        try:
            for reflector in self._reflectors.values():
                reflector.start()
            while not stop():
                self._news.wait(TICK_SECONDS)
                self._news.clear()
                began = time.monotonic()
                yield self._snapshot()
                time.sleep(min(max(BURST_SECONDS, time.monotonic() - began), LONGEST_PAUSE_SECONDS))
        finally:
            for reflector in self._reflectors.values():
                reflector.close(wait=False)
            for reflector in self._reflectors.values():
                reflector.close()

    def _tell(self, _: set[str] | None) -> None:
        if self._refusal() or all(store.listed for store in self._stores.values()):
            self._news.set()

    def _refusal(self) -> ProverError | None:
        """Return the refusal of a kind that is needed; events only explain."""
        return next(
            (found.refusal for kind, found in self._reflectors.items() if kind != "Event" and found.refusal), None
        )

    def _snapshot(self) -> Snapshot | None:
        refusal = self._refusal()
        if refusal:
            raise refusal
        if any(reflector.away for reflector in self._reflectors.values()) or not all(
            store.listed for store in self._stores.values()
        ):
            return None
        found = {kind: store.objects() or [] for kind, store in self._stores.items()}
        return Snapshot.model_construct(  # not validated: these are the API server's own objects, thousands of them
            now=time.time(),
            deployment=next(iter(found["Deployment"]), None),
            replica_sets=found["ReplicaSet"],
            pods=found["Pod"],
            events=found["Event"],
        )


class _EventStore(ObjectStore):
    """The newest events about our objects, oldest first; none with no right to read them."""

    def replaced(self, objects: list[Manifest]) -> None:
        super().replaced(sorted(filter(_ours, objects), key=last_seen)[-MOST_EVENTS:])

    def changed(self, change: str, found: Manifest) -> None:
        if _ours(found):
            super().changed(change, found)

    def refused(self, error: ProverError) -> None:
        if not self.listed:
            self.replaced([])
        super().refused(error)


def _ours(event: Manifest) -> bool:
    """Return whether it is about the Deployment, its ReplicaSets or its pods, whose names all begin alike."""
    return str((event.get("involvedObject") or {}).get("name") or "").startswith(names.DEPLOYMENT)
