"""Reads the scheduler's verdict: which of its reasons is about the nodes that were meant for us."""

import re

from domain.diagnosis import Diagnosis, Severity
from domain.ports import Manifest
from planning import live

GRACE = 60.0  # seconds: a node may be on its way
NODE_GRACE = 300.0  # seconds: a node that is cordoned or not ready often comes back

_PIECE = re.compile(r"(\d+) ((?:node\(s\)|Insufficient|Too many)(?:\{[^}]*\}|[^,.{])*)")
_TAINT = re.compile(r"untolerated taint[^{]*\{([^}]*)\}")
_NODE_TAINTS = ("not-ready", "unreachable", "pressure", "network-unavailable", "out-of-service", "uninitialized")

# A node is counted under the first check that it fails, so the later the check, the more it was a node for us.
_ORDER = [
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


def judge(pod: Manifest, *, now: float | None, blocked_by: int, surge_only: bool) -> Diagnosis | None:
    """Why the scheduler finds no node; None when the pod has one or only waits for pods that are leaving.

    `blocked_by` counts older or terminating pods of ours; with `surge_only` those would never leave.
    """
    condition = live.condition(pod, "PodScheduled")
    if condition.get("status") != "False" or condition.get("reason") != "Unschedulable":
        return None
    message = str(condition.get("message") or "")
    code, count, detail = cause(message)
    if code == "SCHED_ANTIAFFINITY_FULL" and blocked_by:
        return _surge_deadlock(message) if surge_only else None
    grace = NODE_GRACE if code in ("SCHED_CORDON", "NODE_NOT_READY") else GRACE
    waited = live.elapsed(condition.get("lastTransitionTime"), now)
    return Diagnosis(
        code=code,
        what=_WHAT[code].format(count=count, detail=detail),
        evidence=message,
        because="the scheduler finds no node for it",
        do=_DO[code].format(label=_wanted_label(pod)),
        severity=Severity.NEEDS_HUMAN if waited is not None and waited >= grace else Severity.TRANSIENT,
    )


def cause(message: str) -> tuple[str, int, str]:
    """Code, number of nodes and the taint, of the reason that counts in a scheduler's message."""
    counts: dict[str, int] = {}
    details: dict[str, str] = {}
    for number, reason in _PIECE.findall(message.partition("preemption:")[0]):
        code, detail = _classify(reason)
        counts[code] = counts.get(code, 0) + int(number)
        details.setdefault(code, detail)
    found = next((code for code in _ORDER if code in counts), "SCHED_NO_LABEL")
    shown = "SCHED_NO_LABEL" if found == "CONTROL_PLANE" else found
    return shown, counts.get(found, 0), details.get(found, "")


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
    if key == "node.kubernetes.io/unschedulable":
        return "SCHED_CORDON", taint
    if key.startswith(("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")) and key.endswith(_NODE_TAINTS):
        return "NODE_NOT_READY", taint
    return "SCHED_TAINT", taint


def _wanted_label(pod: Manifest) -> str:
    affinity = (live.spec(pod).get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or []:
        for expression in term.get("matchExpressions") or []:
            return f"{expression.get('key')}={(expression.get('values') or [''])[0]}"
    return "KEY=VALUE"


def _surge_deadlock(message: str) -> Diagnosis:
    return Diagnosis(
        code="SCHED_SURGE_DEADLOCK",
        what="the rollout can never finish: old clients hold every node and the strategy removes none first",
        evidence=message,
        because="somebody changed the Deployment's strategy to maxUnavailable 0",
        do="deploy again, which restores maxSurge 0 and maxUnavailable 1",
        severity=Severity.FATAL,
    )
