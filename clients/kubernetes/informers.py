"""Shared informers: one watch per kind for the whole cluster where rights allow, else one per kind and namespace."""

import threading
from collections import defaultdict
from collections.abc import Callable

from clients.kubernetes.connection import Connection
from clients.kubernetes.reflector import Stream
from clients.kubernetes.resources import collection
from domain import names
from domain.errors import Forbidden, ProverError
from domain.kubernetes import Manifest

OUR_PODS = {"labelSelector": f"{names.ROLE_LABEL}={names.ROLE_VALUE}"}
# Only what carries our name or role: memory stays small however large the cluster. Never Secrets; Events would flood.
KINDS = {
    "Deployment": {"fieldSelector": f"metadata.name={names.DEPLOYMENT}"},
    "ReplicaSet": OUR_PODS,
    "Pod": OUR_PODS,
}

Notify = Callable[[], None]
Tell = Callable[[set[str] | None], None]  # the namespaces that changed; None is every one


class WatchCache:
    """The live Deployments, ReplicaSets and pods of the namespaces asked for; thread-safe.

    Three threads serve any number of namespaces where cluster-wide rights allow, else three per namespace.
    """

    def __init__(self, connection: Connection) -> None:
        self._lock = threading.Lock()
        self._listeners: defaultdict[str, set[Notify]] = defaultdict(set)
        self._feeds = {kind: _Feed(connection, kind, self._tell) for kind in KINDS}

    def subscribe(self, namespace: str, notify: Notify) -> None:
        """Call `notify` (on any thread) whenever something of the namespace changed."""
        with self._lock:
            self._listeners[namespace].add(notify)
        for feed in self._feeds.values():
            feed.want(namespace)

    def unsubscribe(self, namespace: str, notify: Notify) -> None:
        """Forget the listener and, after the last of a namespace, what was kept for it alone."""
        with self._lock:
            self._listeners[namespace].discard(notify)
            last = not self._listeners[namespace]
            if last:
                del self._listeners[namespace]
        if last:
            for feed in self._feeds.values():
                feed.forget(namespace)

    def objects(self, kind: str, namespace: str) -> list[Manifest] | None:
        """What is there now; None until the first list of it succeeded."""
        return self._feeds[kind].objects(namespace)

    def refusal(self, namespace: str) -> ProverError | None:
        """Why the namespace cannot be watched any more, when the API server says so again and again."""
        return next((found for feed in self._feeds.values() if (found := feed.refusal(namespace))), None)

    def close(self) -> None:
        """End every watch and its thread."""
        for feed in self._feeds.values():
            feed.close()

    def _tell(self, namespaces: set[str] | None) -> None:
        with self._lock:
            those = list(self._listeners) if namespaces is None else namespaces
            told = [notify for namespace in those for notify in self._listeners.get(namespace, ())]
        for notify in told:
            notify()


class _Feed:
    """One kind: cluster-wide at first, per namespace once that was forbidden."""

    def __init__(self, connection: Connection, kind: str, tell: Tell) -> None:
        self._connection = connection
        self._kind = kind
        self._tell = tell
        self._lock = threading.Lock()
        self._wanted: set[str] = set()
        self._divided = False
        self._scopes: dict[str, _Scope] = {}  # by namespace; "" is the whole cluster

    def want(self, namespace: str) -> None:
        with self._lock:
            self._wanted.add(namespace)
            self._open(namespace if self._divided else "")

    def forget(self, namespace: str) -> None:
        with self._lock:
            self._wanted.discard(namespace)
            ended = self._scopes.pop(namespace, None) if namespace else None
        if ended:
            ended.stream.close(wait=False)

    def objects(self, namespace: str) -> list[Manifest] | None:
        with self._lock:
            scope = self._scopes.get(namespace if self._divided else "")
        return scope.objects(namespace) if scope else None

    def refusal(self, namespace: str) -> ProverError | None:
        with self._lock:
            scope = self._scopes.get(namespace if self._divided else "")
        return scope.stream.refusal if scope else None

    def close(self) -> None:
        with self._lock:
            ended = list(self._scopes.values())
            self._scopes.clear()
        for scope in ended:
            scope.stream.close(wait=False)
        for scope in ended:
            scope.stream.close()

    def divide(self) -> None:
        """Cluster-wide is forbidden: go on with a watch per namespace."""
        with self._lock:
            whole = self._scopes.pop("", None)
            self._divided = True
            for namespace in self._wanted:
                self._open(namespace)
        if whole:
            whole.stream.close(wait=False)

    def _open(self, scope: str) -> None:
        if scope not in self._scopes:
            opened = _Scope(self._connection, self._kind, scope, self._tell, None if scope else self.divide)
            self._scopes[scope] = opened
            opened.stream.start()


class _Scope:
    """The objects of one watch, by namespace and name."""

    def __init__(
        self,
        connection: Connection,
        kind: str,
        namespace: str,
        tell: Tell,
        forbidden: Callable[[], None] | None,
    ) -> None:
        self._tell = tell
        self._forbidden = forbidden
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, Manifest]] | None = None
        self.stream = Stream(connection, collection(kind, namespace), self, selectors=KINDS[kind])

    def objects(self, namespace: str) -> list[Manifest] | None:
        with self._lock:
            return None if self._known is None else list(self._known.get(namespace, {}).values())

    def replaced(self, objects: list[Manifest]) -> None:
        fresh: dict[str, dict[str, Manifest]] = {}
        for found in objects:
            fresh.setdefault(found["metadata"]["namespace"], {})[found["metadata"]["name"]] = found
        with self._lock:
            before, self._known = self._known, fresh
        # a namespace without any object hears its first list too
        self._tell(None if before is None else {*before, *fresh})

    def changed(self, change: str, found: Manifest) -> None:
        namespace, name = found["metadata"]["namespace"], found["metadata"]["name"]
        with self._lock:
            self._known = {} if self._known is None else self._known
            of_namespace = self._known.setdefault(namespace, {})
            if change == "DELETED":
                of_namespace.pop(name, None)
            else:
                of_namespace[name] = found
        self._tell({namespace})

    def refused(self, error: ProverError) -> None:
        if self._forbidden and isinstance(error, Forbidden):
            self._forbidden()
            return
        if self.stream.refusal:
            self._tell(None)
