"""Explains why clients do not fit by the cause that is worth mending, with numbers and a command for a terminal."""

from collections import Counter

from domain.diagnosis import Diagnosis, Severity
from domain.spec import ClusterSpec
from planning.capacity.node import NodeFitness
from planning.capacity.quota import Limit
from planning.text import quantity, sizes
from planning.text.listing import listed

SHOWN_NODES = 5  # nodes or values in one sentence
_ASKS = {  # what a quota may demand → how a client comes to name it
    "requests.cpu": "set CLIENT_CPU",
    "cpu": "set CLIENT_CPU",
    "requests.memory": "set CLIENT_MEMORY",
    "memory": "set CLIENT_MEMORY",
    "limits.memory": "set CLIENT_MEMORY",
    "limits.cpu": "give the namespace a LimitRange with a default for cpu",
}


def of_nodes(judged: list[NodeFitness], spec: ClusterSpec, usable: int, replicas: int) -> Diagnosis:
    """Return the refusal by the cause whose removal would suffice, with the command; labelled nodes come first."""
    cause = _cause(judged, usable, replicas)
    against = [node for node in judged if node.code]
    return Diagnosis(
        code=cause,
        what=f"{usable} of {len(judged)} nodes are usable, {replicas} clients are wanted (one a node)",
        on=f"cluster {spec.cluster}",
        because=_because(cause, judged, spec, replicas - usable),
        evidence=listed([_line(node) for node in against], SHOWN_NODES, "; "),
        do=_remedy(cause, judged, spec, usable, replicas - usable),
        severity=Severity.REFUSED,
    )


def of_quota(tightest: Limit, spec: ClusterSpec, possible: int, replicas: int) -> Diagnosis:
    """Return the refusal by a quota that admits fewer, or that a rollout cannot get through."""
    limit, resource = tightest, tightest.resource
    stalls = limit.room >= replicas
    hard, taken, each = (quantity.shown(value, resource) for value in (limit.hard, limit.taken, limit.each))
    counted = f"each client takes {each}"
    if stalls:
        before = quantity.shown(limit.before, resource)
        counted += f", each that runs now {before}, and a rollout keeps most of those until new ones are ready"
    return Diagnosis(
        code="QUOTA",
        what=f"ResourceQuota {limit.quota} leaves room for {sizes.counted(possible, 'client')}, {replicas} are wanted",
        on=f"namespace {spec.namespace}",
        because=f"{resource} may be {hard}, {taken} of it are taken by others, {counted}",
        do=f"kubectl edit resourcequota {limit.quota} -n {spec.namespace} to raise it; "
        + ("scale to fewer clients first" if stalls else f"or ask for at most {sizes.counted(possible, 'client')}"),
        severity=Severity.REFUSED,
    )


def of_demands(quota: str, lacking: list[str], spec: ClusterSpec) -> Diagnosis:
    """Return the refusal by a quota that admits no pod without certain requests or limits."""
    return Diagnosis(
        code="QUOTA",
        what=f"ResourceQuota {quota} admits no client",
        on=f"namespace {spec.namespace}",
        because=f"it demands {', '.join(lacking)} of every pod, which clients do not name",
        do=" and ".join(dict.fromkeys(_ASKS[resource] for resource in lacking)),
        severity=Severity.REFUSED,
    )


def of_ranges(sentences: list[str], spec: ClusterSpec) -> Diagnosis:
    """Return the refusal by a LimitRange that admits no client."""
    return Diagnosis(
        code="LIMITRANGE",
        what="a LimitRange admits no client",
        on=f"namespace {spec.namespace}",
        because="; ".join(sentences),
        do="set CLIENT_CPU, CLIENT_MEMORY or CLIENT_RESOURCES to what it allows, or change it: "
        f"kubectl edit limitrange -n {spec.namespace}",
        severity=Severity.REFUSED,
    )


