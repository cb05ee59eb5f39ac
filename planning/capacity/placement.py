"""The comparison of one pod with one node, as in the scheduler: was the node meant for it, and what is in the way."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from domain import names
from domain.kubernetes import Manifest, Snapshot
from planning.capacity import requests
from planning.capacity.node import allocatable, cordoned, repelling_taints, shown_taint
from planning.kubernetes import objects

CORDON = "node.kubernetes.io/unschedulable"
_NODE_PREFIXES = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
_NODE_STATES = (
    "not-ready",
    "unreachable",
    "pressure",
    "network-unavailable",
    "out-of-service",
    "uninitialized",
    "shutdown",
)


class Obstacle(NamedTuple):
    """The obstacle that keeps a pod off a node; an empty code is none."""

    code: str
    detail: str = ""


class CandidateNodes(NamedTuple):
    """The nodes that carry the clients' label, and who is on them."""

    labelled: list[Manifest]
    held: dict[str, list[Manifest]]  # node → pods that have not ended
    whole: bool  # whether the pods of all namespaces are known


def candidate_nodes(pod: Manifest, snapshot: Snapshot) -> CandidateNodes | None:
    """Return the nodes with the label that the pod asks for; None when nodes were not read."""
    if snapshot.nodes is None:
        return None
    key, value = wanted_label(pod)
    labelled = [node for node in snapshot.nodes if objects.labels(node).get(key) == value]
    held: dict[str, list[Manifest]] = {}
    known = {objects.uid(found): found for found in [*(snapshot.neighbours or []), *snapshot.pods]}
    for found in known.values():
        if objects.node_name(found) and not objects.finished(found):
            held.setdefault(objects.node_name(found), []).append(found)
    return CandidateNodes(labelled, held, snapshot.neighbours is not None)


def obstacle(pod: Manifest, node: Manifest, there: list[Manifest]) -> Obstacle:
    """Return the first thing that keeps the pod off a labelled node, in the scheduler's order, or an empty code."""
    if cordoned(node):
        return Obstacle("SCHED_CORDON", _since(node, CORDON))
    ready = objects.condition(node, "Ready")
    if ready.get("status") not in ("True", None):
        return Obstacle("NODE_NOT_READY", f"since {ready.get('lastTransitionTime')} ({ready.get('reason')})")
    for taint in repelling_taints(node):
        if not _tolerated(pod, taint):
            return Obstacle(taint_code(str(taint.get("key") or "")), shown_taint(taint))
    lacking = [one for one, asked in requests.of_pod(pod).requests.items() if free(node, one, there) < asked]
    if lacking:
        return Obstacle("SCHED_RESOURCES", ", ".join(lacking))
    booked = next((found for found in there if is_prover(found)), None)
    if booked is not None and keeps_apart(pod):
        return Obstacle("SCHED_ANTIAFFINITY_FULL", booking(booked))
    return Obstacle("")


def taint_code(key: str) -> str:
    """Return the cause of a taint: a state of the node, a cordon, or somebody who set it on purpose."""
    if key == CORDON:
        return "SCHED_CORDON"
    if key.startswith(_NODE_PREFIXES) and key.endswith(_NODE_STATES):
        return "NODE_NOT_READY"
    return "SCHED_TAINT"


def wanted_label(pod: Manifest) -> tuple[str, str]:
    """Return the node label that the pod asks for."""
    affinity = (objects.spec(pod).get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or []:
        for expression in term.get("matchExpressions") or []:
            return str(expression.get("key")), str((expression.get("values") or [""])[0])
    return "", ""


def free(node: Manifest, resource: str, there: Iterable[Manifest]) -> Decimal:
    """Return how much of a node's resource the pods there leave."""
    return (allocatable(node, resource) or Decimal(0)) - sum(
        (requests.of_pod(pod).requests.get(resource, Decimal(0)) for pod in there), Decimal(0)
    )


def is_prover(pod: Manifest) -> bool:
    """Return whether the pod is a prove-client of any deployment."""
    return objects.labels(pod).get(names.ROLE_LABEL) == names.ROLE_VALUE


def keeps_apart(pod: Manifest) -> bool:
    """Return whether the pod refuses to share a node with another client."""
    affinity = (objects.spec(pod).get("affinity") or {}).get("podAntiAffinity") or {}
    return bool(affinity.get("requiredDuringSchedulingIgnoredDuringExecution"))


def booking(pod: Manifest) -> str:
    """Return the client as `namespace/pod (stage s)`."""
    stage = objects.labels(pod).get("stage", "")
    return f"{objects.namespace(pod)}/{objects.name(pod)}" + (f" (stage {stage})" if stage else "")


def _tolerated(pod: Manifest, taint: dict[str, Any]) -> bool:
    return any(_tolerates(found, taint) for found in objects.spec(pod).get("tolerations") or [])


def _tolerates(toleration: dict[str, Any], taint: dict[str, Any]) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("operator") == "Exists":
        return not toleration.get("key") or toleration["key"] == taint.get("key")
    same_key = toleration.get("key") == taint.get("key")
    return same_key and str(toleration.get("value") or "") == str(taint.get("value") or "")


def _since(node: Manifest, key: str) -> str:
    taints = objects.spec(node).get("taints") or []
    added = next((str(taint["timeAdded"]) for taint in taints if taint.get("key") == key and "timeAdded" in taint), "")
    return f"since {added}" if added else ""
