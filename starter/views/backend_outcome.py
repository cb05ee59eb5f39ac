"""Present the end of a change of a backend: the steps, what failed and why, the next command, and the exit code."""

from collections.abc import Mapping

from domain.messages.backend import BackendReport
from domain.profile import StepState
from starter.cli import exits, terminal
from starter.cli.invocation import Invocation
from starter.views import backend, deployment, outcome

NO_NEXT: Mapping[str, str] = {}


def present(
    asked: Invocation, report: BackendReport, ui: str, title: str, done: str, following: Mapping[str, str] = NO_NEXT
) -> None:
    """Write the data to stdout and the outcome to stderr; raise Exit unless `title` succeeded, as `done` describes.

    `following` holds command lines that may come next, by what they are for.
    """
    code = _code(report)
    value = report.model_dump(mode="json") | {"ui": ui, "exit": code}
    if asked.output != "text" or report.steps or report.purged:
        terminal.data(value, asked.output, "\n".join([*_steps(report), *(f"deleted  {one}" for one in report.purged)]))
    terminal.warn(report.warnings)
    if code != exits.DONE:
        raise _failed(asked, report, ui, title, code)
    outcome.succeeded(f"backend {report.profile}: {title}", "done", done)
    for purpose, line in following.items():
        terminal.note(f"{purpose}: {line}")


def _steps(report: BackendReport) -> list[str]:
    return [backend.table(report.steps)] if report.steps else []


def _code(report: BackendReport) -> int:
    if report.ok:
        return exits.DONE
    return outcome.severity_code(report.diagnosis) if report.diagnosis else exits.FAILED


def _failed(asked: Invocation, report: BackendReport, ui: str, title: str, code: int) -> exits.Exit:
    word = {exits.INVALID: "invalid", exits.REFUSED: "refused"}.get(code, "failed")
    lines = [f"  {terminal.clean(line)}" for line in _why(report)]
    step = next((row.name for row in report.steps if row.state is StepState.FAILED), "")
    if step:
        lines += [f"Its log, whole: {asked.again_backend('logs', step)}"]
    if code == exits.FAILED:
        lines += [f"Fix the cause, then continue where it stopped: {asked.again_backend(*title.split())}"]
    return outcome.failed(code, f"backend {report.profile}: {title}", word, lines, ui)


def _why(report: BackendReport) -> list[str]:
    """Return what failed, then why, then what to do."""
    if report.diagnosis is None:
        return ["no reason given"]
    several = outcome.sentences(report.diagnosis)
    if len(several) > 1:
        return several
    return [
        text if name == "diagnosis" else f"{name.strip()}: {text}"
        for name, text in deployment.finding(report.diagnosis)
    ]
