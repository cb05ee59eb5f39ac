"""Payloads of signals as people type them, and as programs get them wrong."""

from typing import Any

import pytest

from domain.commands import ResetEndpoint, Scale
from domain.diagnosis import Diagnosis
from workflows.messages import decode


@pytest.mark.parametrize("raw", [3, "3", {"replicas": 3}, {"replicas": 3, "new": True}])
def test_a_number_is_enough(raw: Any) -> None:
    """A bare value stands for the one field that matters."""
    assert Scale(replicas=3) == decode(raw, Scale, "replicas")


def test_a_bare_address_is_an_ip() -> None:
    """As typed into the Temporal UI."""
    assert ResetEndpoint(ip="10.0.0.1") == decode("10.0.0.1", ResetEndpoint, "ip")


@pytest.mark.parametrize("raw", [None, "x", -1, 10**9, [], {}, {"replicas": None}, 1.5, {"replicas": "two"}])
def test_nonsense_is_named(raw: Any) -> None:
    """Which field, and what is wrong with it, without the value itself."""
    found = decode(raw, Scale, "replicas")
    assert isinstance(found, Diagnosis)
    assert "replicas" in found.what
