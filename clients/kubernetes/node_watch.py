"""Says when the room for clients may have changed: nodes come and change, provers of any namespace come and go."""

import threading
from collections.abc import Callable

from clients.kubernetes.connection import Connection
from clients.kubernetes.reflector import Slim, Stream
from clients.kubernetes.resources import collection
from domain import names
from domain.errors import ProverError
from domain.kubernetes import Manifest

REVIEW = 10.0  # seconds; quotas and the pods of others are not watched
BLIND_REVIEW = 5.0  # seconds, where nodes may not be watched

Notify = Callable[[], None]


class NodeWatch:
    """Two watches for any number of callers, and none while nobody waits; thread-safe.

    A worker waits for days here, and clusters have thousands of nodes: of each only what decides is kept.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._listeners: set[Notify] = set()
        self._streams: list[Stream] = []

    @property
    def review(self) -> float:
        """Seconds after which a caller should look again, though nothing was heard."""
        with self._lock:
            return BLIND_REVIEW if any(stream.refusal for stream in self._streams) else REVIEW

    def subscribe(self, notify: Notify) -> None:
        """Call `notify` (on any thread) whenever there may be more or less room."""
        with self._lock:
            self._listeners.add(notify)
            if self._streams:
                return
            provers = {"labelSelector": f"{names.ROLE_LABEL}={names.ROLE_VALUE}"}
            self._streams = [self._open("Node", node_mark, {}), self._open("Pod", pod_mark, provers)]
            for stream in self._streams:
                stream.start()

    def unsubscribe(self, notify: Notify) -> None:
        """Forget the listener and, after the last one, the watches."""
        with self._lock:
            self._listeners.discard(notify)
            ended, self._streams = ([], self._streams) if self._listeners else (self._streams, [])
        for stream in ended:
            stream.close(wait=False)

    def close(self) -> None:
        """End the watches and their threads."""
        with self._lock:
            ended, self._streams = self._streams, []
        for stream in ended:
            stream.close()

    def _open(self, kind: str, slim: Slim, selectors: dict[str, str]) -> Stream:
        return Stream(self._connection, collection(kind), Marks(self._tell), selectors=selectors, slim=slim)

    def _tell(self) -> None:
        with self._lock:
            told = list(self._listeners)
        for notify in told:
            notify()


class Marks:
    """A sink that knows what was seen of each object: a heartbeat or an image pulled is no news."""

    def __init__(self, tell: Notify) -> None:
        self._tell = tell
        self._known: dict[tuple[str, str], Manifest] | None = None

    def replaced(self, objects: list[Manifest]) -> None:
        """Tell when it is not what was known."""
        fresh = {_key(found): found for found in objects}
        before, self._known = self._known, fresh
        if before != fresh:
            self._tell()

    def changed(self, change: str, found: Manifest) -> None:
        """Tell when it decides something."""
        known = self._known = self._known or {}
        before = known.pop(_key(found), None)
        if change != "DELETED":
            known[_key(found)] = found
        if change == "DELETED" or before != found:
            self._tell()

    def refused(self, error: ProverError) -> None:  # noqa: ARG002 - the stream remembers it
        """Callers have to look again by themselves, more often."""
        self._tell()


def _key(found: Manifest) -> tuple[str, str]:
    return str(found["metadata"].get("namespace") or ""), str(found["metadata"]["name"])


def node_mark(found: Manifest) -> Manifest:
    """What of a node decides whether it takes a client."""
    status, spec = found.get("status") or {}, found.get("spec") or {}
    conditions = [(entry.get("type"), entry.get("status")) for entry in status.get("conditions") or []]
    kept = {key: found["metadata"].get(key) for key in ("name", "labels", "deletionTimestamp")}
    return {
        "metadata": kept,
        "spec": {key: spec.get(key) for key in ("taints", "unschedulable")},
        "status": {"allocatable": status.get("allocatable"), "conditions": conditions},
    }


def pod_mark(found: Manifest) -> Manifest:
    """What of a prover decides whether it holds a node."""
    status, spec = found.get("status") or {}, found.get("spec") or {}
    kept = {key: found["metadata"].get(key) for key in ("namespace", "name", "labels", "deletionTimestamp")}
    return {"metadata": kept, "spec": {"nodeName": spec.get("nodeName")}, "status": {"phase": status.get("phase")}}
