"""A watch of what decides the capacity for clients: nodes, and the provers of all namespaces."""

import threading
from collections.abc import Callable

from clients.kubernetes.connection import ApiConnection
from clients.kubernetes.object_store import ObjectStore
from clients.kubernetes.reflector import Reflector, Slim
from clients.kubernetes.resources import collection
from domain import names
from domain.kubernetes import Manifest

REVIEW_SECONDS = 10.0  # seconds; quotas and the pods of others are not watched
BLIND_REVIEW_SECONDS = 5.0  # seconds, where nodes may not be watched

Notify = Callable[[], None]


class NodeWatch:
    """Two watches for any number of callers, and none while nobody waits; thread-safe.

    A worker waits for days here, and clusters have thousands of nodes: of each only what decides is kept.
    """

    def __init__(self, connection: ApiConnection) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._listeners: set[Notify] = set()
        self._reflectors: list[Reflector] = []

    @property
    def review(self) -> float:
        """Seconds after which a caller should read again, though no change was reported."""
        with self._lock:
            return BLIND_REVIEW_SECONDS if any(reflector.refusal for reflector in self._reflectors) else REVIEW_SECONDS

    def subscribe(self, notify: Notify) -> None:
        """Call `notify` (on any thread) whenever the capacity may have changed."""
        with self._lock:
            self._listeners.add(notify)
            if self._reflectors:
                return
            provers = {"labelSelector": f"{names.ROLE_LABEL}={names.ROLE_VALUE}"}
            self._reflectors = [self._open("Node", node_mark, {}), self._open("Pod", pod_mark, provers)]
            for reflector in self._reflectors:
                reflector.start()

    def unsubscribe(self, notify: Notify) -> None:
        """Forget the listener and, after the last one, the watches."""
        with self._lock:
            self._listeners.discard(notify)
            ended, self._reflectors = ([], self._reflectors) if self._listeners else (self._reflectors, [])
        for reflector in ended:
            reflector.close(wait=False)

    def close(self) -> None:
        """End the watches and their threads."""
        with self._lock:
            ended, self._reflectors = self._reflectors, []
        for reflector in ended:
            reflector.close()

    def _open(self, kind: str, slim: Slim, selectors: dict[str, str]) -> Reflector:
        # a heartbeat or an image pulled is no news
        store = ObjectStore(self._tell, differences_only=True)
        return Reflector(self._connection, collection(kind), store, selectors=selectors, slim=slim)

    def _tell(self, _: set[str] | None) -> None:
        with self._lock:
            listening = list(self._listeners)
        for notify in listening:
            notify()


def node_mark(found: Manifest) -> Manifest:
    """Return the parts of a node that decide whether it takes a client."""
    status, spec = found.get("status") or {}, found.get("spec") or {}
    conditions = [(entry.get("type"), entry.get("status")) for entry in status.get("conditions") or []]
    kept = {key: found["metadata"].get(key) for key in ("name", "labels", "deletionTimestamp")}
    return {
        "metadata": kept,
        "spec": {key: spec.get(key) for key in ("taints", "unschedulable")},
        "status": {"allocatable": status.get("allocatable"), "conditions": conditions},
    }


def pod_mark(found: Manifest) -> Manifest:
    """Return the parts of a prover that decide whether it holds a node."""
    status, spec = found.get("status") or {}, found.get("spec") or {}
    kept = {key: found["metadata"].get(key) for key in ("namespace", "name", "labels", "deletionTimestamp")}
    return {"metadata": kept, "spec": {"nodeName": spec.get("nodeName")}, "status": {"phase": status.get("phase")}}
