"""The effect of LimitRanges on a client, as in the API server: defaults for its requests, and refusals."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from domain.kubernetes import Manifest
from planning.capacity.requests import Amounts, PodResources
from planning.kubernetes import objects
from planning.text import quantity

_KINDS = {"Container", "Pod"}  # a client is a pod of one container


def admit(ask: PodResources, ranges: list[Manifest]) -> tuple[PodResources, list[str]]:
    """Return the client's requests with the defaults of all ranges, and a sentence for each rule that refuses it."""
    items = [(objects.name(found), item) for found in ranges for item in objects.spec(found).get("limits") or []]
    requests, limits = dict(ask.requests), dict(ask.limits)
    for _, item in items:
        if item.get("type") == "Container":
            limits = _amounts(item, "default") | limits
            requests = _amounts(item, "defaultRequest") | requests
    full = PodResources(requests, limits)
    refused = [
        f"LimitRange {name}: {sentence}"
        for name, item in items
        if item.get("type") in _KINDS
        for sentence in _refusals(item, full)
    ]
    return full, refused + list(_beyond(full))


def _refusals(item: dict[str, Any], ask: PodResources) -> Iterator[str]:
    per = f"per {item['type']}"
    for resource, least in _amounts(item, "min").items():
        has = [value for value in (ask.requests.get(resource), ask.limits.get(resource)) if value is not None]
        rule = f"minimum {resource} {per} is {quantity.shown(least, resource)}"
        if resource not in ask.requests:
            yield f"{rule}, but none is requested"
        elif min(has) < least:
            yield f"{rule}, but {quantity.shown(min(has), resource)} is asked for"
    for resource, most in _amounts(item, "max").items():
        has = [value for value in (ask.requests.get(resource), ask.limits.get(resource)) if value is not None]
        rule = f"maximum {resource} {per} is {quantity.shown(most, resource)}"
        if resource not in ask.limits:
            yield f"{rule}, but no limit is set"
        elif max(has) > most:
            yield f"{rule}, but {quantity.shown(max(has), resource)} is asked for"
    for resource, most in _amounts(item, "maxLimitRequestRatio").items():
        request, limit = ask.requests.get(resource), ask.limits.get(resource)
        if not request or not limit or limit / request > most:
            yield f"limit to request ratio of {resource} {per} is at most {most:f}"


def _beyond(ask: PodResources) -> Iterator[str]:
    """Return the sentence for a default limit that lies below our own request."""
    for resource, request in ask.requests.items():
        limit = ask.limits.get(resource, request)
        if limit < request:
            asked, most = quantity.shown(request, resource), quantity.shown(limit, resource)
            yield f"the default limit of {resource} is {most}, but {asked} is requested"


def _amounts(item: dict[str, Any], part: str) -> Amounts:
    return {name: Decimal(quantity.amount(str(value))) for name, value in (item.get(part) or {}).items()}
