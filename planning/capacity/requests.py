"""The requests and limits of pods, added up as in the scheduler and the quota controller."""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from domain.kubernetes import Manifest
from domain.spec import ClusterSpec
from planning.kubernetes import objects
from planning.manifests import pod
from planning.text import quantity

Amounts = dict[str, Decimal]  # resource → cores, bytes or pieces


class PodResources(NamedTuple):
    """The requests and limits of one pod in sum."""

    requests: Amounts
    limits: Amounts


def of_client(spec: ClusterSpec) -> PodResources:
    """Return the resources of a client by our settings; a LimitRange may add to them."""
    return _of({"containers": [{"resources": pod.resources(spec)}]})


def of_pod(manifest: Manifest) -> PodResources:
    """Return the resources of a pod: its containers and sidecars, or the most that an init container needs."""
    return _of(objects.spec(manifest))


def _of(spec: Mapping[str, Any]) -> PodResources:
    return PodResources(_total(spec, "requests"), _total(spec, "limits"))


def _total(spec: Mapping[str, Any], part: str) -> Amounts:
    total = _sum(_amounts(container, part) for container in spec.get("containers") or [])
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.get("initContainers") or []:
        own = _amounts(container, part)
        if container.get("restartPolicy") == "Always":  # it starts here and stays
            sidecars = _sum([sidecars, own])
            own = {}
        peak = _most(peak, _sum([sidecars, own]))
    total = _most(_sum([total, sidecars]), peak) | _amounts(spec, part)  # what the pod itself asks for wins
    overhead = {name: quantity.amount(str(value)) for name, value in (spec.get("overhead") or {}).items()}
    return _sum([total, overhead if part == "requests" else {name: overhead.get(name, Decimal(0)) for name in total}])


def _amounts(container: Mapping[str, Any], part: str) -> Amounts:
    resources = container.get("resources") or {}
    found = resources.get(part) or {}
    if part == "requests":  # the API server makes a limit without request a request
        found = (resources.get("limits") or {}) | found
    return {name: quantity.amount(str(value)) for name, value in found.items()}


def _sum(parts: Iterable[Amounts]) -> Amounts:
    total: Amounts = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total.get(name, Decimal(0)) + value
    return total


def _most(one: Amounts, other: Amounts) -> Amounts:
    return {name: max(one.get(name, Decimal(0)), other.get(name, Decimal(0))) for name in one | other}
