"""The causes that hold up one pod, each with the grace that keeps passing states from being called failures."""

from typing import Any

from domain.diagnosis import Diagnosis, Severity
from domain.kubernetes import Manifest
from planning.diagnosis import container_exit, disruption, image_pull, scheduling
from planning.diagnosis.release_view import ReleaseView
from planning.kubernetes import objects

CONFIG_GRACE_SECONDS = 30.0  # seconds: the object may be on its way
CREATING_GRACE_SECONDS = 120.0  # seconds: volumes and networks take time
IDLE_GRACE_SECONDS = 60.0  # seconds in which somebody of the control plane should have looked at a new object
LEAVING_GRACE_SECONDS = 60.0  # seconds after the pod's own grace
_CONFIG_REASONS = {"CreateContainerConfigError"}
_RUN_REASONS = {"CreateContainerError", "RunContainerError"}
_SETTING_UP = {
    "FailedCreatePodSandBox",
    "FailedMount",
    "FailedAttachVolume",
    "NetworkNotReady",
    "FailedCreatePodContainer",
}
_SET_UP = {"Pulling", "Pulled", "Created", "Started"}


def pod_finding(pod: Manifest, view: ReleaseView) -> Diagnosis | None:
    """Return the finding for one pod of the wanted release; None when it runs or nothing is known to be wrong."""
    if not objects.node_name(pod):
        return scheduling.scheduling_finding(pod, view)
    lost = disruption.lost_node(pod, view)
    if lost:
        return lost
    for container in objects.container_statuses(pod):
        waiting = (container.get("state") or {}).get("waiting") or {}
        finding = _waiting(pod, waiting, view) or container_exit.exit_finding(container, view.now)
        if finding:
            return finding
    return None if objects.container_statuses(pod) else _creating(pod, view)


def leaving_finding(pod: Manifest, view: ReleaseView) -> Diagnosis | None:
    """Return the finding for a pod whose deletion exceeds its grace: it may hold a node that a new client needs."""
    meta = pod.get("metadata") or {}
    due = str(meta.get("deletionTimestamp") or "")
    over = objects.elapsed(due, view.now)
    if over is None or over < LEAVING_GRACE_SECONDS:
        return None
    holders, node = ", ".join(meta.get("finalizers") or []), objects.node_name(pod)
    return Diagnosis(
        code="TERMINATING_STUCK",
        what=f"the pod does not go away, {over:.0f} s after its grace period, and keeps node {node} from a new client",
        evidence=f"deletionTimestamp {due}; " + (f"finalizers: {holders}" if holders else f"node {node}"),
        because="a finalizer holds it" if holders else "its node's kubelet does not answer, or its process cannot die",
        do=f"look at who set the finalizer {holders}, before you remove it"
        if holders
        else f"look at node {node} with `kubectl describe node {node}`; if it is gone for good, delete the Node object",
        severity=Severity.NEEDS_HUMAN,
        since=due,
        grace=int(LEAVING_GRACE_SECONDS),
    )


def _waiting(pod: Manifest, waiting: dict[str, Any], view: ReleaseView) -> Diagnosis | None:
    reason = waiting.get("reason")
    if reason in image_pull.REASONS:
        return image_pull.pull_finding(pod, waiting, view.of(pod), now=view.now)
    message = str(waiting.get("message") or "")
    if reason in _CONFIG_REASONS:
        return _config(message, _told_since(pod, message, view), view)
    if reason in _RUN_REASONS and "exec format error" in message:
        return container_exit.wrong_architecture(objects.client_image(objects.spec(pod)), message)
    if reason in ("ContainerCreating", "PodInitializing"):
        return _creating(pod, view)
    return None


def _told_since(pod: Manifest, message: str, view: ReleaseView) -> str:
    """Return when kubelet first said so: a pod may have pulled its image for an hour before."""
    told = (objects.first_seen(event) for event in view.of(pod) if message and message in objects.message(event))
    return objects.earliest(told) or objects.started(pod)


