"""Reads the state of a rollout out of live objects, as kstatus does, judging only the wanted release's pods."""

from typing import Any, NamedTuple

from domain.ports import Manifest
from domain.snapshot import Snapshot
from domain.status import Observation, Pod
from planning import diagnosis, live


class Wanted(NamedTuple):
    """The release that is judged; empty parts match everything."""

    stage: str
    image: str

    def is_template(self, template: dict[str, Any]) -> bool:
        """Whether a pod or a pod template is of this release."""
        stage = live.labels(template).get("stage", "")
        return (not self.stage or stage == self.stage) and (
            not self.image or live.client_image(live.spec(template)) == self.image
        )


def observe(snapshot: Snapshot, *, app: str, stage: str, image: str) -> Observation:
    """What runs of the release with this stage and image (an empty image or stage: whatever the Deployment wants).

    Without `snapshot.now` ages are unknown, and a finding that needs an age is then transient. Lists may hold objects
    of others: only those of our Deployment, or with our `app` label, count.
    """
    deployment = snapshot.deployment
    ours = sorted(_ours(deployment, snapshot.replica_sets, snapshot.pods, app), key=live.name)
    if deployment is None:
        return Observation(exists=False, pods=[_pod(pod) for pod in ours])
    wanted = Wanted(stage, image)
    newest = _newest(deployment, snapshot.replica_sets, wanted)
    current, older = _split(ours, newest, wanted)
    running = [pod for pod in current if not live.terminating(pod) and not live.finished(pod)]
    seen = Observation(
        exists=True,
        wanted=_replicas(deployment),
        updated=len(running),
        ready=sum(live.ready(pod) for pod in running),
        available=int(live.status(deployment).get("availableReplicas") or 0),
        pods=[_pod(pod) for pod in ours],
    )
    leaving = [pod for pod in current if live.terminating(pod)]
    complete = _complete(deployment, seen, wanted) and newest is not None and not older and not leaving
    evidence = diagnosis.Evidence(deployment, newest, running, older + leaving, snapshot.events, snapshot.now)
    return seen.model_copy(
        update={"complete": complete, "diagnosis": None if complete else diagnosis.diagnose(evidence)}
    )


def significant(known: Observation, seen: Observation) -> bool:
    """Whether the difference is one that the deployment's workflow has to know of; restart counts alone are not."""
    return _essence(known) != _essence(seen)


def _essence(observation: Observation) -> tuple[Any, ...]:
    pods = sorted((pod.name, pod.node, pod.ready, pod.stage, pod.state) for pod in observation.pods)
    found = observation.diagnosis
    return (
        (observation.exists, observation.wanted, observation.updated, observation.ready, observation.available),
        observation.complete,
        pods,
        (found.code, found.severity) if found else None,
    )


def _replicas(deployment: Manifest) -> int:
    replicas = live.spec(deployment).get("replicas")
    return 1 if replicas is None else int(replicas)  # the API's default; 0 is legal


def _complete(deployment: Manifest, seen: Observation, wanted: Wanted) -> bool:
    status = live.status(deployment)
    generation = int((deployment.get("metadata") or {}).get("generation") or 0)
    counts = [int(status.get(key) or 0) for key in ("replicas", "updatedReplicas", "readyReplicas")]
    return (
        int(status.get("observedGeneration") or 0) >= generation
        and wanted.is_template(live.spec(deployment).get("template") or {})
        and not live.terminating(deployment)
        # Both views must agree: the controller's counts lag behind the pods, and a pod list may lag behind them.
        and {seen.wanted} == {*counts, seen.updated, seen.ready, seen.available}
    )


def _newest(deployment: Manifest, replica_sets: list[Manifest], wanted: Wanted) -> Manifest | None:
    """The ReplicaSet of the Deployment's present revision, when it is of the wanted release."""
    revision = live.annotations(deployment).get(live.REVISION)
    for replica_set in replica_sets:
        if live.controller(replica_set) == live.uid(deployment) and revision == _revision(replica_set):
            return replica_set if wanted.is_template(live.spec(replica_set).get("template") or {}) else None
    return None


def _revision(replica_set: Manifest) -> str | None:
    return live.annotations(replica_set).get(live.REVISION)


def _split(ours: list[Manifest], newest: Manifest | None, wanted: Wanted) -> tuple[list[Manifest], list[Manifest]]:
    """The pods of the wanted release, and older ones that have not ended yet."""
    current, older = [], []
    for pod in ours:
        if _is_current(pod, newest, wanted):
            current.append(pod)
        elif not live.finished(pod):
            older.append(pod)
    return current, older


def _is_current(pod: Manifest, newest: Manifest | None, wanted: Wanted) -> bool:
    if newest is not None:  # the same release with another configuration has a ReplicaSet of its own
        return live.controller(pod) == live.uid(newest)
    return wanted.is_template(pod)


def _ours(deployment: Manifest | None, replica_sets: list[Manifest], pods: list[Manifest], app: str) -> list[Manifest]:
    owners = set()
    if deployment is not None:
        owners = {live.uid(found) for found in replica_sets if live.controller(found) == live.uid(deployment)}
    return [pod for pod in pods if live.controller(pod) in owners or live.labels(pod).get("app") == app]


def _pod(pod: Manifest) -> Pod:
    return Pod(
        name=live.name(pod),
        node=str(live.spec(pod).get("nodeName") or ""),
        ready=live.ready(pod),
        stage=live.labels(pod).get("stage", ""),
        state=live.pod_state(pod),
        restarts=sum(int(container.get("restartCount") or 0) for container in live.container_statuses(pod)),
    )
