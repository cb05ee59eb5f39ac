"""The state of a rollout by its live objects, as in kstatus, with the pods of the wanted release only."""

from typing import Any

from domain.diagnosis import Severity
from domain.kubernetes import Manifest, Snapshot
from domain.status import Observation, Pod
from planning.diagnosis import coordinator, release_view
from planning.diagnosis.findings import release_findings
from planning.diagnosis.release_view import ReleaseView, WantedRelease
from planning.kubernetes import objects


def observe(
    snapshot: Snapshot, *, app: str, stage: str, image: str, autoscale: bool = False, trial: bool = False
) -> Observation:
    """Observe the release with this stage and image (an empty image or stage: whatever the Deployment wants).

    Without `snapshot.now` ages are unknown, and a finding that needs an age is then transient. Lists may hold objects
    of others: only those of our Deployment, or with our `app` label, count. With `autoscale` a pod that finds no node
    waits for an autoscaler. With `trial` the release has not served yet, and is not complete when its clients fail
    every task.
    """
    found = release_view.view_of(snapshot, app=app, stage=stage, image=image, autoscale=autoscale, trial=trial)
    # A pod that has ended and is being deleted counts as gone.
    pods = [
        _pod(pod)
        for pod in release_view.ours(snapshot, app)
        if not (objects.finished(pod) and objects.terminating(pod))
    ]
    if found is None:
        return Observation(exists=False, pods=pods)
    seen = Observation(
        exists=True,
        wanted=objects.replicas(found.deployment),
        updated=len(found.pods),
        ready=sum(objects.ready(pod) for pod in found.pods),
        available=int(objects.status(found.deployment).get("availableReplicas") or 0),
        pods=pods,
    )
    complete = _complete(found, seen, WantedRelease(stage, image))
    findings = release_findings(found)
    if complete:  # what runs as it should may still not reach its coordinator; nothing else can be wrong with it
        findings = [finding for finding in findings if finding.code in coordinator.CODES]
        complete = not any(finding.severity is Severity.FATAL for finding in findings)
    return seen.model_copy(update={"complete": complete, "diagnosis": next(iter(findings), None)})


def significant(known: Observation, seen: Observation) -> bool:
    """Return whether the deployment's workflow has to know of the difference; restart counts alone do not matter."""
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


def _complete(found: ReleaseView, seen: Observation, wanted: WantedRelease) -> bool:
    status = objects.status(found.deployment)
    counts = [int(status.get(key) or 0) for key in ("replicas", "updatedReplicas", "readyReplicas")]
    return (
        found.seen
        and wanted.is_template(objects.spec(found.deployment).get("template") or {})
        and not objects.terminating(found.deployment)
        and found.replica_set is not None
        and not found.leaving
        # Both views must agree: the controller's counts lag behind the pods, and a pod list may lag behind them.
        and {seen.wanted} == {*counts, seen.updated, seen.ready, seen.available}
    )


def _pod(pod: Manifest) -> Pod:
    return Pod(
        name=objects.name(pod),
        node=objects.node_name(pod),
        ready=objects.ready(pod),
        stage=objects.labels(pod).get("stage", ""),
        state=objects.pod_state(pod),
        restarts=sum(int(container.get("restartCount") or 0) for container in objects.container_statuses(pod)),
    )
