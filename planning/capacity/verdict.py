"""The decision whether so many clients can run, before anything is changed: nodes, quotas, and the rollout."""

from typing import NamedTuple

from domain.diagnosis import Diagnosis
from domain.kubernetes import Manifest, Right
from domain.messages.nodes import NodesReport, NodeVerdict
from domain.spec import ClusterSpec
from planning.capacity import limit_range, node, quota, requests, rollout_simulation, shortage
from planning.capacity.node import NodeFitness
from planning.capacity.occupancy import NodeUsage, Occupancy
from planning.capacity.quota import Allowance, Limit
from planning.kubernetes import objects, rbac
from planning.text.listing import listed

MAX_LISTED = 500  # nodes in one report, for it travels through Temporal
MAX_BYTES = 160_000  # of all verdicts of one report, well below the 256 KiB of an answer
_UNREADABLE = "what other namespaces run here"


class ClusterCapacity(NamedTuple):
    """The objects that a decision is made from; None is what may not be read."""

    nodes: list[Manifest]
    occupancy: Occupancy
    quotas: list[Manifest] | None = []
    ranges: list[Manifest] | None = []


def capacity_report(around: ClusterCapacity, spec: ClusterSpec, replicas: int, *, keep: bool = False) -> NodesReport:
    """Judge each node and, when `replicas` clients cannot all run, give a diagnosis with the numbers.

    With `keep` the clients that run stay where they are, as when only their number changes; else all are replaced.
    """
    client, refused = limit_range.admit(requests.of_client(spec), around.ranges or [])
    held = around.occupancy.nodes
    judged = [
        node.node_fitness(found, spec, client.requests, held.get(objects.name(found)) or NodeUsage())
        for found in around.nodes
    ]
    judged.sort(key=lambda found: (not found.labelled, found.name))
    usable = sum(_usable(found, keep=keep) for found in judged)
    running = around.occupancy.running
    staying = len(running) - sum(bool(found.ours) and not found.alive for found in judged) if keep else 0
    allowed = quota.allowance(around.quotas or [], client, running)
    if refused or allowed.missing:
        room: int | None = staying
    else:
        room = _room_beside(allowed, staying) if keep else _room(allowed, spec, replicas, len(running))
    verdicts = _node_verdicts(judged, spec, keep=keep, everywhere=around.occupancy.everywhere)
    possible = usable if room is None else min(usable, room)
    return NodesReport(
        wanted=replicas,
        usable=usable,
        total=len(judged),
        possible=possible,
        nodes=verdicts,
        diagnosis=_diagnosis(judged, allowed, refused, spec, (replicas, usable, possible)),
        warnings=_warnings(around, judged, spec) + _left_out(len(judged) - len(verdicts)),
    )


def _usable(found: NodeFitness, *, keep: bool) -> bool:
    return not found.code or (keep and bool(found.ours) and found.alive)


def _room_beside(allowed: Allowance, staying: int) -> int | None:
    """Return how many clients the quotas admit beside those that stay; None without a quota that counts them."""
    more = [int((limit.hard - limit.taken - staying * limit.before) // limit.each) for limit in allowed.limits]
    return staying + max(0, min(more)) if more else None


def _room(allowed: Allowance, spec: ClusterSpec, replicas: int, old: int) -> int | None:
    """Return the numbers when all clients are replaced: all at once, and during the rollout."""
    if not allowed.limits:
        return None
    room = min(limit.room for limit in allowed.limits)
    if not old or _comes_through(allowed.limits, spec, min(room, replicas), old):
        return room
    reachable = 0
    unreachable = min(room, replicas)
    while reachable + 1 < unreachable:  # fewer are easier
        middle = (reachable + unreachable) // 2
        if _comes_through(allowed.limits, spec, middle, old):
            reachable = middle
        else:
            unreachable = middle
    return reachable


def _comes_through(limits: list[Limit], spec: ClusterSpec, replicas: int, old: int) -> bool:
    return rollout_simulation.finishes(
        limits, replicas=replicas, unavailable=rollout_simulation.unavailable(spec, replicas), old=old
    )


def _diagnosis(
    judged: list[NodeFitness], allowed: Allowance, refused: list[str], spec: ClusterSpec, numbers: tuple[int, int, int]
) -> Diagnosis | None:
    replicas, usable, possible = numbers
    if possible >= replicas:
        return None
    if refused:
        return shortage.of_ranges(refused, spec)
    for name, lacking in allowed.missing.items():
        return shortage.of_demands(name, lacking, spec)
    if possible < usable:
        tightest = min(allowed.limits, key=lambda limit: limit.room)
        return shortage.of_quota(tightest, spec, possible, replicas)
    return shortage.of_nodes(judged, spec, usable, replicas)


def _node_verdicts(judged: list[NodeFitness], spec: ClusterSpec, *, keep: bool, everywhere: bool) -> list[NodeVerdict]:
    """Return the nodes for clients first; when not all fit, those with something against them."""
    telling = sorted(judged, key=lambda found: (not found.labelled, not found.code, found.name))
    told: list[NodeVerdict] = []
    left = MAX_BYTES
    for found in telling[:MAX_LISTED]:
        verdict = _verdict(found, spec, keep=keep, everywhere=everywhere)
        left -= len(verdict.model_dump_json())
        if left < 0:
            break
        told.append(verdict)
    unlabelled = {found.name for found in telling[: len(told)] if not found.labelled}
    return sorted(told, key=lambda verdict: (verdict.name in unlabelled, verdict.name))


def _verdict(found: NodeFitness, spec: ClusterSpec, *, keep: bool, everywhere: bool) -> NodeVerdict:
    usable = _usable(found, keep=keep)
    warnings = []
    if usable and not found.tainted:
        warnings.append(f"taint {spec.node_taint} is missing: other pods may take its room")
    if usable and found.leaving:
        warnings.append(f"{found.leaving} has yet to end")
    if usable and found.code:
        warnings.append("its client stays, and no other would be placed here")
    return NodeVerdict(
        name=found.name,
        usable=usable,
        reasons=[reason.text for reason in found.reasons],
        booked_by=found.booked_by,
        fix=found.fix,
        warnings=warnings,
        unknown=[] if everywhere else [_UNREADABLE],
        ours=found.ours,
    )


def _warnings(around: ClusterCapacity, judged: list[NodeFitness], spec: ClusterSpec) -> list[str]:
    found = []
    if not around.occupancy.everywhere:
        (rule,) = rbac.snippets([Right(verb="list", resource="pods")], in_cluster=True)
        found.append(_unknown("Whether clients and pods of other namespaces hold nodes", rule))
    if around.quotas is None:
        found.append(_unknown("Whether a ResourceQuota admits the clients", rbac.snippet("ResourceQuota", "list")))
    if around.ranges is None:
        found.append(_unknown("Whether a LimitRange admits the clients", rbac.snippet("LimitRange", "list")))
    untainted = sorted(one.name for one in judged if one.labelled and not one.tainted)
    if untainted:
        found.append(
            f"{len(untainted)} nodes carry the label, but not the taint NODE_TAINT={spec.node_taint}, so that other "
            f"pods may take their room ({listed(untainted, shortage.SHOWN_NODES)}). "
            f"Do: kubectl taint node {' '.join(untainted[: shortage.SHOWN_NODES])} {spec.node_taint}:NoSchedule."
        )
    return found


def _unknown(what: str, rule: str) -> str:
    return f"{what} is unknown, for the worker may not list them. `proverctl rbac` prints the right, a {rule}"


def _left_out(number: int) -> list[str]:
    return [f"{number} more nodes are counted but not listed."] if number else []
