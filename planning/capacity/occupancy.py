"""The use of the nodes, added up pod by pod: a large cluster has too many pods to keep."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from domain import names
from domain.kubernetes import Manifest
from planning.capacity.requests import Amounts, PodResources, of_pod
from planning.kubernetes import objects


@dataclass(slots=True)
class NodeUsage:
    """The use of one node without our own clients, which go before new ones come."""

    pods: int = 0
    requests: Amounts = field(default_factory=dict)
    largest: dict[str, tuple[Decimal, str]] = field(default_factory=dict)  # resource → what, by `namespace/pod`
    prover: str = ""  # `namespace/pod` of another fleet's client
    ours: str = ""  # our client
    leaving: str = ""  # `namespace/pod` that is being deleted and holds something until it has ended


class Occupancy:
    """The pods of a cluster by node; `everywhere` is False when those of other namespaces could not be read."""

    def __init__(self, namespace: str, selector: Mapping[str, str], *, everywhere: bool = True) -> None:
        """Count the pods with the labels of `selector` in `namespace` as our clients."""
        self.everywhere = everywhere
        self.nodes: dict[str, NodeUsage] = {}
        self.running: list[PodResources] = []  # what each of our clients asks for, those without a node too
        self.seen = 0
        self._namespace = namespace
        self._selector = selector

    @classmethod
    def of(cls, pods: Iterable[Manifest], namespace: str, selector: Mapping[str, str]) -> "Occupancy":
        """Return the occupancy by these pods."""
        made = cls(namespace, selector)
        for pod in pods:
            made.take(pod)
        return made

    def take(self, pod: Manifest) -> None:
        """Add one pod, and keep none of it."""
        self.seen += 1
        if objects.finished(pod):
            return
        labels, namespace = objects.labels(pod), str(pod["metadata"].get("namespace") or "")
        node = str(objects.spec(pod).get("nodeName") or "")
        held = self.nodes.setdefault(node, NodeUsage()) if node else NodeUsage()
        full_name = f"{namespace}/{objects.name(pod)}"
        if namespace == self._namespace and self._selector.items() <= labels.items():
            self.running.append(of_pod(pod))
            held.ours = held.ours if objects.terminating(pod) else objects.name(pod)
        elif objects.terminating(pod):
            held.leaving = full_name
        elif (objects.spec(pod).get("priority") or 0) >= 0:  # the scheduler makes room for us by evicting lesser ones
            _add(held, of_pod(pod), full_name)
            if labels.get(names.ROLE_LABEL) == names.ROLE_VALUE:
                held.prover = full_name


def _add(held: NodeUsage, ask: PodResources, full_name: str) -> None:
    held.pods += 1
    for resource, value in ask.requests.items():
        held.requests[resource] = held.requests.get(resource, Decimal(0)) + value
        held.largest[resource] = max(held.largest.get(resource, (Decimal(0), "")), (value, full_name))
