"""Outcomes and rejections become exit codes, words, and the next command to try."""

import json

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from domain.commands import Kind, Outcome, Verdict
from domain.diagnosis import Diagnosis, Severity
from domain.errors import NotEnoughNodes, PermanentError, SettingsInvalid
from domain.status import Phase, Status
from planning.status import question
from starter.cli import exits
from starter.cli.invocation import Invocation
from starter.views import outcome
from starter.views.outcome import CommandEnd

ASKED = Invocation(values={"CLUSTER_NS": "provers"})
UI = "http://ui/x"


def _outcome(result: Verdict, severity: Severity | None = None) -> Outcome:
    found = Diagnosis(code="NODES", what="2 of 3 nodes", do="add one", severity=severity) if severity else None
    return Outcome(
        command_id="c", kind=Kind.UPGRADE, title="deploy", verdict=result, message="2 of 3 nodes", diagnosis=found
    )


@pytest.mark.parametrize(
    ("result", "severity", "code"),
    [
        (Verdict.DONE, None, exits.DONE),
        (Verdict.UNCHANGED, None, exits.DONE),
        (Verdict.REFUSED, Severity.REFUSED, exits.REFUSED),
        (Verdict.FAILED, Severity.FATAL, exits.FAILED),
        (Verdict.FAILED, Severity.INVALID, exits.INVALID),
        (Verdict.REFUSED, Severity.INVALID, exits.INVALID),
        (Verdict.SUPERSEDED, None, exits.FAILED),
    ],
)
def test_exit_codes_of_outcomes(result: Verdict, severity: Severity | None, code: int) -> None:
    """The codes are those of the contract; a configuration that turns out wrong late is 2 as well."""
    assert outcome.code(_outcome(result, severity)) == code


def test_success_says_what_is_deployed_and_what_to_try_next(capsys: pytest.CaptureFixture[str]) -> None:
    """Data on stdout, words on stderr."""
    outcome.present(
        ASKED, CommandEnd(_outcome(Verdict.DONE), Status(deployment="prover-cluster/x", phase=Phase.SERVING)), UI
    )
    said = capsys.readouterr()
    assert "prover-cluster/x" in said.out
    assert UI in said.out
    assert "deploy: done" in said.err
    assert "Next: proverctl status -n provers" in said.err


