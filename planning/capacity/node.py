"""The fitness of one node for a prove-client: the reasons against it, and the kubectl command that removes each."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from domain.kubernetes import Manifest
from domain.spec import ClusterSpec, KeyValue
from planning.capacity.occupancy import NodeUsage
from planning.capacity.requests import Amounts
from planning.kubernetes import objects
from planning.text import quantity

_REPELLING_EFFECTS = {"NoSchedule", "NoExecute"}
_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure", "NetworkUnavailable")
_KUBERNETES = "kubernetes.io/"  # in the key of a taint that is not for us to remove
_OF_THE_NODE = "node.kubernetes.io/"  # taints that follow from a condition or a cordon


class Reason(NamedTuple):
    """A reason why a node cannot take a client: its code, its sentence, and the command that removes it."""

    code: str
    text: str
    fix: str = ""
    lasting: bool = False  # it would be so on an empty node, too


class NodeFitness(NamedTuple):
    """A node with everything that is against it; the first reason is the main one."""

    name: str
    reasons: list[Reason]
    value: str | None  # of the label that nodes for clients carry
    tainted: bool  # with the taint that clients tolerate
    booked_by: str = ""
    ours: str = ""
    leaving: str = ""
    alive: bool = True  # a client that runs here goes on running

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

    @property
    def fix(self) -> str:
        """The line that makes it usable; empty when there is none, or not for everything."""
        fixes = [reason.fix for reason in self.reasons]
        return "" if self.booked_by or not all(fixes) else " && ".join(fixes)


def slim(node: Manifest, key: str) -> Manifest:
    """Return the parts of a node that are judged, `key` being that of the label; a tenth of the whole."""
    labels, status = objects.labels(node), objects.status(node)
    kinds = ("Ready", *_PRESSURES)
    parts = ("type", "status", "reason", "lastTransitionTime")
    conditions = [found for found in status.get("conditions") or [] if found.get("type") in kinds]
    return {
        "metadata": {"name": objects.name(node), "labels": {key: labels[key]} if key in labels else {}},
        "spec": {part: objects.spec(node)[part] for part in ("taints", "unschedulable") if part in objects.spec(node)},
        "status": {
            "conditions": [{part: found.get(part) for part in parts} for found in conditions],
            "allocatable": status.get("allocatable") or {},
        },
    }


def node_fitness(node: Manifest, spec: ClusterSpec, requests: Amounts, held: NodeUsage) -> NodeFitness:
    """Return the node with everything that keeps a client with these requests off it."""
    condition = [*_cordon(node), *_readiness(node)]
    reasons = [*_label(node, spec.node_label), *_taints(node, spec.node_taint, explained=bool(condition)), *condition]
    return NodeFitness(
        name=objects.name(node),
        reasons=[*reasons, *_minimum(node, spec), *_room(node, spec, requests, held)],
        value=objects.labels(node).get(spec.node_label.key),
        tainted=any(_is(taint, spec.node_taint) for taint in repelling_taints(node)),
        booked_by=held.prover,
        ours=held.ours,
        leaving=held.leaving,
        alive=objects.condition(node, "Ready").get("status") == "True"
        and all(taint.get("effect") != "NoExecute" or _is(taint, spec.node_taint) for taint in repelling_taints(node)),
    )


def _label(node: Manifest, wanted: KeyValue) -> list[Reason]:
    value = objects.labels(node).get(wanted.key)
    if value == wanted.value:
        return []
    fix = f"kubectl label node {objects.name(node)} {wanted}"
    if value is None:
        return [Reason("SCHED_NO_LABEL", f"label {wanted} is missing", fix)]
    return [Reason("SCHED_NO_LABEL", f"label {wanted.key} is {value!r}, not {wanted.value!r}", f"{fix} --overwrite")]


def repelling_taints(node: Manifest) -> list[dict[str, Any]]:
    """Return the taints that keep a pod off the node unless it tolerates them."""
    return [taint for taint in objects.spec(node).get("taints") or [] if taint.get("effect") in _REPELLING_EFFECTS]


def shown_taint(taint: dict[str, Any]) -> str:
    """Return the taint as kubectl writes it: `key=value:Effect`, without an empty value `key:Effect`."""
    value = str(taint.get("value") or "")
    return f"{taint.get('key')}" + (f"={value}" if value else "") + f":{taint.get('effect')}"


def allocatable(node: Manifest, resource: str) -> Decimal | None:
    """Return how much of a resource the node has for pods; None when it does not say."""
    has = (objects.status(node).get("allocatable") or {}).get(resource)
    return None if has is None else quantity.amount(str(has))


def cordoned(node: Manifest) -> bool:
    """Return whether the node was cordoned."""
    return bool(objects.spec(node).get("unschedulable"))


def _is(taint: dict[str, Any], tolerated: KeyValue) -> bool:
    return (taint.get("key"), taint.get("value") or "") == (tolerated.key, tolerated.value)


def _taints(node: Manifest, tolerated: KeyValue, *, explained: bool) -> Iterator[Reason]:
    """Yield the taints that are not tolerated, without those that follow from another reason."""
    for taint in repelling_taints(node):
        key, effect = (str(taint.get(part) or "") for part in ("key", "effect"))
        if _is(taint, tolerated) or (explained and key.startswith(_OF_THE_NODE)):
            continue
        fix = "" if _KUBERNETES in key else f"kubectl taint node {objects.name(node)} {key}:{effect}-"
        yield Reason("SCHED_TAINT", f"taint {shown_taint(taint)} is not tolerated", fix)


def _cordon(node: Manifest) -> list[Reason]:
    fix = f"kubectl uncordon {objects.name(node)}"
    return [Reason("SCHED_CORDON", "cordoned", fix)] if cordoned(node) else []


def _readiness(node: Manifest) -> list[Reason]:
    found = []
    condition = objects.condition(node, "Ready")
    if condition.get("status") != "True":
        since = condition.get("lastTransitionTime")
        text = "not ready" + (f" since {since}" if since else "")
        if condition.get("reason"):
            text += f" ({condition['reason']})"
        found.append(Reason("NODE_NOT_READY", text))
    for kind in _PRESSURES:
        if objects.condition(node, kind).get("status") == "True":
            since = objects.condition(node, kind).get("lastTransitionTime")
            found.append(Reason("NODE_NOT_READY", kind + (f" since {since}" if since else "")))
    return found


def _minimum(node: Manifest, spec: ClusterSpec) -> Iterator[Reason]:
    for resource, setting, least in (
        ("cpu", "NODE_MIN_CPU", spec.node_min_cpu),
        ("memory", "NODE_MIN_MEMORY", spec.node_min_memory),
    ):
        has = allocatable(node, resource)
        if least and has is not None and has < quantity.amount(least):
            text = f"has {quantity.shown(has, resource)} {resource}, less than {setting}={least}"
            yield Reason("SCHED_RESOURCES", text, lasting=True)


def _room(node: Manifest, spec: ClusterSpec, requests: Amounts, held: NodeUsage) -> Iterator[Reason]:
    for resource, asked in requests.items():
        has = allocatable(node, resource)
        if has is None and "/" not in resource:  # a node that has just come does not say yet
            continue
        has = has or Decimal(0)
        free = has - held.requests.get(resource, Decimal(0))
        if asked > has:
            text = f"has {quantity.shown(has, resource)} {resource}, less than {_setting(resource, asked, spec)}"
            yield Reason("SCHED_RESOURCES", text, lasting=True)
        elif asked > free:
            _, by = held.largest[resource]
            text = (
                f"{quantity.shown(max(free, Decimal(0)), resource)} of {quantity.shown(has, resource)} {resource} are "
                f"free, less than {_setting(resource, asked, spec)}: {by} holds most of the rest"
            )
            yield Reason("SCHED_RESOURCES", text)
    most = allocatable(node, "pods")
    if most is not None and held.pods >= most:
        yield Reason("SCHED_RESOURCES", f"runs {held.pods} pods and may run {most:f}", lasting=most == 0)


def _setting(resource: str, asked: Decimal, spec: ClusterSpec) -> str:
    own = {"cpu": ("CLIENT_CPU", spec.client_cpu), "memory": ("CLIENT_MEMORY", spec.client_memory)}
    setting, value = own.get(resource, ("", ""))
    if value:
        return f"{setting}={value}"
    if resource in spec.client_resources:
        return f"CLIENT_RESOURCES={resource}={spec.client_resources[resource]}"
    return f"the {quantity.shown(asked, resource)} that a LimitRange sets"
