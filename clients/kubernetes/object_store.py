"""The objects of one collection as its reflector sees them, for every watch of this package."""

import threading
from collections.abc import Callable
from typing import Any

from domain.errors import ProverError
from domain.kubernetes import Manifest

Changed = Callable[[set[str] | None], Any]  # called with the namespaces that changed; None is every one


class ObjectStore:
    """An event handler that keeps the objects by namespace and name, the newest change last; thread-safe."""

    def __init__(
        self,
        changed: Changed,
        *,
        refused: Callable[[ProverError], Any] | None = None,
        differences_only: bool = False,
        limit: int | None = None,
    ) -> None:
        """Call `changed` after every list and change, with `differences_only` only when an object is not as it was.

        `refused` is called when the API server refuses the list or the watch, by default `changed`. Of a namespace
        the `limit` objects that changed last are kept.
        """
        self._changed = changed
        self._refused = refused or (lambda _: changed(None))
        self._differences_only = differences_only
        self._limit = limit
        self._lock = threading.Lock()
        self._objects: dict[str, dict[str, Manifest]] | None = None

    @property
    def listed(self) -> bool:
        """Whether a first list has succeeded."""
        return self._objects is not None

    def objects(self, namespace: str | None = None) -> list[Manifest] | None:
        """Return the objects of a namespace, by default of all; None until the first list has succeeded."""
        with self._lock:
            if self._objects is None:
                return None
            if namespace is not None:
                return list(self._objects.get(namespace, {}).values())
            return [found for of_namespace in self._objects.values() for found in of_namespace.values()]

    def replaced(self, objects: list[Manifest]) -> None:
        """Keep these objects alone."""
        fresh: dict[str, dict[str, Manifest]] = {}
        for found in objects:
            fresh.setdefault(_namespace(found), {})[found["metadata"]["name"]] = found
        with self._lock:
            before, self._objects = self._objects, fresh
        if not (self._differences_only and before == fresh):
            # the first list is reported to namespaces without any object, too
            self._changed(None if before is None else {*before, *fresh})

    def changed(self, change: str, found: Manifest) -> None:
        """Keep the object, or drop it when it was deleted."""
        namespace, name = _namespace(found), found["metadata"]["name"]
        with self._lock:
            self._objects = {} if self._objects is None else self._objects
            of_namespace = self._objects.setdefault(namespace, {})
            before = of_namespace.pop(name, None)
            if change != "DELETED":
                of_namespace[name] = found
            while self._limit and len(of_namespace) > self._limit:
                del of_namespace[next(iter(of_namespace))]
        if not self._differences_only or change == "DELETED" or before != found:
            self._changed({namespace})

    def refused(self, error: ProverError) -> None:
        """Report that the list or the watch was refused."""
        self._refused(error)


def _namespace(found: Manifest) -> str:
    return str(found["metadata"].get("namespace") or "")
