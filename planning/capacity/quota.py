"""The ResourceQuotas of a namespace: which of them count a client, and how many clients they admit."""

from decimal import Decimal
from typing import Any, NamedTuple

from domain.kubernetes import Manifest
from planning.capacity.requests import Amounts, PodResources
from planning.kubernetes import objects
from planning.text import quantity

_DEMANDED = {"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"}


class Limit(NamedTuple):
    """A resource of a quota, as far as clients use it."""

    quota: str
    resource: str
    hard: Decimal
    taken: Decimal  # by everybody but our clients
    each: Decimal  # that one client takes
    before: Decimal  # that one of the running clients takes

    @property
    def room(self) -> int:
        """Clients that fit when none runs."""
        return max(0, int((self.hard - self.taken) // self.each))

    def admits(self, old: int, new: int) -> bool:
        """Return whether so many clients of the old and of the new release may exist at once."""
        return self.taken + old * self.before + new * self.each <= self.hard


class Allowance(NamedTuple):
    """The limits of all quotas of the namespace."""

    limits: list[Limit]
    missing: dict[str, list[str]]  # quota → resources that it demands of every pod and a client does not name


def allowance(quotas: list[Manifest], client: PodResources, running: list[PodResources]) -> Allowance:
    """Return what the quotas leave; `running` are our clients, whose use counts as free."""
    limits, missing = [], {}
    for found in quotas:
        if not _covers(found, client):
            continue
        each = _usage(client)
        ours = [_usage(ask) for ask in running if _covers(found, ask)]
        hard = _amounts(objects.spec(found).get("hard") or {})
        used = _amounts(objects.status(found).get("used") or {})
        lacking = sorted(resource for resource in hard.keys() & _DEMANDED if resource not in each)
        if lacking:
            missing[objects.name(found)] = lacking
        for resource in hard:
            own = [usage.get(resource, Decimal(0)) for usage in ours]
            if each.get(resource):
                taken = max(Decimal(0), used.get(resource, Decimal(0)) - sum(own))
                before = max(own, default=Decimal(0))
                limits.append(Limit(objects.name(found), resource, hard[resource], taken, each[resource], before))
    return Allowance(limits, missing)


def _usage(ask: PodResources) -> Amounts:
    """Return what a pod counts for, by the names that a quota may use."""
    found = {"pods": Decimal(1), "count/pods": Decimal(1)}
    for resource, value in ask.requests.items():
        found |= {resource: value, f"requests.{resource}": value}
    return found | {f"limits.{resource}": value for resource, value in ask.limits.items()}


def _covers(quota: Manifest, ask: PodResources) -> bool:
    spec = objects.spec(quota)
    scopes = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or []]
    scopes += (spec.get("scopeSelector") or {}).get("matchExpressions") or []
    return all(_in_scope(scope, ask) for scope in scopes)


def _in_scope(scope: dict[str, Any], ask: PodResources) -> bool:
    best_effort = not any((ask.requests | ask.limits).get(resource) for resource in ("cpu", "memory"))
    return {
        "NotTerminating": True,  # clients have no deadline
        "BestEffort": best_effort,
        "NotBestEffort": not best_effort,
        "CrossNamespacePodAffinity": True,  # one client a node, over all namespaces
        "PriorityClass": scope.get("operator") in ("NotIn", "DoesNotExist"),  # clients have none
    }.get(str(scope.get("scopeName")), False)


def _amounts(found: dict[str, Any]) -> Amounts:
    return {resource: quantity.amount(str(value)) for resource, value in found.items()}
