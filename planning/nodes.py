"""Decides which nodes can take a prove-client, before anything is applied: one client a node, over all namespaces."""

from domain import names
from domain.ports import Manifest
from domain.spec import ClusterSpec, KeyValue
from domain.steps import NodesReport, NodeVerdict
from planning import live, quantity, shortage
from planning.shortage import Judged, Reason

MAX_LISTED = 500  # nodes in one report, for it travels through Temporal
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
        diagnosis=shortage.explain(judged, spec, usable, replicas) if usable < replicas else None,
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
