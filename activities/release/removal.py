"""Takes a deployment out of its namespace: only what carries our mark, by UID, and until the last pod is gone."""

import time
from collections.abc import Callable
from datetime import datetime

from activities.cluster.fence import check_fence, owner_of, worker_stopping
from activities.cluster.inventory import Inventory, take
from domain import names
from domain.errors import ApplyConflict, Forbidden, Unavailable
from domain.kubernetes import Manifest
from domain.messages.release import Removed, TargetRequest
from domain.ports import Beat, Cluster
from planning.image import pre_pull
from planning.kubernetes import rbac
from planning.manifests import render

STUCK = 60  # seconds beyond a pod's own grace period after which somebody holds it


class Removal:
    """Removal of one deployment; may be killed between any two lines and run again."""

    def __init__(self, cluster: Cluster, request: TargetRequest, owner: str, beat: Beat) -> None:
        self._cluster = cluster
        self._request = request
        self._spec = request.spec
        self._owner = owner
        self._beat = beat
        self._warnings: list[str] = []

    def run(self, stopping: Callable[[], bool]) -> Removed:
        """Remove, wait, then take the marks off the Namespace, which itself stays."""
        self._fence()
        live = take(self._cluster, self._spec)
        removed = self._remove(live)
        self._await_pods(stopping)
        self._unmark_namespace(live)
        return Removed(objects=removed, warnings=self._warnings)

    def _fence(self) -> None:
        check_fence(self._cluster, self._request.cluster_uid, self._spec.cluster)

    def _remove(self, live: Inventory) -> list[str]:
        removed = []
        for found in live.objects:
            kind, metadata = found["kind"], found["metadata"]
            named = f"{kind}/{metadata['name']}"
            if owner_of(found) != self._owner:
                self._warnings.append(f"{named} was left: it does not carry this deployment's owner mark.")
                continue
            self._beat(f"removing {named}")
            self._fence()
            self._cluster.delete(kind, metadata["name"], metadata["namespace"], uid=metadata["uid"])
            removed.append(named)
        return removed

    def _await_pods(self, stopping: Callable[[], bool]) -> None:
        for _ in self._cluster.changes(self._spec.namespace, stopping):
            left = self._left()
            if not left:
                return
            self._beat(f"waiting until {len(left)} are gone: " + ", ".join(left[:5]))
        raise worker_stopping("waiting for the last pods to end")

    def _left(self) -> list[str]:
        namespace = self._spec.namespace
        deployment = self._cluster.get("Deployment", names.DEPLOYMENT, namespace)
        if deployment is not None and owner_of(deployment) != self._owner:
            return []  # a newcomer's: its pods are not ours to wait for
        clients = f"app={self._spec.deploy_name},{names.ROLE_LABEL}={names.ROLE_VALUE}"
        # Pods of a pre-pull go with the Deployment, too, whoever left them.
        pods = f"app in ({self._spec.deploy_name},{pre_pull.app(self._spec)})"
        found = [] if deployment is None else [deployment]
        for kind, selector in (("ReplicaSet", clients), ("Pod", pods)):
            found += [e for e in self._cluster.find(kind, namespace, selector=selector) if _descends(e)]
        for entry in found:
            _check_not_stuck(entry, time.time())
        return [f"{entry['kind']}/{entry['metadata']['name']}" for entry in found]

    def _unmark_namespace(self, live: Inventory) -> None:
        """Only the annotations that we own; a Namespace that is gone or somebody else's is not touched."""
        if live.namespace is None or owner_of(live.namespace) != self._owner:
            return
        try:
            self._fence()
            if self._cluster.get("Namespace", self._spec.namespace):  # applying would create it again
                self._cluster.apply(render.namespace_marks(self._spec, "", ""))
        except (Forbidden, ApplyConflict) as error:
            snippet = rbac.snippet("Namespace", "patch")
            self._warnings.append(f"The annotations of the namespace were left: {error} {snippet}".strip())


def _descends(found: Manifest) -> bool:
    """Whether it comes from our Deployment, which may be gone already; a pod of somebody's own may carry our labels."""
    owners = found["metadata"].get("ownerReferences") or []
    return any(
        owner["name"] == names.DEPLOYMENT or owner["name"].startswith(f"{names.DEPLOYMENT}-") for owner in owners
    )


def _check_not_stuck(pod: Manifest, now: float) -> None:
    """Raise when a pod outlives its own deletion: the kubelet is gone, or a finalizer holds it."""
    metadata = pod["metadata"]
    deleted = metadata.get("deletionTimestamp")  # already includes the grace period
    if pod["kind"] != "Pod" or not deleted or now - datetime.fromisoformat(deleted).timestamp() < STUCK:
        return
    finalizers = ", ".join(metadata.get("finalizers") or [])
    node = (pod.get("spec") or {}).get("nodeName", "")
    raise Unavailable(
        "a pod does not end",
        on=f"Pod {metadata['name']} on node {node or '(none)'}",
        because=f"finalizers hold it: {finalizers}" if finalizers else "its node does not report that it ended",
        do=f"check that node {node} is up; if it is gone for good: kubectl delete node {node}",
        code="TERMINATING_STUCK",
    )
