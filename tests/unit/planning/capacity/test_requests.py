"""What a pod asks for is added up as Kubernetes does it."""

from decimal import Decimal
from typing import Any

import pytest

from planning.capacity import requests
from planning.text import quantity


def container(cpu: str, **more: Any) -> dict[str, Any]:
    """One that requests so much."""
    return {"resources": {"requests": {"cpu": cpu}}} | more


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        ({"containers": [container("1"), container("500m")]}, "1.5"),
        ({"containers": [container("1")], "initContainers": [container("3")]}, "3"),
        ({"containers": [container("1")], "initContainers": [container("2", restartPolicy="Always")]}, "3"),
        (
            {
                "containers": [container("1")],
                "initContainers": [container("2", restartPolicy="Always"), container("3")],
            },
            "5",
        ),
        ({"containers": [container("1")], "overhead": {"cpu": "250m"}}, "1.25"),
        ({"containers": [container("1")], "resources": {"requests": {"cpu": "4"}}}, "4"),
        ({"containers": [{"resources": {"limits": {"cpu": "2"}}}]}, "2"),
    ],
)
def test_requests_of_a_pod(spec: dict[str, Any], cpu: str) -> None:
    """Containers and sidecars together, init containers one by one, overhead on top, the pod's own word first."""
    assert requests.of_pod({"spec": spec}).requests == {"cpu": Decimal(cpu)}


def test_limits_are_added_up_apart() -> None:
    """A request is no limit."""
    limited = {"resources": {"limits": {"memory": "1Gi"}, "requests": {"cpu": "1"}}}
    found = requests.of_pod({"spec": {"containers": [limited, limited], "overhead": {"cpu": "1"}}})
    memory = Decimal(2 * 1024**3)
    assert found == requests.PodResources({"cpu": Decimal(3), "memory": memory}, {"memory": memory})


@pytest.mark.parametrize(
    ("value", "resource", "text"),
    [
        ("2500m", "cpu", "2.5"),
        ("8", "cpu", "8"),
        ("17179869184", "memory", "16Gi"),
        ("16777212Ki", "memory", "15.9Gi"),
        ("1Gi", "requests.memory", "1Gi"),
        ("500", "memory", "500"),
        ("3", "nvidia.com/gpu", "3"),
    ],
)
def test_numbers_are_shown_as_people_write_them(value: str, resource: str, text: str) -> None:
    """Never more than there is."""
    assert quantity.shown(quantity.amount(value), resource) == text
