"""Follows a rollout until it is complete or cannot complete: judged at each change, never by polling."""

import time
from collections.abc import Callable
from typing import Protocol

from activities.cluster.explanation import Registration, enrich
from activities.cluster.fence import worker_stopping
from activities.cluster.outage import Outage
from domain import names
from domain.diagnosis import Diagnosis, Severity
from domain.kubernetes import Snapshot
from domain.messages.release import RolloutRequest
from domain.ports import Beat, Cluster, Reach
from domain.spec import ClusterSpec, Shortage
from domain.status import Observation
from planning.diagnosis import coordinator, rollout_status

EXPLAIN_EVERY = 2.0  # seconds at least between two readings of what explains a trouble
REGISTRATION_EVERY = 10.0  # seconds between two looks at what clients say that run already
EXPLAIN_SHARE = 10.0  # and as many times as long as the last one took
WATCHED = ("now", "deployment", "replica_sets", "pods", "events")  # parts of a snapshot
HOPELESS = (Severity.FATAL, Severity.NEEDS_HUMAN, Severity.REFUSED, Severity.INVALID)


class Clock(Protocol):
    """A time in seconds that only moves forward."""

    def __call__(self) -> float:
        """Now."""
        ...


def look(cluster: Cluster, request: RolloutRequest, now: float) -> Observation:
    """Return the live state of the clients, read once; explanations are read only when something is wrong."""
    spec = request.spec
    namespace, selector = spec.namespace, f"app={spec.deploy_name}"
    snapshot = Snapshot(
        now=now,
        deployment=cluster.get("Deployment", names.DEPLOYMENT, namespace),
        replica_sets=cluster.find("ReplicaSet", namespace, selector=selector),
        pods=cluster.find("Pod", namespace, selector=selector),
    )
    seen = _observe(request, snapshot)
    if seen.complete or not seen.exists:
        return seen
    snapshot = snapshot.model_copy(update={"events": cluster.events(namespace)})
    seen = _observe(request, snapshot)
    return _observe(request, enrich(cluster, spec, snapshot)) if _troubled(seen) else seen


class Rollout:
    """The wait for one release."""

    def __init__(
        self,
        cluster: Cluster,
        request: RolloutRequest,
        beat: Beat,
        clock: Clock = time.monotonic,
        reach: Reach | None = None,
    ) -> None:
        self._cluster = cluster
        self._request = request
        self._beat = beat
        self._outage = Outage(cluster, request.spec.namespace, beat, clock)
        self._hopeless = (Severity.FATAL,) if request.patient else HOPELESS
        self._explanations = _Explanations(cluster, request.spec, clock)
        self._registration = Registration(cluster, reach, clock, REGISTRATION_EVERY)

    def run(self, stopping: Callable[[], bool]) -> Observation:
        """Return the observation that ends the wait: complete, or with a diagnosis that waiting does not change."""
        spec = self._request.spec
        for snapshot in self._cluster.follow(spec.namespace, spec.deploy_name, stopping):
            if snapshot is None:
                self._outage.ask_why()
                continue
            self._outage.over()
            seen = self._judge(snapshot)
            self._beat(progress(seen))
            if self._ends(seen):
                return seen
        raise worker_stopping("waiting for a rollout")

    def _judge(self, snapshot: Snapshot) -> Observation:
        """Return the observation; a release of somebody else is never complete."""
        seen = _observe(self._request, snapshot)
        if seen.exists and not seen.complete and _troubled(seen):
            seen = self._explained(snapshot)
        elif seen.ready:  # complete or not, those that run may fail at their work
            heard = self._registration.add(self._request.spec, snapshot, fresh=seen.complete)
            seen = _observe(self._request, heard)
        if not seen.exists:
            return seen.model_copy(update={"diagnosis": _deleted(self._request)})
        if seen.complete and seen.wanted != self._request.replicas:
            return seen.model_copy(update={"complete": False, "diagnosis": _drifted(self._request, seen)})
        return seen

    def _explained(self, snapshot: Snapshot) -> Observation:
        """Judged with what was read for it lately, and anew before the wait ends for it."""
        if self._explanations.due:
            return _observe(self._request, self._explanations.read(snapshot))
        seen = _observe(self._request, self._explanations.known(snapshot))
        return _observe(self._request, self._explanations.read(snapshot)) if self._ends(seen) else seen

    def _ends(self, seen: Observation) -> bool:
        found = seen.diagnosis
        if seen.complete or found is None:
            return seen.complete
        # A coordinator's trouble does not keep clients from running.
        hopeless = (Severity.FATAL,) if found.code in coordinator.CODES else self._hopeless
        return found.severity in hopeless


class _Explanations:
    """Explanations that are not watched (nodes, quotas, logs), read at an interval."""

    def __init__(self, cluster: Cluster, spec: ClusterSpec, clock: Clock) -> None:
        self._cluster = cluster
        self._spec = spec
        self._clock = clock
        self._known = Snapshot()
        self._due_at = float("-inf")

    @property
    def due(self) -> bool:
        return self._clock() >= self._due_at

    def read(self, snapshot: Snapshot) -> Snapshot:
        began = self._clock()
        self._known = enrich(self._cluster, self._spec, snapshot)
        ended = self._clock()
        self._due_at = ended + max(EXPLAIN_EVERY, EXPLAIN_SHARE * (ended - began))
        return self._known

    def known(self, snapshot: Snapshot) -> Snapshot:
        return self._known.model_copy(update={part: getattr(snapshot, part) for part in WATCHED})


def _observe(request: RolloutRequest, snapshot: Snapshot) -> Observation:
    spec, release = request.spec, request.release
    return rollout_status.observe(
        snapshot,
        app=spec.deploy_name,
        stage=release.stage,
        image=release.image,
        autoscale=spec.shortage is Shortage.AUTOSCALE,
        trial=request.trial,
    )


def _troubled(seen: Observation) -> bool:
    return seen.diagnosis is not None and seen.diagnosis.severity is not Severity.PROGRESS


def progress(seen: Observation) -> str:
    """Return one line for the heartbeat, e.g. `1 of 2 clients ready; IMAGE_NOT_FOUND: …`."""
    text = f"{seen.ready} of {seen.wanted} clients ready, {seen.updated} updated"
    return f"{text}; {seen.diagnosis.code}: {seen.diagnosis.what}" if seen.diagnosis else text


def _deleted(request: RolloutRequest) -> Diagnosis:
    return Diagnosis(
        code="DELETED",
        what="the Deployment is not there",
        on=f"Deployment {names.DEPLOYMENT} in namespace {request.spec.namespace}",
        because="somebody deleted it after it was applied",
        do="run the deploy again",
        severity=Severity.NEEDS_HUMAN,
    )


def _drifted(request: RolloutRequest, seen: Observation) -> Diagnosis:
    return Diagnosis(
        code="DRIFT",
        what=f"the Deployment wants {seen.wanted} clients, and we applied {request.replicas}",
        on=f"Deployment {names.DEPLOYMENT} in namespace {request.spec.namespace}",
        because="another writer changed spec.replicas after us",
        do=f"stop it (an autoscaler, kubectl scale?), then run: proverctl scale {request.replicas}",
        severity=Severity.NEEDS_HUMAN,
    )