def test_a_refusal_shows_the_numbers_and_leaves_stdout_empty(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 3."""
    with pytest.raises(exits.Exit) as caught:
        outcome.present(ASKED, CommandEnd(_outcome(Verdict.REFUSED, Severity.REFUSED), Status()), UI)
    assert caught.value.exit_code == exits.REFUSED
    assert "2 of 3 nodes" in " ".join(caught.value.lines)
    assert capsys.readouterr().out == ""


def test_a_parked_deployment_says_how_to_go_on() -> None:
    """Exit 1, with the diagnosis and the next command."""
    parked = Status(phase=Phase.PARKED)
    with pytest.raises(exits.Exit) as caught:
        outcome.present(ASKED, CommandEnd(_outcome(Verdict.FAILED, Severity.FATAL), parked), UI)
    assert caught.value.exit_code == exits.FAILED
    assert "  proverctl tear-down -n provers" in caught.value.lines


def test_json_is_given_on_failure_too(capsys: pytest.CaptureFixture[str]) -> None:
    """A program reads the reason and the code from stdout."""
    asked = Invocation(values={}, output="json")
    with pytest.raises(exits.Exit):
        outcome.present(asked, CommandEnd(_outcome(Verdict.REFUSED, Severity.REFUSED), Status()), UI)
    value = json.loads(capsys.readouterr().out)
    assert value["exit"] == exits.REFUSED
    assert value["outcome"]["diagnosis"]["code"] == "NODES"


def test_a_question_ends_with_the_lines_to_choose_from(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 1; the diagnosis, what each choice does, the default and the deadline; programs get the question itself."""
    found = Diagnosis(code="SCHED_CORDON", what="1 of 3 clients finds no node", severity=Severity.NEEDS_HUMAN)
    asked = question.question_about("d1#1", "d1", found, "2026-01-01T00:00:00Z", wanted=3, fits=2, back=True)
    waits = CommandEnd(None, Status(phase=Phase.PARKED, question=asked, diagnosis=found))
    with pytest.raises(exits.Exit) as caught:
        outcome.present(ASKED, waits, UI)
    assert caught.value.exit_code == exits.FAILED
    assert capsys.readouterr().out == ""
    assert caught.value.lines == [
        "  SCHED_CORDON: 1 of 3 clients finds no node.",
        "Choose one of:",
        "  proverctl answer retry -n provers     try again, with its time limits reset",
        "  proverctl answer fewer -n provers     go on with 2 clients, which is what fits now",
        "  proverctl answer rollback -n provers  go back to the last good release",
        "  proverctl answer abort -n provers     abort the command and leave things as they are",
        "Unless answered by 2026-01-01T00:00:00Z it is rollback; when the trouble clears by itself it goes on.",
        f"History: {UI}",
    ]
    with pytest.raises(exits.Exit):
        outcome.present(Invocation(values={}, output="json"), waits, UI)
    value = json.loads(capsys.readouterr().out)
    assert (value["exit"], value["outcome"]) == (exits.FAILED, None)
    assert value["status"]["question"]["choices"] == ["retry", "fewer", "rollback", "abort"]
    assert value["status"]["question"]["diagnosis"] == value["status"]["diagnosis"]


@pytest.mark.parametrize(
    ("severity", "code"),
    [(Severity.INVALID, exits.INVALID), (Severity.REFUSED, exits.REFUSED), (Severity.FATAL, exits.FAILED)],
)
def test_a_rejected_update_ends_by_its_severity(severity: Severity, code: int) -> None:
    """The validator's diagnosis travels as the first detail of the failure."""
    found = Diagnosis(code="X", what="no", severity=severity)
    cause = ApplicationError("no", found.model_dump(mode="json"), type="X")
    ended = outcome.rejected(WorkflowUpdateFailedError(cause))
    assert (ended.exit_code, ended.message) == (code, "X: no.")


def test_a_rejection_without_a_diagnosis_is_shown_as_it_is() -> None:
    """An older worker, or Temporal itself, may reject without a diagnosis."""
    ended = outcome.rejected(WorkflowUpdateFailedError(ApplicationError("too many\x1b[31m updates")))
    assert ended.exit_code == exits.FAILED
    assert "too many updates" in ended.message


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsInvalid(["A is wrong."]), exits.INVALID),
        (NotEnoughNodes("2 of 3"), exits.REFUSED),
        (PermanentError("no"), exits.FAILED),
    ],
)
def test_domain_errors_have_their_codes(error: Exception, code: int) -> None:
    """Errors that are raised in the CLI itself have exit codes of their own."""
    ended = exits.translated(error)
    assert isinstance(ended, exits.Exit)
    assert ended.exit_code == code


def test_other_errors_stay_what_they_are() -> None:
    """A fault of the program is not dressed up."""
    fault = ZeroDivisionError()
    assert exits.translated(fault) is fault


def test_several_settings_that_a_worker_found_wrong_are_a_line_each() -> None:
    """Joined problems are separated; a single one, or a finding of another kind, stays whole."""
    joined = SettingsInvalid(["A is not set.", "B=x; y is wrong."]).diagnosis
    assert outcome.sentences(joined) == ["A is not set.", "B=x; y is wrong."]
    assert outcome.sentences(SettingsInvalid(["A is not set."]).diagnosis) == ["SETTINGS: A is not set."]
    other = Diagnosis(code="RBAC", what="no.; no.")
    assert outcome.sentences(other) == [str(other)]
