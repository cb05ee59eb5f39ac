"""The choices of a question, its default, and its text."""

import pytest

from domain.diagnosis import Choice, Diagnosis
from planning.status import question

LACKING = Diagnosis(code="SCHED_CORDON", what="1 of 3 clients finds no node")
RETRY, FEWER, ROLLBACK, ABORT = Choice.RETRY, Choice.FEWER, Choice.ROLLBACK, Choice.ABORT


@pytest.mark.parametrize(
    ("code", "fits", "back", "choices", "default"),
    [
        ("SCHED_CORDON", 2, False, [RETRY, FEWER, ABORT], ABORT),
        ("SCHED_CORDON", 2, True, [RETRY, FEWER, ROLLBACK, ABORT], ROLLBACK),
        ("NODE_NOT_READY", 1, False, [RETRY, FEWER, ABORT], ABORT),
        ("QUOTA", 1, False, [RETRY, FEWER, ABORT], ABORT),
        ("SCHED_CORDON", 0, False, [RETRY, ABORT], ABORT),  # no client at all is not fewer
        ("SCHED_CORDON", 3, False, [RETRY, ABORT], ABORT),  # all fit by now
        ("NOT_REGISTERED", 2, True, [RETRY, ROLLBACK, ABORT], ROLLBACK),  # fewer would not poll either
    ],
)
def test_only_what_can_help_is_offered(
    code: str, fits: int, back: bool, choices: list[Choice], default: Choice
) -> None:
    """Retry and abort always; the default keeps a release serving where one does."""
    found = LACKING.model_copy(update={"code": code})
    asked = question.question_about("d1#1", "d1", found, "2026-01-01T00:00:00Z", wanted=3, fits=fits, back=back)
    assert (asked.choices, asked.default, asked.diagnosis) == (choices, default, found)


def test_every_choice_has_its_line_and_its_meaning() -> None:
    """Each line is as typed, and each meaning has the number of clients."""
    asked = question.question_about("d1#1", "d1", LACKING, "2026-01-01T00:00:00Z", wanted=3, fits=1, back=True)
    assert question.command(FEWER, "provers", "default") == "proverctl answer fewer -n provers"
    assert question.command(ABORT, "provers", "east") == "proverctl answer abort -n provers --cluster east"
    assert question.meaning(asked, FEWER) == "go on with 1 client, which is what fits now"
    assert all(question.meaning(asked, choice) for choice in asked.choices)
    assert question.short(asked) == "retry, fewer, rollback or abort? By 2026-01-01T00:00:00Z, else rollback"
