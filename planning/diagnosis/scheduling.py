"""The causes why the scheduler finds no node: which of its reasons is about the nodes that were meant for us."""

import re

from domain.diagnosis import Diagnosis, Severity
from domain.kubernetes import Manifest
from planning.capacity import placement
from planning.diagnosis.release_view import ReleaseView
from planning.kubernetes import objects

SCHEDULING_GRACE_SECONDS = 60.0  # seconds: a node may be on its way
NODE_RETURN_SECONDS = 300.0  # seconds: a node that is cordoned or not ready often comes back
OUTDATED_SECONDS = 330.0  # seconds: the scheduler tries again every five minutes, so its message holds by then
SCALE_UP_SECONDS = 900.0  # seconds that an autoscaler by itself gives a new node

_PIECE = re.compile(r"(\d+) ((?:node\(s\)|Insufficient|Too many)(?:\{[^}]*\}|[^,.{])*)")
_TAINT = re.compile(r"untolerated taint[^{]*\{([^}]*)\}")
_COMING = {"TriggeredScaleUp", "Nominated", "NodePoolScaleUp"}
_NOT_COMING = {"NotTriggerScaleUp", "FailedScaleUp", "FailedToScaleUpGroup", "ScaleUpTimedOut"}

# A node is counted under the first check that it fails, so the later the check, the more it was a node for us.
CAUSE_ORDER = [
    "SCHED_ANTIAFFINITY_FULL",
    "SCHED_RESOURCES",
    "SCHED_CORDON",
    "NODE_NOT_READY",
    "SCHED_TAINT",
    "SCHED_NO_LABEL",
    "CONTROL_PLANE",
]
_WHAT = {
    "SCHED_ANTIAFFINITY_FULL": "every usable node already runs a prove-client ({count} of them)",
    "SCHED_RESOURCES": "{count} nodes have too little free CPU or memory",
    "SCHED_CORDON": "{count} nodes are cordoned",
    "NODE_NOT_READY": "{count} nodes are not ready",
    "SCHED_TAINT": "{count} nodes have a taint that clients do not tolerate ({detail})",
    "SCHED_NO_LABEL": "{count} nodes lack the label for clients",
}
_DO = {
    "SCHED_ANTIAFFINITY_FULL": "add nodes with the clients' label and taint, or deploy fewer (`proverctl scale N`)",
    "SCHED_RESOURCES": "lower CLIENT_CPU or CLIENT_MEMORY, or make room on the nodes",
    "SCHED_CORDON": "`kubectl uncordon NODE`, or deploy fewer clients (`proverctl scale N`)",
    "NODE_NOT_READY": "look at the nodes with `proverctl nodes`",
    "SCHED_TAINT": "remove the taint, or use it as NODE_TAINT; see `proverctl nodes`",
    "SCHED_NO_LABEL": "`kubectl label node NODE {label}`; see `proverctl nodes`",
}


def scheduling_finding(pod: Manifest, view: ReleaseView) -> Diagnosis | None:
    """Return why the scheduler finds no node; None when the pod has one or only waits for pods that are leaving."""
    condition = objects.condition(pod, "PodScheduled")
    if not condition:
        return _unnoticed(pod, view.now)
    if condition.get("status") != "False" or condition.get("reason") != "Unschedulable":
        return None
    message, since = str(condition.get("message") or ""), str(condition.get("lastTransitionTime") or "")
    code, count, detail = cause(message)
    if code in ("SCHED_ANTIAFFINITY_FULL", "SCHED_RESOURCES") and any(map(objects.terminating, view.leaving)):
        return None  # on full nodes a new pod waits until an older one is gone: that is how a rollout works
    code, current = _by_nodes(pod, code, view)
    if code == "SCHED_ANTIAFFINITY_FULL" and current and view.leaving and view.needs_surge:
        return _surge_deadlock(message, since)
    grace = NODE_RETURN_SECONDS if code in ("SCHED_CORDON", "NODE_NOT_READY") else SCHEDULING_GRACE_SECONDS
    waited = objects.elapsed(since, view.now)
    late = waited is not None and waited >= (grace if current else OUTDATED_SECONDS)
    found = Diagnosis(
        code=code,
        what=_WHAT[code].format(count=count, detail=detail),
        evidence=message,
        because="the scheduler finds no node for it",
        do=_DO[code].format(label="=".join(placement.wanted_label(pod)).removeprefix("=") or "KEY=VALUE"),
        severity=Severity.NEEDS_HUMAN if late else Severity.TRANSIENT,
        since=since,
        grace=int(grace),
    )
    return _scaled(pod, found, view)


def cause(message: str) -> tuple[str, int, str]:
    """Return code, number of nodes and taint of the decisive reason in a scheduler's message."""
    counts: dict[str, int] = {}
    details: dict[str, str] = {}
    for number, reason in _PIECE.findall(message.partition("preemption:")[0]):
        code, detail = _classify(reason)
        counts[code] = counts.get(code, 0) + int(number)
        details.setdefault(code, detail)
    found = next((code for code in CAUSE_ORDER if code in counts), "SCHED_NO_LABEL")
    shown = "SCHED_NO_LABEL" if found == "CONTROL_PLANE" else found
    return shown, counts.get(found, 0), details.get(found, "")


