"""Shared informers: one watch per kind for the whole cluster where rights allow, else one per kind and namespace."""

import threading
from collections import defaultdict
from collections.abc import Callable

from clients.kubernetes.connection import ApiConnection
from clients.kubernetes.object_store import ObjectStore
from clients.kubernetes.reflector import Reflector
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


class SharedInformers:
    """The live Deployments, ReplicaSets and pods of the namespaces asked for; thread-safe.

    Three threads serve any number of namespaces where cluster-wide rights allow, else three per namespace.
    """

    def __init__(self, connection: ApiConnection) -> None:
        self._lock = threading.Lock()
        self._listeners: defaultdict[str, set[Notify]] = defaultdict(set)
        self._kinds = {kind: _KindInformers(connection, kind, self._tell) for kind in KINDS}

    def subscribe(self, namespace: str, notify: Notify) -> None:
        """Call `notify` (on any thread) whenever something of the namespace changed."""
        with self._lock:
            self._listeners[namespace].add(notify)
        for informers in self._kinds.values():
            informers.want(namespace)

    def unsubscribe(self, namespace: str, notify: Notify) -> None:
        """Forget the listener and, after the last of a namespace, what was kept for it alone."""
        with self._lock:
            self._listeners[namespace].discard(notify)
            last = not self._listeners[namespace]
            if last:
                del self._listeners[namespace]
        if last:
            for informers in self._kinds.values():
                informers.forget(namespace)

    def objects(self, kind: str, namespace: str) -> list[Manifest] | None:
        """Return the objects of the namespace; None until they were listed once."""
        return self._kinds[kind].objects(namespace)

    def refusal(self, namespace: str) -> ProverError | None:
        """Return why the namespace cannot be watched, once the API server refused again and again."""
        return next((found for informers in self._kinds.values() if (found := informers.refusal(namespace))), None)

    def close(self) -> None:
        """End every watch and its thread."""
        for informers in self._kinds.values():
            informers.close()

    def _tell(self, namespaces: set[str] | None) -> None:
        with self._lock:
            those = list(self._listeners) if namespaces is None else namespaces
            listening = [notify for namespace in those for notify in self._listeners.get(namespace, ())]
        for notify in listening:
            notify()


class _KindInformers:
    """The watches of one kind: cluster-wide at first, per namespace once that was forbidden."""

    def __init__(self, connection: ApiConnection, kind: str, tell: Tell) -> None:
        self._connection = connection
        self._kind = kind
        self._tell = tell
        self._lock = threading.Lock()
        self._wanted: set[str] = set()
        self._divided = False
        self._scopes: dict[str, _WatchScope] = {}  # by namespace; "" is the whole cluster

    def want(self, namespace: str) -> None:
        with self._lock:
            self._wanted.add(namespace)
            self._open(namespace if self._divided else "")

    def forget(self, namespace: str) -> None:
        with self._lock:
            self._wanted.discard(namespace)
            ended = self._scopes.pop(namespace, None) if namespace else None
        if ended:
            ended.reflector.close(wait=False)

    def objects(self, namespace: str) -> list[Manifest] | None:
        with self._lock:
            scope = self._scopes.get(namespace if self._divided else "")
        return scope.store.objects(namespace) if scope else None

    def refusal(self, namespace: str) -> ProverError | None:
        with self._lock:
            scope = self._scopes.get(namespace if self._divided else "")
        return scope.reflector.refusal if scope else None

    def close(self) -> None:
        with self._lock:
            ended = list(self._scopes.values())
            self._scopes.clear()
        for scope in ended:
            scope.reflector.close(wait=False)
        for scope in ended:
            scope.reflector.close()

    def divide(self) -> None:
        """Replace the cluster-wide watch, which is forbidden, by a watch for each namespace."""
        with self._lock:
            whole = self._scopes.pop("", None)
            self._divided = True
            for namespace in self._wanted:
                self._open(namespace)
        if whole:
            whole.reflector.close(wait=False)

    def _open(self, scope: str) -> None:
        if scope not in self._scopes:
            opened = _WatchScope(self._connection, self._kind, scope, self._tell, None if scope else self.divide)
            self._scopes[scope] = opened
            opened.reflector.start()


class _WatchScope:
    """The watch of the whole cluster or of one namespace, and its objects."""

    def __init__(
        self,
        connection: ApiConnection,
        kind: str,
        namespace: str,
        tell: Tell,
        forbidden: Callable[[], None] | None,
    ) -> None:
        self._tell = tell
        self._forbidden = forbidden
        self.store = ObjectStore(tell, refused=self._refused)
        self.reflector = Reflector(connection, collection(kind, namespace), self.store, selectors=KINDS[kind])

    def _refused(self, error: ProverError) -> None:
        if self._forbidden and isinstance(error, Forbidden):
            self._forbidden()
        elif self.reflector.refusal:
            self._tell(None)
