"""Payloads of signals as people type them, and as programs get them wrong; and answers that nothing asked for."""

from datetime import UTC, datetime
from typing import Any

import pytest

from domain.commands import Answer, ResetEndpoint, Scale
from domain.diagnosis import Choice, Diagnosis
from domain.spec import ClusterSpec, Endpoint, ImageTarget
from domain.state import MAX_ANSWERS, ClusterInput
from planning.status import question
from workflows.deployment import validation
from workflows.deployment.state import Deployment
from workflows.deployment.validation import decode

LACKING = Diagnosis(code="SCHED_CORDON", what="1 of 3 clients finds no node")


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


def test_an_answer_needs_its_question() -> None:
    """None open, another one open, a choice that is not offered: each is said, with what would do."""
    deployment = _deployment()
    asked = validation.judge_answer(deployment, "a1", Answer(choice=Choice.RETRY))
    assert (asked and asked.code) == "NO_QUESTION"
    deployment.ask(question.question_about("d1#2", "d1", LACKING, "2026-01-01T00:00:00Z", wanted=3, fits=0, back=False))
    found = validation.judge_answer(deployment, "a1", Answer(choice=Choice.ROLLBACK))
    assert (found and found.do) == "answer retry or abort"
    found = validation.judge_answer(deployment, "a1", Answer(choice=Choice.RETRY, question="d1#1"))
    assert found is not None
    assert "d1#2 is" in found.what


def test_an_answer_that_was_taken_is_taken_again() -> None:
    """By its update's id, in later runs, too; only the last ones are remembered."""
    deployment = _deployment()
    for number in range(MAX_ANSWERS + 1):
        deployment.ask(question.question_about(f"d1#{number}", "d1", LACKING, "", wanted=3, fits=0, back=False))
        assert deployment.answer(f"a{number}", Answer(choice=Choice.RETRY)) == "d1"
    assert deployment.answer("a1", Answer(choice=Choice.ABORT)) == "d1"
    assert deployment.reply == Answer(choice=Choice.RETRY)
    assert validation.judge_answer(deployment, "a1", Answer(choice=Choice.RETRY)) is None
    assert list(deployment.state().answers) == [f"a{number}" for number in range(1, MAX_ANSWERS + 1)]


def _deployment() -> Deployment:
    spec = ClusterSpec(coordinator=Endpoint(ip="10.0.0.9"), image=ImageTarget(repository="p"))
    return Deployment(ClusterInput(spec=spec), lambda: datetime(2026, 1, 1, tzinfo=UTC), lambda: None)