def _cause(judged: list[NodeFitness], usable: int, replicas: int) -> str:
    """Return the largest cause among the labelled nodes when fixing those is enough, else the missing label."""
    meant = Counter(node.code for node in judged if node.code and node.labelled)
    if meant and usable + meant.total() >= replicas:
        return meant.most_common(1)[0][0]
    if any(not node.labelled for node in judged):
        return "SCHED_NO_LABEL"
    return meant.most_common(1)[0][0] if meant else "SCHED_ANTIAFFINITY_FULL"


def _because(cause: str, judged: list[NodeFitness], spec: ClusterSpec, lacking: int) -> str:
    held = [node for node in judged if node.code == cause]
    count = f"{len(held)} nodes"
    shown = "(" + ", ".join(node.name for node in held[:SHOWN_NODES]) + (", …)" if len(held) > SHOWN_NODES else ")")
    never = all(any(reason.lasting for reason in node.reasons) for node in held)
    words = {
        "SCHED_NO_LABEL": f"{count} do not carry the label for clients {shown}{_unmatched(judged, spec)}",
        "SCHED_TAINT": f"{count} have a taint that clients do not tolerate {shown}{_untainted(judged, spec)}",
        "SCHED_CORDON": f"{count} are cordoned {shown}",
        "NODE_NOT_READY": f"{count} are not ready {shown}",
        "SCHED_RESOURCES": f"{count} {'are too small, even empty' if never else 'have too little free'} {shown}",
        "SCHED_ANTIAFFINITY_FULL": f"{count} run another fleet's client {shown}",
    }
    return words[cause] if held else f"there are {lacking} nodes too few"


def _unmatched(judged: list[NodeFitness], spec: ClusterSpec) -> str:
    """Return the hint that the setting may be wrong, since no node has that label."""
    if any(node.labelled for node in judged):
        return ""
    values = sorted({node.value for node in judged if node.value is not None})
    known = f"; nodes carry {spec.node_label.key} with {listed(values, SHOWN_NODES)}" if values else ""
    return f": NODE_LABEL={spec.node_label} matches no node at all{known}"


def _untainted(judged: list[NodeFitness], spec: ClusterSpec) -> str:
    nowhere = not any(node.tainted for node in judged)
    return f": NODE_TAINT={spec.node_taint} matches no node at all" if nowhere else ""


def _line(node: NodeFitness) -> str:
    texts = [reason.text for reason in node.reasons] + ([f"booked by {node.booked_by}"] if node.booked_by else [])
    return f"{node.name}: {', '.join(texts)}"


def _remedy(cause: str, judged: list[NodeFitness], spec: ClusterSpec, usable: int, lacking: int) -> str:
    # Those with nothing else against them first: mending the others would not be enough.
    held = [node for node in judged if node.code == cause]
    held.sort(key=lambda node: len(node.reasons) + bool(node.booked_by))
    chosen = " ".join(node.name for node in held[:lacking][:SHOWN_NODES]) or "NODE"
    other = " --overwrite" if any(node.value is not None for node in held[:lacking]) else ""
    ways = {
        "SCHED_NO_LABEL": f"kubectl label node {chosen} {spec.node_label}{other}",
        "SCHED_TAINT": "remove the taint, or name it with NODE_TAINT; see `proverctl nodes`",
        "SCHED_CORDON": f"kubectl uncordon {chosen}",
        "NODE_NOT_READY": f"kubectl describe node {chosen}",
        "SCHED_RESOURCES": "lower CLIENT_CPU, CLIENT_MEMORY or CLIENT_RESOURCES, or add larger nodes",
        "SCHED_ANTIAFFINITY_FULL": f"add {lacking} nodes with the label {spec.node_label}",
    }
    if cause == "SCHED_NO_LABEL" and not any(node.labelled for node in judged):
        ways[cause] += ", or set NODE_LABEL to a label that nodes carry"
    return f"{ways[cause]}; or ask for at most {sizes.counted(usable, 'client')}"
