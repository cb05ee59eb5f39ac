"""Decides which nodes can take a prove-client, before anything is applied: one client a node, over all namespaces."""

from collections import Counter
from typing import NamedTuple

from domain import names
from domain.diagnosis import Diagnosis, Severity
from domain.ports import Manifest
from domain.spec import ClusterSpec, KeyValue
from domain.steps import NodesReport, NodeVerdict
from planning import live, quantity

MAX_LISTED = 500  # nodes in one report, for it travels through Temporal
SHOWN = 5  # nodes in one sentence
_REPELLING = {"NoSchedule", "NoExecute"}
_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")
_OWN_REASON = {  # taints that Kubernetes sets for what is reported in words of its own
    "node.kubernetes.io/unschedulable",
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/network-unavailable",
}


class Reason(NamedTuple):
    """Why a node cannot take a client: the code that counts, and the sentence that is shown."""

    code: str
    text: str


class Judged(NamedTuple):
    """One node with everything that is against it; the first reason is the main one."""

    name: str
    reasons: list[Reason]
    booked_by: str

    @property
    def labelled(self) -> bool:
        """Whether the node was meant for clients."""
        return all(reason.code != "SCHED_NO_LABEL" for reason in self.reasons)

    @property
    def code(self) -> str:
        """The main cause; empty for a usable node."""
        if self.reasons:
            return self.reasons[0].code
        return "SCHED_ANTIAFFINITY_FULL" if self.booked_by else ""


def judge(
    nodes: list[Manifest], pods: list[Manifest] | None, spec: ClusterSpec, replicas: int, namespace: str
) -> NodesReport:
    """A verdict for each node and, with fewer usable than `replicas`, a diagnosis by the largest cause.

    `pods` are those of all namespaces; None when we may not read them, which is a warning and never a failure (R2).
    """
    booked = _bookings(pods or [], spec, namespace)
    judged = [Judged(live.name(node), _reasons(node, spec), booked.get(live.name(node), "")) for node in nodes]
    judged.sort(key=lambda node: (not node.labelled, node.name))
    usable = sum(not node.code for node in judged)
    return NodesReport(
        wanted=replicas,
        usable=usable,
        nodes=[_verdict(node) for node in judged[:MAX_LISTED]],
        diagnosis=_diagnosis(judged, spec, usable, replicas) if usable < replicas else None,
        warnings=_warnings(pods, len(judged)),
    )


def _verdict(node: Judged) -> NodeVerdict:
    reasons = [reason.text for reason in node.reasons]
    return NodeVerdict(name=node.name, usable=not node.code, reasons=reasons, booked_by=node.booked_by)


def _reasons(node: Manifest, spec: ClusterSpec) -> list[Reason]:
    return [
        *_label(node, spec.node_label),
        *_taints(node, spec.node_taint),
        *_cordon(node),
        *_readiness(node),
        *_room(node, spec),
    ]


def _label(node: Manifest, wanted: KeyValue) -> list[Reason]:
    value = live.labels(node).get(wanted.key)
    if value == wanted.value:
        return []
    missing = (
        f"label {wanted} is missing" if value is None else f"label {wanted.key} is {value!r}, not {wanted.value!r}"
    )
    return [Reason("SCHED_NO_LABEL", missing)]


def _taints(node: Manifest, tolerated: KeyValue) -> list[Reason]:
    found = []
    for taint in live.spec(node).get("taints") or []:
        key, value, effect = (str(taint.get(part) or "") for part in ("key", "value", "effect"))
        ours = (key, value) == (tolerated.key, tolerated.value)
        if effect in _REPELLING and not ours and key not in _OWN_REASON:
            shown = f"{key}={value}:{effect}" if value else f"{key}:{effect}"
            found.append(Reason("SCHED_TAINT", f"taint {shown} is not tolerated"))
    return found


def _cordon(node: Manifest) -> list[Reason]:
    return [Reason("SCHED_CORDON", "cordoned")] if live.spec(node).get("unschedulable") else []


def _readiness(node: Manifest) -> list[Reason]:
    found = []
    condition = live.condition(node, "Ready")
    if condition.get("status") != "True":
        since = condition.get("lastTransitionTime")
        text = "not ready" + (f" since {since}" if since else "")
        if condition.get("reason"):
            text += f" ({condition['reason']})"
        found.append(Reason("NODE_NOT_READY", text))
    for kind in _PRESSURES:
        if live.condition(node, kind).get("status") == "True":
            since = live.condition(node, kind).get("lastTransitionTime")
            found.append(Reason("NODE_NOT_READY", kind + (f" since {since}" if since else "")))
    return found