def _config(message: str, since: str, view: ReleaseView) -> Diagnosis | None:
    if "failed to sync" in message and "cache" in message:
        return None  # kubelet has just started to watch the object
    as_root = any(words in message for words in ("runAsNonRoot", "non-root", "non-numeric user"))
    lasted = objects.elapsed(since, view.now)
    return Diagnosis(
        code="PODSECURITY" if as_root else "CONFIG_MISSING",
        what="the image runs as root, which its pod forbids"
        if as_root
        else "a Secret, a ConfigMap or a key of one is missing",
        evidence=message,
        because=""
        if as_root
        else "somebody deleted or changed it after the deploy wrote it; the image was pulled well",
        do="set a numeric USER other than 0 in the base image (PROVER_BASE_IMAGE)"
        if as_root
        else "deploy again, which restores it",
        severity=Severity.FATAL if lasted is not None and lasted >= CONFIG_GRACE_SECONDS else Severity.TRANSIENT,
        since=since,
        grace=int(CONFIG_GRACE_SECONDS),
    )


def _creating(pod: Manifest, view: ReleaseView) -> Diagnosis | None:
    trouble = _trouble(pod, view)
    if trouble is None:
        return image_pull.slow(pod, view.of(pod), now=view.now) or _ignored(pod, view)
    message, since = objects.message(trouble), objects.first_seen(trouble) or objects.started(pod)
    lowered = message.lower()
    if "not found" in lowered and ("configmap" in lowered or "secret" in lowered):
        return _config(message, since, view)
    if "references non-existent" in lowered and "key" in lowered:
        return _config(message, since, view)
    if "failed to sync" in lowered and "cache" in lowered:
        return None
    lasted = objects.elapsed(since, view.now)
    return Diagnosis(
        code="STUCK_CREATING",
        what=f"the node cannot set up the pod's {'volumes' if 'Mount' in str(trouble.get('reason')) else 'sandbox'}",
        evidence=message,
        do=f"look at node {objects.node_name(pod)} and its network plug-in; it is retried",
        severity=Severity.NEEDS_HUMAN
        if lasted is not None and lasted >= CREATING_GRACE_SECONDS
        else Severity.TRANSIENT,
        since=since,
        grace=int(CREATING_GRACE_SECONDS),
    )


def _trouble(pod: Manifest, view: ReleaseView) -> Manifest | None:
    """Return the latest trouble of setting the pod up, unless a later step has succeeded since."""
    if objects.condition(pod, "PodReadyToStartContainers").get("status") == "True":
        return None
    events = view.of(pod)
    troubles = [event for event in events if event.get("reason") in _SETTING_UP]
    if not troubles:
        return None
    done = [objects.last_seen(event) for event in events if event.get("reason") in _SET_UP]
    return None if any(objects.later(stamp, objects.last_seen(troubles[-1])) for stamp in done) else troubles[-1]


def _ignored(pod: Manifest, view: ReleaseView) -> Diagnosis | None:
    """Return the finding for a bound pod that its node's kubelet has not reported on."""
    if objects.status(pod).get("startTime"):
        return None
    since = str(objects.condition(pod, "PodScheduled").get("lastTransitionTime") or objects.created(pod))
    lasted = objects.elapsed(since, view.now)
    if lasted is None or lasted < IDLE_GRACE_SECONDS:
        return None
    node = objects.node_name(pod)
    return Diagnosis(
        code="NODE_NOT_READY",
        what=f"the kubelet of node {node} has not taken the pod for {lasted:.0f} s",
        evidence=f"no startTime; scheduled to {node} at {since}",
        because="its kubelet does not run or does not reach the API server",
        do=f"look at node {node} with `kubectl describe node {node}`",
        severity=Severity.NEEDS_HUMAN if lasted >= scheduling.NODE_RETURN_SECONDS else Severity.TRANSIENT,
        since=since,
        grace=int(scheduling.NODE_RETURN_SECONDS),
    )
