"""The view of one release in a snapshot: its own objects, what is still in its way, and what belongs to others."""

from typing import Any, NamedTuple

from domain.kubernetes import Manifest, Snapshot
from planning.kubernetes import objects


class WantedRelease(NamedTuple):
    """The release that is judged; empty parts match everything."""

    stage: str
    image: str

    def is_template(self, template: dict[str, Any]) -> bool:
        """Return whether a pod or a pod template is of this release."""
        stage = objects.labels(template).get("stage", "")
        return (not self.stage or stage == self.stage) and (
            not self.image or objects.client_image(objects.spec(template)) == self.image
        )


class ReleaseView(NamedTuple):
    """A moment of a rollout: the objects of one release, by their part in it."""

    snapshot: Snapshot
    deployment: Manifest
    replica_set: Manifest | None  # of the wanted release
    pods: list[Manifest]  # of the wanted release, running or on their way
    leaving: list[Manifest]  # older, or on their way out: they may hold what a new pod needs
    ended: list[Manifest]  # of the wanted release, ended for good and kept for reading
    events: dict[str, list[Manifest]]  # UID of an object → what happened to it, oldest first
    autoscale: bool  # Pending pods are meant to make an autoscaler add nodes
    trial: bool = False  # the release has not served yet: what its clients fail at is held against it

    @property
    def now(self) -> float | None:
        """Unix time in seconds, None when ages are unknown."""
        return self.snapshot.now

    @property
    def seen(self) -> bool:
        """Whether the Deployment's status speaks of its present spec, and not of the one before."""
        return seen_by_controller(self.deployment)

    @property
    def needs_surge(self) -> bool:
        """Whether the strategy removes no old pod before a new one runs: on full nodes that never ends."""
        strategy = objects.spec(self.deployment).get("strategy") or {}
        unavailable = str((strategy.get("rollingUpdate") or {}).get("maxUnavailable", "1"))
        return strategy.get("type") == "RollingUpdate" and unavailable in ("0", "0%")

    def of(self, manifest: Manifest | None) -> list[Manifest]:
        """Return the events about an object, oldest first."""
        return self.events.get(objects.uid(manifest), []) if manifest else []


def view_of(
    snapshot: Snapshot, *, app: str, stage: str, image: str, autoscale: bool = False, trial: bool = False
) -> ReleaseView | None:
    """Return the view of the release with this stage and image (empty: whatever the Deployment wants).

    None when there is no Deployment.
    """
    if snapshot.deployment is None:
        return None
    wanted = WantedRelease(stage, image)
    newest = _newest(snapshot.deployment, snapshot.replica_sets, wanted)
    current, older, ended = [], [], []
    for pod in ours(snapshot, app):
        is_current = _is_current(pod, newest, wanted)
        if objects.finished(pod):
            ended += [pod] if is_current else []
        elif is_current and not objects.terminating(pod):
            current.append(pod)
        else:
            older.append(pod)
    events = objects.by_object(snapshot.events)
    return ReleaseView(snapshot, snapshot.deployment, newest, current, older, ended, events, autoscale, trial)


def ours(snapshot: Snapshot, app: str) -> list[Manifest]:
    """Return the pods of our Deployment, or with our `app` label, by name."""
    owners = set()
    if snapshot.deployment is not None:
        parent = objects.uid(snapshot.deployment)
        owners = {objects.uid(found) for found in snapshot.replica_sets if objects.controller(found) == parent}
    found = [pod for pod in snapshot.pods if objects.controller(pod) in owners or objects.labels(pod).get("app") == app]
    return sorted(found, key=objects.name)


def seen_by_controller(deployment: Manifest) -> bool:
    """Return whether the Deployment controller has acted on the present spec."""
    generation = int((deployment.get("metadata") or {}).get("generation") or 0)
    return int(objects.status(deployment).get("observedGeneration") or 0) >= generation


def previous(view: ReleaseView) -> Manifest | None:
    """Return the ReplicaSet of the release before, as far as it is kept; None for a first one."""
    parent, newest = objects.uid(view.deployment), view.replica_set
    if newest is None:
        return None
    older = [
        found
        for found in view.snapshot.replica_sets
        if objects.controller(found) == parent and _revision(found) < _revision(newest)
    ]
    return max(older, key=_revision, default=None)


def _newest(deployment: Manifest, replica_sets: list[Manifest], wanted: WantedRelease) -> Manifest | None:
    """Return the ReplicaSet of the Deployment's present revision, when it is of the wanted release."""
    revision = _revision(deployment)
    for replica_set in replica_sets:
        if objects.controller(replica_set) == objects.uid(deployment) and revision == _revision(replica_set):
            return replica_set if wanted.is_template(objects.spec(replica_set).get("template") or {}) else None
    return None


def _revision(manifest: Manifest) -> int:
    found = objects.annotations(manifest).get(objects.REVISION) or ""
    return int(found) if found.isdigit() else 0


def _is_current(pod: Manifest, newest: Manifest | None, wanted: WantedRelease) -> bool:
    if newest is not None:  # the same release with another configuration has a ReplicaSet of its own
        return objects.controller(pod) == objects.uid(newest)
    return wanted.is_template(pod)
