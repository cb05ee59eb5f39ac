"""A Kubernetes cluster by its JSON objects: read, apply as ourselves, delete with preconditions, watch."""

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping

from clients.kubernetes.connection import ApiConnection, configuration
from clients.kubernetes.errors import Absent, Call
from clients.kubernetes.object_store import ObjectStore
from clients.kubernetes.reflector import Reflector
from clients.kubernetes.resources import ACCESS_REVIEW, collection, item, item_of, label, log_of
from clients.kubernetes.rollout_watch import RolloutWatch
from domain.errors import Forbidden, ProverError
from domain.kubernetes import Manifest, Right, Snapshot
from domain.names import CONTAINER, FIELD_MANAGER
from domain.ports import Slim
from planning.kubernetes.objects import last_seen
from planning.text.sanitize import scrub

__all__ = ["KubernetesCluster", "connect"]

WATCHED_KINDS = ("Deployment", "ReplicaSet", "Pod", "Event")
TICK_SECONDS = 2.0  # seconds between yields of `changes` when nothing happens, so that callers beat
SETTLE_SECONDS = 0.05  # seconds to let a burst of changes become one
APPLY_CONTENT_TYPE = "application/apply-patch+yaml"  # JSON is YAML
LOG_BYTES = 16 * 1024  # of one tail


def connect(cluster: str, contexts: Mapping[str, str], kubeconfig: str | None) -> "KubernetesCluster":
    """Return the cluster of that CLUSTER name; it is contacted, and SettingsInvalid raised, by the first call."""
    return KubernetesCluster(ApiConnection(lambda: configuration(cluster, contexts, kubeconfig)))


class KubernetesCluster:
    """Fulfils `domain.ports.Cluster` on one connection; safe to share between threads."""

    def __init__(self, connection: ApiConnection) -> None:
        self.connection = connection

    def uid(self) -> str:
        """Return `<UID of kube-system's namespace>@ca-<hash of the CA>`; the UID is empty where unreadable."""
        try:
            found = self.get("Namespace", "kube-system")
        except Forbidden:
            found = None
        uid = found["metadata"]["uid"] if found else ""
        return f"{uid}@ca-{hashlib.sha256(self.connection.authority()).hexdigest()[:16]}"

    def get(self, kind: str, name: str, namespace: str = "") -> Manifest | None:
        """Return the object, or None when it is absent."""
        call = Call("get", label(kind, name, namespace), kind, name if kind == "Namespace" else namespace)
        return self._unless_absent(call, "GET", item(kind, name, namespace))

    def find(
        self, kind: str, namespace: str = "", *, selector: str = "", fields: str = "", slim: Slim | None = None
    ) -> list[Manifest]:
        """List the objects of a namespace, or of all; `slim` reduces or drops each one, which saves memory."""
        call = Call("list", label(kind, "objects", namespace), kind, namespace)
        query = {"labelSelector": selector, "fieldSelector": fields, "limit": "500"}
        objects: list[Manifest] = []
        while True:
            page = self.connection.call(call, "GET", collection(kind, namespace), query=query)
            version = str(page.get("apiVersion", ""))
            for entry in page.get("items") or []:
                found = {"apiVersion": version, "kind": kind, **entry}
                kept = slim(found) if slim else found
                objects += [] if kept is None else [kept]
            more = page["metadata"].get("continue")
            if not more:
                return objects
            query["continue"] = more

    def apply(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Apply on the server as `prover-cluster`, never forced; return the object as it is or would be then."""
        metadata = manifest["metadata"]
        kind, name, namespace = manifest["kind"], metadata["name"], metadata.get("namespace", "")
        applied: Manifest = self.connection.call(
            Call("apply", label(kind, name, namespace), kind, name if kind == "Namespace" else namespace),
            "PATCH",
            item_of(manifest),
            query={"fieldManager": FIELD_MANAGER, "force": "false", "dryRun": "All" if dry_run else ""},
            body=manifest,
            content_type=APPLY_CONTENT_TYPE,
        )
        return applied

    def delete(self, kind: str, name: str, namespace: str, *, uid: str = "") -> bool:
        """Delete, its dependants first; False when it was gone already, or another took its name."""
        body: Manifest = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"}
        if uid:
            body["preconditions"] = {"uid": uid}
        call = Call("delete", label(kind, name, namespace), kind, namespace)
        return self._unless_absent(call, "DELETE", item(kind, name, namespace), body) is not None

    def events(self, namespace: str) -> list[Manifest]:
        """List the events of the namespace, newest last; empty without the right to read them."""
        try:
            found = self.find("Event", namespace)
        except Forbidden:
            return []
        return sorted(found, key=last_seen)

    def missing(self, namespace: str, rights: list[Right]) -> list[Right]:
        """Return the rights that this worker lacks in the namespace (empty: cluster-wide)."""
        return [right for right in rights if not self._allowed(namespace, right)]

    def changes(self, namespace: str, stop: Callable[[], bool]) -> Iterator[None]:
        """Yield at once, after each change of a rollout's objects, and at least every TICK_SECONDS."""
        news = threading.Event()
        # A refusal is none: the caller reads the same objects and meets it.
        stores = {kind: ObjectStore(lambda _: news.set(), refused=lambda _: None) for kind in WATCHED_KINDS}
        reflectors = [Reflector(self.connection, collection(kind, namespace), store) for kind, store in stores.items()]
        try:
            for reflector in reflectors:
                reflector.start()
            yield
            while not stop():
                if news.wait(TICK_SECONDS):
                    time.sleep(SETTLE_SECONDS)
                    news.clear()
                yield
        finally:
            for reflector in reflectors:
                reflector.close(wait=False)
            for reflector in reflectors:
                reflector.close()

    def follow(self, namespace: str, deploy_name: str, stop: Callable[[], bool]) -> Iterator[Snapshot | None]:
        """Yield the watched parts of a snapshot, at once after each change; see `RolloutWatch`."""
        return RolloutWatch(self.connection, namespace, deploy_name).snapshots(stop)

    def logs(self, pod: str, namespace: str, *, previous: bool = False, lines: int = 20) -> str:
        """Return the last lines of a client's log, scrubbed; empty without a log or the right to read it."""
        query = {"container": CONTAINER, "tailLines": str(lines), "limitBytes": str(LOG_BYTES)}
        query |= {"previous": "true"} if previous else {}
        with contextlib.suppress(ProverError):  # it only explains: without it the rest is still true
            call = Call("read the log of", label("Pod", pod, namespace), "Pod", namespace)
            return scrub(self.connection.text(call, log_of(pod, namespace), query))
        return ""

    def close(self) -> None:
        """Close idle connections."""
        self.connection.close()

    def _allowed(self, namespace: str, right: Right) -> bool:
        resource, _, subresource = right.resource.partition("/")
        attributes = {
            "namespace": namespace,
            "verb": right.verb,
            "group": right.group,
            "resource": resource,
            "subresource": subresource,
            "name": right.name,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        call = Call("review the right to", str(right), "SelfSubjectAccessReview", namespace)
        answer = self.connection.call(call, "POST", ACCESS_REVIEW, body=review)
        return bool((answer.get("status") or {}).get("allowed"))

    def _unless_absent(self, call: Call, method: str, path: str, body: Manifest | None = None) -> Manifest | None:
        try:
            found: Manifest = self.connection.call(call, method, path, body=body)
        except Absent:
            return None
        return found
