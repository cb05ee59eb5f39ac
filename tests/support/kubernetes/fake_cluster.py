"""A cluster in a dictionary: enough of server-side apply, preconditions and rights to test activities."""

import copy
import time
from collections.abc import Callable, Iterator
from itertools import count

from domain import names
from domain.errors import Forbidden, ObjectRejected
from domain.kubernetes import Manifest, Right, Snapshot
from domain.ports import Slim

METADATA = ("annotations", "labels", "generation", "ownerReferences", "deletionTimestamp")


class FakeCluster:
    """Fulfils `domain.ports.Cluster`; `steps` happen between the yields of `changes` and of `follow`."""

    def __init__(self, *, fence: str = "uid-1@ca-1") -> None:
        self.fence = fence
        self.objects: dict[tuple[str, str, str], Manifest] = {}
        self.writes: list[str] = []
        self.forbidden: set[tuple[str, str]] = set()  # verb, kind
        self.refusing: dict[str, Exception] = {}  # kind → what an apply of it raises
        self.lacking: list[Right] = []
        self.steps: list[Callable[[], None]] = []
        self.failing: list[Exception] = []  # raised by the next reads of a Deployment; `follow` is away meanwhile
        self.said: dict[str, str] = {}  # pod → log
        self._numbers = count(1)

    def put(self, kind: str, name: str, namespace: str = "", **content: object) -> Manifest:
        """Something that is there already, written by somebody else; `annotations` and `labels` go to metadata."""
        metadata = {"name": name, "namespace": namespace, "uid": f"uid-{next(self._numbers)}"}
        extra = {key: content.pop(key) for key in METADATA if key in content}
        found = {"kind": kind, "metadata": metadata | {"resourceVersion": str(next(self._numbers))} | extra, **content}
        self.objects[kind, namespace, name] = found
        return found

    def drop(self, kind: str, name: str, namespace: str) -> None:
        """Somebody else deletes it."""
        del self.objects[kind, namespace, name]

    def names(self, namespace: str) -> set[str]:
        """`kind/name` of everything in the namespace."""
        return {f"{kind}/{name}" for kind, of, name in self.objects if of == namespace}

    def uid(self) -> str:
        """Return the identity of the cluster."""
        return self.fence

    def get(self, kind: str, name: str, namespace: str = "") -> Manifest | None:
        """Return the object or None."""
        self._check("get", kind)
        if kind == "Deployment" and self.failing:
            raise self.failing.pop(0)
        return copy.deepcopy(self.objects.get((kind, namespace, name)))

    def find(
        self,
        kind: str,
        namespace: str = "",
        *,
        selector: str = "",  # noqa: ARG002 - all match
        fields: str = "",  # noqa: ARG002 - all match
        slim: Slim | None = None,
    ) -> list[Manifest]:
        """All of the kind, whatever the selectors."""
        self._check("list", kind)
        if not namespace:
            self._check("list everywhere", kind)
        found = [entry for (of, where, _), entry in self.objects.items() if of == kind and namespace in ("", where)]
        kept = [slim(entry) if slim else entry for entry in copy.deepcopy(found)]
        return [entry for entry in kept if entry is not None]

    def apply(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Replace the whole object by the manifest; equal content keeps its version."""
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        namespace = manifest["metadata"].get("namespace", "")
        self._check("patch", kind)
        if kind in self.refusing:
            raise self.refusing[kind]
        if namespace and ("Namespace", "", namespace) not in self.objects:
            raise ObjectRejected("nothing to apply", on=kind, code="NOT_FOUND")
        before = self.objects.get((kind, namespace, name))
        kept: Manifest = {"uid": f"uid-{next(self._numbers)}", "resourceVersion": "", "generation": 0}
        kept |= {key: before["metadata"].get(key, 0) for key in kept} if before else {}
        after = copy.deepcopy(manifest)
        after["metadata"] |= kept
        changed = before != after
        if changed:
            generation = int(kept["generation"]) + 1
            after["metadata"] |= {"resourceVersion": str(next(self._numbers)), "generation": generation}
        if changed and not dry_run:
            self.writes.append(f"apply {kind}/{name}")
            self.objects[kind, namespace, name] = after
        return copy.deepcopy(after)

    def delete(self, kind: str, name: str, namespace: str, *, uid: str = "") -> bool:
        """Gone at once, and with a Deployment its ReplicaSets; pods stay until a step takes them."""
        self._check("delete", kind)
        found = self.objects.get((kind, namespace, name))
        if found is None or (uid and found["metadata"]["uid"] != uid):
            return False
        del self.objects[kind, namespace, name]
        self.writes.append(f"delete {kind}/{name}")
        return True

    def events(self, namespace: str) -> list[Manifest]:
        """Those that were put."""
        return self.find("Event", namespace)

    def missing(self, namespace: str, rights: list[Right]) -> list[Right]:  # noqa: ARG002 - the same everywhere
        """Those of `lacking` that were asked for."""
        asked = {(right.verb, right.resource) for right in rights}
        return [right for right in self.lacking if (right.verb, right.resource) in asked]

    def changes(self, namespace: str, stop: Callable[[], bool]) -> Iterator[None]:  # noqa: ARG002 - steps say when
        """Once, then after each step; ends when there is none left."""
        yield
        while self.steps and not stop():
            self.steps.pop(0)()
            yield

    def follow(self, namespace: str, deploy_name: str, stop: Callable[[], bool]) -> Iterator[Snapshot | None]:
        """Yield the objects that exist after each change, whatever their labels."""
        for _ in self.changes(namespace, stop):
            yield self._snapshot(namespace, deploy_name)

    def logs(self, pod: str, namespace: str, *, previous: bool = False, lines: int = 20) -> str:  # noqa: ARG002 - one log
        """Return what was put into `said`."""
        return self.said.get(pod, "")

    def _snapshot(self, namespace: str, deploy_name: str) -> Snapshot | None:  # noqa: ARG002 - all match
        if self.failing:
            self.failing.pop(0)
            return None
        return Snapshot(
            now=time.time(),
            deployment=self.get("Deployment", names.DEPLOYMENT, namespace),
            replica_sets=self.find("ReplicaSet", namespace),
            pods=self.find("Pod", namespace),
            events=self.find("Event", namespace),
        )

    def _check(self, verb: str, kind: str) -> None:
        if (verb, kind) in self.forbidden:
            raise Forbidden(f"may not {verb} {kind}", do="proverctl rbac")