def _room(node: Manifest, spec: ClusterSpec) -> list[Reason]:
    """Nodes too small even when empty; what other pods take of the rest is the scheduler's to say."""
    allocatable = live.status(node).get("allocatable") or {}
    found = []
    for resource, setting, asked in (
        ("cpu", "CLIENT_CPU", spec.client_cpu),
        ("memory", "CLIENT_MEMORY", spec.client_memory),
    ):
        has = allocatable.get(resource)
        if asked and has and quantity.amount(str(has)) < quantity.amount(asked):
            found.append(Reason("SCHED_RESOURCES", f"has {has} {resource}, less than {setting}={asked}"))
    return found


def _bookings(pods: list[Manifest], spec: ClusterSpec, namespace: str) -> dict[str, str]:
    """Node → `namespace/pod` of a prove-client that is not ours and would keep ours away."""
    booked = {}
    for pod in pods:
        labels = live.labels(pod)
        if labels.get(names.ROLE_LABEL) != names.ROLE_VALUE or live.finished(pod):
            continue
        home = (pod.get("metadata") or {}).get("namespace", "")
        node = live.spec(pod).get("nodeName")
        if node and (home != namespace or labels.get("app") != spec.deploy_name):
            booked[node] = f"{home}/{live.name(pod)}"
    return booked


def _warnings(pods: list[Manifest] | None, total: int) -> list[str]:
    found = []
    if pods is None:
        found.append(
            "Whether prove-clients of other namespaces hold a node is unknown: the worker may not list the pods of all "
            "namespaces. Grant the optional rights that `proverctl rbac` prints to find out."
        )
    if total > MAX_LISTED:
        found.append(f"{total - MAX_LISTED} more nodes are counted but not listed.")
    return found


def _diagnosis(judged: list[Judged], spec: ClusterSpec, usable: int, replicas: int) -> Diagnosis:
    cause = _cause(judged, usable, replicas)
    held = [node for node in judged if node.code == cause]
    return Diagnosis(
        code=cause,
        what=f"{usable} of {len(judged)} nodes are usable, {replicas} clients are wanted (one a node)",
        on=f"cluster {spec.cluster}",
        because=_because(cause, held, replicas - usable),
        evidence="; ".join(_line(node) for node in judged[:SHOWN] if node.code),
        do=_remedy(cause, held, spec, usable, replicas - usable),
        severity=Severity.REFUSED,
    )


def _cause(judged: list[Judged], usable: int, replicas: int) -> str:
    """The largest cause among the nodes meant for clients when mending those is enough, else the missing label."""
    meant = Counter(node.code for node in judged if node.code and node.labelled)
    if meant and usable + meant.total() >= replicas:
        return meant.most_common(1)[0][0]
    if any(not node.labelled for node in judged):
        return "SCHED_NO_LABEL"
    return meant.most_common(1)[0][0] if meant else "SCHED_ANTIAFFINITY_FULL"


def _because(cause: str, held: list[Judged], lacking: int) -> str:
    shown = ", ".join(node.name for node in held[:SHOWN]) + (", …" if len(held) > SHOWN else "")
    words = {
        "SCHED_NO_LABEL": f"{len(held)} nodes do not carry the label for clients ({shown})",
        "SCHED_TAINT": f"{len(held)} nodes have a taint that clients do not tolerate ({shown})",
        "SCHED_CORDON": f"{len(held)} nodes are cordoned ({shown})",
        "NODE_NOT_READY": f"{len(held)} nodes are not ready ({shown})",
        "SCHED_RESOURCES": f"{len(held)} nodes are too small ({shown})",
        "SCHED_ANTIAFFINITY_FULL": f"{len(held)} nodes run another fleet's client ({shown})",
    }
    return words[cause] if held else f"there are {lacking} nodes too few"


def _line(node: Judged) -> str:
    texts = [reason.text for reason in node.reasons] + ([f"booked by {node.booked_by}"] if node.booked_by else [])
    return f"{node.name}: {', '.join(texts)}"


def _remedy(cause: str, held: list[Judged], spec: ClusterSpec, usable: int, lacking: int) -> str:
    chosen = " ".join(node.name for node in held[:lacking]) or "NODE"
    ways = {
        "SCHED_NO_LABEL": f"kubectl label node {chosen} {spec.node_label}",
        "SCHED_TAINT": "remove the taint, or name it with NODE_TAINT",
        "SCHED_CORDON": f"kubectl uncordon {chosen}",
        "NODE_NOT_READY": f"kubectl describe node {chosen}",
        "SCHED_RESOURCES": "lower CLIENT_CPU and CLIENT_MEMORY, or add larger nodes",
        "SCHED_ANTIAFFINITY_FULL": f"add {lacking} nodes with the label {spec.node_label}",
    }
    return f"{ways[cause]}; or ask for at most {usable} clients"
