"""The disruptions of clients from outside: evicted, preempted, or their node taken away."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from domain.diagnosis import Diagnosis, Severity
from domain.kubernetes import Manifest
from planning.diagnosis import scheduling
from planning.diagnosis.release_view import ReleaseView
from planning.kubernetes import objects
from planning.text import sanitize
from planning.text.listing import listed

RECENT_SECONDS = 900.0  # seconds that an event about a pod which is gone explains why its replacement waits
_SPOT_TAINTS = ("impending-node-termination", "spot", "shutdown", "termination", "ToBeDeleted", "disrupted", "preempt")
_CODES = {  # reason of a condition DisruptionTarget, of a pod's status, or of an event
    "PreemptionByScheduler": "PREEMPTED",
    "Preempting": "PREEMPTED",
    "Preempted": "PREEMPTED",
    "TerminationByKubelet": "EVICTED",
    "EvictionByEvictionAPI": "EVICTED",
    "Evicted": "EVICTED",
    "DeletionByTaintManager": "SPOT",
    "DeletionByPodGC": "SPOT",
    "TaintManagerEviction": "SPOT",
    "NodeShutdown": "SPOT",
    "Terminated": "SPOT",
    "NodeLost": "SPOT",
    "Shutdown": "SPOT",
}
_WHAT = {
    "PREEMPTED": "a client had to make room for a pod of higher priority",
    "EVICTED": "a client was evicted from its node",
    "SPOT": "a client lost its node",
}
_BECAUSE = {
    "PREEMPTED": "the scheduler needed its node for a pod of higher priority",
    "EVICTED": "its node ran short of something, or somebody drains the node",
    "SPOT": "the node was shut down, taken back or does not answer any more",
}
_DO = {
    "PREEMPTED": "keep other pods off the clients' nodes by their taint (NODE_TAINT); see `proverctl nodes`",
    "EVICTED": "see the node's events with `kubectl describe node`, and who drains it; a new client is made by itself",
    "SPOT": "a new client is made by itself as soon as a node fits; see `proverctl nodes`",
}


class Loss(NamedTuple):
    """A client that was taken away."""

    code: str
    pod: str
    node: str
    since: str
    evidence: str


def disruption_findings(view: ReleaseView) -> list[Diagnosis]:
    """Return what took clients away, as long as their replacements are not all Ready."""
    wanted = objects.replicas(view.deployment)
    ready = sum(objects.ready(pod) for pod in view.pods)
    if ready >= wanted:
        return []
    losses: dict[str, list[Loss]] = {}
    for loss in {found.pod: found for found in _losses(view)}.values():
        losses.setdefault(loss.code, []).append(loss)
    waiting = [pod for pod in view.pods if not objects.ready(pod)]
    return [_finding(code, found, waiting) for code, found in losses.items()]


def lost_node(pod: Manifest, view: ReleaseView) -> Diagnosis | None:
    """Return the finding for a client whose node does not answer, which makes the pod's own status stale."""
    if objects.ready(pod):
        return None
    node = next((found for found in view.snapshot.nodes or [] if objects.name(found) == objects.node_name(pod)), None)
    if node is not None:
        condition = objects.condition(node, "Ready")
        message, since = str(condition.get("message") or ""), str(condition.get("lastTransitionTime") or "")
        away = condition.get("status") not in ("True", None)
    else:
        told = next(iter(view.of(pod)[-1:]), None)
        condition = objects.condition(pod, "Ready")
        since = str(condition.get("lastTransitionTime") or "")
        message = objects.message(told) if told else ""
        away = told is not None and told.get("reason") == "NodeNotReady"
    if not away:
        return None
    lasted = objects.elapsed(since, view.now)
    name = objects.node_name(pod)
    return Diagnosis(
        code="NODE_NOT_READY",
        what=f"node {name} does not answer",
        evidence=sanitize.one_line(f"Ready={condition.get('status')}: {message}"),
        because="its kubelet does not run or does not reach the API server; the client itself may well run on",
        do=f"look at node {name} with `kubectl describe node {name}`; after about five minutes its pods are replaced",
        severity=Severity.NEEDS_HUMAN
        if lasted is not None and lasted >= scheduling.NODE_RETURN_SECONDS
        else Severity.TRANSIENT,
        since=since,
        grace=int(scheduling.NODE_RETURN_SECONDS),
    )


def _finding(code: str, losses: list[Loss], waiting: list[Manifest]) -> Diagnosis:
    first = losses[0]
    replacements = ", ".join(f"{objects.name(pod)} {objects.pod_state(pod)}" for pod in waiting[:3])
    nodes = ", ".join(dict.fromkeys(loss.node for loss in losses if loss.node))
    return Diagnosis(
        code=code,
        what=_WHAT[code] + (f" ({nodes})" if nodes else ""),
        on=f"pod {listed([loss.pod for loss in losses], 1)}",
        evidence=sanitize.one_line(first.evidence),
        because=_BECAUSE[code]
        + (f"; its replacement: {replacements}" if replacements else "; its replacement is not made yet"),
        do=_DO[code],
        severity=Severity.TRANSIENT,
        since=objects.earliest(loss.since for loss in losses),
    )


def _losses(view: ReleaseView) -> Iterator[Loss]:
    """Yield the losses by pods that ended or are leaving, then by events about pods that are gone."""
    for pod in [*view.ended, *view.leaving, *view.pods]:
        loss = _of_pod(pod, view)
        if loss:
            yield loss
    if view.replica_set is None:
        return
    stem, there = f"{objects.name(view.replica_set)}-", {objects.name(pod) for pod in view.pods}
    for event in view.snapshot.events:
        kind, name = objects.about(event)
        age = objects.elapsed(objects.last_seen(event), view.now)
        gone = kind == "Pod" and name.startswith(stem) and name not in there
        if gone and event.get("reason") in _CODES and age is not None and age < RECENT_SECONDS:
            code = _CODES[str(event["reason"])]
            yield Loss(code, name, "", objects.last_seen(event), f"{event['reason']}: {objects.message(event)}")


def _of_pod(pod: Manifest, view: ReleaseView) -> Loss | None:
    name, node = objects.name(pod), objects.node_name(pod)
    target = objects.condition(pod, "DisruptionTarget")
    if target.get("status") == "True" and target.get("reason") in _CODES:
        code = _spot(target, node, view) or _CODES[str(target["reason"])]
        told = f"DisruptionTarget {target['reason']}: {target.get('message') or ''}"
        return Loss(code, name, node, str(target.get("lastTransitionTime") or ""), told)
    found = objects.status(pod)
    since = str(objects.condition(pod, "Ready").get("lastTransitionTime") or objects.started(pod))
    age = objects.elapsed(since, view.now)
    if objects.finished(pod) and found.get("reason") in _CODES and (age is None or age < RECENT_SECONDS):
        return Loss(_CODES[str(found["reason"])], name, node, since, f"{found['reason']}: {found.get('message') or ''}")
    return None


def _spot(target: dict[str, Any], node: str, view: ReleaseView) -> str:
    """Return SPOT when what looks like an eviction is the end of the node itself, else an empty text."""
    if target.get("reason") == "TerminationByKubelet" and "shutdown" in str(target.get("message") or "").lower():
        return "SPOT"
    if view.snapshot.nodes is None:
        return ""
    found = next((one for one in view.snapshot.nodes if objects.name(one) == node), None)
    taints = [str(taint.get("key") or "") for taint in objects.spec(found).get("taints") or []] if found else []
    return "SPOT" if any(word in key for key in taints for word in _SPOT_TAINTS) else ""
