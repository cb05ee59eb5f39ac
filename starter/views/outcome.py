"""Present the end of a command: an outcome or rejection as text, the next command to try, and the exit code."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ActivityError, ApplicationError

from domain.commands import Kind, Outcome, Verdict
from domain.diagnosis import Diagnosis, Severity
from domain.status import Phase, Question, Status
from planning.status.question import meaning, unless_answered
from starter.cli import exits, terminal
from starter.cli.invocation import Invocation
from starter.views import deployment

JOINT = ".; "  # between sentences
CODES = {
    Verdict.DONE: exits.DONE,
    Verdict.UNCHANGED: exits.DONE,
    Verdict.REFUSED: exits.REFUSED,
    Verdict.FAILED: exits.FAILED,
    Verdict.SUPERSEDED: exits.FAILED,
}


class CommandEnd(NamedTuple):
    """The end of following a command; `status` is None when no worker answered any more.

    Without an outcome the command waits for a person: `status` has the question.
    """

    outcome: Outcome | None
    status: Status | None


def code(outcome: Outcome) -> int:
    """Return the exit code of an outcome; a wrong configuration is exit 2, however far the command came."""
    if outcome.diagnosis and outcome.diagnosis.severity is Severity.INVALID:
        return exits.INVALID
    return CODES[outcome.verdict]


def present(invocation: Invocation, ended: CommandEnd, ui: str, also: Sequence[str] = ()) -> None:
    """Write the data to stdout and the outcome to stderr; raise Exit unless it was done.

    `also` are command lines that tell more of a failure.
    """
    outcome, status = ended
    value: dict[str, Any] = {
        "outcome": outcome.model_dump(mode="json") if outcome else None,
        "status": status.model_dump(mode="json") if status else None,
        "ui": ui,
        "exit": code(outcome) if outcome else exits.FAILED,
    }
    if outcome is None:
        if invocation.output != "text":
            terminal.data(value, invocation.output, "")
        raise _asks(invocation, status.question if status else None, ui)
    gone = status is None or outcome.kind is Kind.TEAR_DOWN
    text = f"UI  {ui}" if gone or status is None else deployment.page(status, ui)
    if invocation.output != "text" or code(outcome) == exits.DONE:
        terminal.data(value, invocation.output, text)
    if code(outcome) != exits.DONE:
        raise _failed(invocation, outcome, status, ui, also)
    succeeded(outcome.title, outcome.verdict, outcome.message)
    terminal.note(f"Next: {invocation.again(*_next(outcome))}")


def _next(outcome: Outcome) -> list[str]:
    return {
        Kind.UPGRADE: ["status"],
        Kind.SCALE: ["status"],
        Kind.RESET_ENDPOINT: ["status"],
        Kind.TEAR_DOWN: ["deploy"],
    }[outcome.kind]


def _asks(invocation: Invocation, question: Question | None, ui: str) -> exits.Exit:
    """Return the Exit for a command that waits for an answer: what is wrong, and the lines to choose from."""
    if question is None:
        return exits.Exit(exits.FAILED, "the command waits for a person", [f"History: {ui}"])
    rows = [(invocation.again("answer", one.value), meaning(question, one)) for one in question.choices]
    lines = [
        f"  {terminal.clean(str(question.diagnosis))}",
        "Choose one of:",
        *terminal.table(rows, indent="  ").splitlines(),
        unless_answered(question),
        f"History: {ui}",
    ]
    return exits.Exit(
        exits.FAILED, f"it is {terminal.coloured('parked', 'red')} and waits for a person to choose", lines
    )


def _failed(
    invocation: Invocation, outcome: Outcome, status: Status | None, ui: str, also: Sequence[str]
) -> exits.Exit:
    verdict = "invalid" if code(outcome) == exits.INVALID else outcome.verdict
    lines = [f"  {terminal.clean(why)}" for why in _why(outcome)]
    if status and status.phase is Phase.PARKED:
        lines.append("It is parked and waits for a person: fix the cause and deploy again, or tear it down:")
        lines.append("  " + invocation.again("tear-down"))
    elif code(outcome) == exits.FAILED:
        lines.append("Look closer with:")
        lines.append("  " + invocation.again("status"))
    if also and code(outcome) == exits.FAILED:
        lines += ["More about the backend:", *(f"  {line}" for line in also)]
    return failed(code(outcome), outcome.title, verdict, lines, ui)


def succeeded(title: str, verdict: str, message: str) -> None:
    """Write to stderr that a command was done."""
    terminal.note(f" ({message})" if message else "", head=f"{title}: {terminal.coloured(verdict, 'green')}")


def failed(exit_code: int, title: str, verdict: str, lines: Sequence[str], ui: str) -> exits.Exit:
    """Return the Exit of a command that was not done, with `lines` and its page in Temporal's UI."""
    return exits.Exit(exit_code, f"{title}: {terminal.coloured(verdict, 'red')}", [*lines, f"History: {ui}"])


def _why(outcome: Outcome) -> list[str]:
    several = sentences(outcome.diagnosis) if outcome.diagnosis else []
    return several if len(several) > 1 else [outcome.message or "".join(several) or "no reason given"]


def rejected(error: WorkflowUpdateFailedError) -> exits.Exit:
    """Return the Exit for an update that the workflow rejected, which is not in its history."""
    cause = error.cause
    diagnosis = _carried(cause) if isinstance(cause, ApplicationError) else None
    if diagnosis is None:
        return exits.Exit(exits.FAILED, f"the workflow did not accept this: {terminal.clean(str(cause or error))}")
    return _said_no(diagnosis)


def failed_workflow(error: WorkflowFailureError) -> exits.Exit:
    """Return the Exit for a workflow that failed, by an activity or by itself."""
    cause = error.cause.cause if isinstance(error.cause, ActivityError) else error.cause
    diagnosis = _carried(cause) if isinstance(cause, ApplicationError) else None
    if diagnosis is None:
        return exits.Exit(exits.FAILED, terminal.clean(str(cause or error)))
    return _said_no(diagnosis)


def _said_no(diagnosis: Diagnosis) -> exits.Exit:
    said = [terminal.clean(one) for one in sentences(diagnosis)]
    if len(said) == 1:
        return exits.Exit(severity_code(diagnosis), said[0])
    return exits.Exit(
        severity_code(diagnosis), f"{len(said)} settings are wrong; nothing was changed:", [f"  {one}" for one in said]
    )


def severity_code(diagnosis: Diagnosis) -> int:
    """Return the exit code for the severity of a diagnosis."""
    wrong = {Severity.INVALID: exits.INVALID, Severity.REFUSED: exits.REFUSED}
    return wrong.get(diagnosis.severity, exits.FAILED)


def sentences(diagnosis: Diagnosis) -> list[str]:
    """Return the diagnosis as sentences: one for each problem where SettingsInvalid has joined several."""
    several = diagnosis.what.split(JOINT)
    if diagnosis.severity is not Severity.INVALID or len(several) == 1:
        return [str(diagnosis)]
    return [one.removesuffix(".") + "." for one in several]


def _carried(cause: ApplicationError) -> Diagnosis | None:
    try:
        return Diagnosis.model_validate(cause.details[0]) if cause.details else None
    except ValueError:
        return None