def _by_nodes(pod: Manifest, code: str, view: ReleaseView) -> tuple[str, bool]:
    """Return the cause by the labelled nodes themselves, and whether the scheduler's message still holds.

    Its message counts nodes that were never meant for us, and is as old as its last try.
    """
    found = placement.candidate_nodes(pod, view.snapshot)
    if found is None:
        return code, True
    if not found.labelled:
        return ("SCHED_NO_LABEL" if placement.wanted_label(pod)[0] else code), True
    seen = [placement.obstacle(pod, node, found.held.get(objects.name(node), [])).code for node in found.labelled]
    if "" in seen:
        return code, code in ("SCHED_ANTIAFFINITY_FULL", "SCHED_RESOURCES") and not found.whole
    lost = [one for one in seen if one in ("SCHED_CORDON", "NODE_NOT_READY")]
    if code == "SCHED_ANTIAFFINITY_FULL" and len(lost) >= len(view.pods) - len(_placed(view)):
        return lost[0], True  # the others are full as they should be: those that came back would suffice
    return (code if code in seen else next(one for one in CAUSE_ORDER if one in seen)), True


def _placed(view: ReleaseView) -> list[Manifest]:
    return [pod for pod in view.pods if objects.node_name(pod)]


def _scaled(pod: Manifest, found: Diagnosis, view: ReleaseView) -> Diagnosis:
    """Return the autoscaler's finding in place of this one, where an autoscaler is expected or has reported."""
    told = [event for event in view.of(pod) if event.get("reason") in _COMING | _NOT_COMING]
    latest = max(told, key=lambda event: objects.seconds(objects.last_seen(event)) or 0.0, default=None)
    if latest is None and not view.autoscale:
        return found
    update: dict[str, object] = {"code": "SCHED_AUTOSCALE"}
    if latest is None:
        update |= {"what": "waiting for an autoscaler to add a node, which has not said anything yet"}
        update |= {"severity": Severity.TRANSIENT, "because": found.what, "grace": 0}
        return found.model_copy(update=update)
    since = objects.first_seen(latest)
    update |= {"evidence": f"{latest['reason']}: {objects.message(latest)}", "since": since, "because": found.what}
    lasted = objects.elapsed(since, view.now)
    if latest["reason"] in _COMING:
        late = lasted is not None and lasted >= SCALE_UP_SECONDS
        update |= {
            "what": "an autoscaler adds a node",
            "grace": int(SCALE_UP_SECONDS),
            "do": "wait; no command is needed",
        }
        if late:
            update |= {"what": "an autoscaler was to add a node, and none has come", "do": found.do}
    else:
        grace = (
            NODE_RETURN_SECONDS if view.autoscale else SCHEDULING_GRACE_SECONDS
        )  # who expects one knows that it takes its time
        late = lasted is not None and lasted >= grace
        update |= {"what": "no autoscaler will add a node that fits", "grace": int(grace)}
        update |= {"do": f"raise the limit of the node group, or give it the clients' label and taint; else {found.do}"}
    return found.model_copy(update=update | {"severity": Severity.NEEDS_HUMAN if late else Severity.TRANSIENT})


def _unnoticed(pod: Manifest, now: float | None) -> Diagnosis | None:
    """Return the finding for a pod that no scheduler has acted on."""
    waited = objects.elapsed(objects.created(pod), now)
    if waited is None or waited < SCHEDULING_GRACE_SECONDS or objects.status(pod).get("conditions"):
        return None
    return Diagnosis(
        code="CONTROL_PLANE_DOWN",
        what="no scheduler has looked at the pod",
        evidence=f"created {objects.created(pod)}, no condition PodScheduled",
        because="the cluster's scheduler does not run, or is far behind",
        do="look at the control plane (kube-scheduler); the rollout goes on by itself then",
        severity=Severity.TRANSIENT,
        since=objects.created(pod),
        grace=int(SCHEDULING_GRACE_SECONDS),
    )


def _classify(reason: str) -> tuple[str, str]:
    taint = _TAINT.search(reason)
    if taint:
        return _classify_taint(taint[1])
    lowered = reason.lower()
    if "anti-affinity" in lowered:
        return "SCHED_ANTIAFFINITY_FULL", ""
    if "insufficient" in lowered or "too many pods" in lowered:
        return "SCHED_RESOURCES", reason
    if "unschedulable" in lowered:
        return "SCHED_CORDON", ""
    if "untolerated taint" in lowered:
        return "SCHED_TAINT", "the scheduler does not say which"
    return "SCHED_NO_LABEL", ""


def _classify_taint(taint: str) -> tuple[str, str]:
    key = taint.partition(":")[0].strip()
    if key.startswith("node-role.kubernetes.io/"):
        return "CONTROL_PLANE", taint
    return placement.taint_code(key), taint


def _surge_deadlock(message: str, since: str) -> Diagnosis:
    return Diagnosis(
        code="SCHED_SURGE_DEADLOCK",
        what="the rollout can never finish: old clients hold every node and the strategy removes none first",
        evidence=message,
        because="somebody changed the Deployment's strategy to maxUnavailable 0",
        do="deploy again, which restores maxSurge 0 and maxUnavailable 1",
        severity=Severity.FATAL,
        since=since,
    )
