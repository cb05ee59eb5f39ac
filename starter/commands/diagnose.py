"""`diagnose`: everything that is wrong with what is deployed, or that nothing is; changes nothing."""
# ruff: noqa: PLC0415 - `--help` and completion must not load pydantic and temporalio

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from starter.cli import exits, options
from starter.commands.deploy import PROFILE

if TYPE_CHECKING:
    from domain.diagnosis import Diagnosis
    from domain.messages.inspection import DiagnoseReport
    from domain.spec import ClusterSpec
    from domain.status import Status
    from starter.cli.invocation import Invocation


@options.command("diagnose", "proverctl diagnose -n provers", "proverctl diagnose -n provers --bundle why.json.gz")
@click.option(
    "--bundle", metavar="FILE", help="Also write the evidence (events, states, logs) to FILE: redacted, gzipped JSON."
)
@options.direct
@options.settings("nodes")
@options.everywhere
def diagnose_command(bundle: str | None, direct: bool, **params: Any) -> None:
    """Show everything that is wrong with the clients, or that nothing is.

    Each finding has its evidence, its cause, and what to do. Exit 0 when nothing is wrong, 1 when something is.
    """
    from planning.settings.spec import bare_spec
    from starter.cli import terminal
    from starter.cli.invocation import invocation

    asked = invocation(params)
    file = Path(bundle).expanduser().absolute() if bundle else None
    wrong = [f"--bundle {bundle!r}: {file.parent} is not a directory."] if file and not file.parent.is_dir() else []
    asked.problems.extend(wrong)
    spec = comparable(asked.validated(lambda: bare_spec(asked.values)))
    report, status = _look(asked, spec, file, direct)
    findings = _findings(report, status)
    terminal.warn(report.warnings)
    question = status.question if status else None
    value = report.model_dump(mode="json") | {
        "findings": [one.model_dump(mode="json") for one in findings],
        "phase": str(status.phase) if status else "",
        "question": question.model_dump(mode="json") if question else None,
    }
    terminal.data(value, asked.output, _text(report, findings, status))
    if file:
        _fetch(report, file)
    if not report.observed.exists and not findings:
        raise exits.Exit(exits.FAILED, f"nothing is deployed in namespace {spec.namespace} of cluster {spec.cluster}")
    wrong = [one.code for one in findings if one.severity != "progress"]
    if wrong:
        raise exits.Exit(exits.FAILED, f"something is wrong: {', '.join(wrong)}")


def comparable(spec: "ClusterSpec") -> "ClusterSpec":
    """Leave out a backend repository on this machine that has no profile: there is no circuit to compare with.

    By default it is the directory that the command was called in.
    """
    backend = spec.backend
    repo = Path(backend.repo)
    if backend.apart or backend.profile or backend.host != "local" or not repo.is_dir() or (repo / PROFILE).is_file():
        return spec
    return spec.model_copy(update={"backend": backend.model_copy(update={"repo": ""})})


def _look(
    asked: "Invocation", spec: "ClusterSpec", file: Path | None, direct: bool
) -> "tuple[DiagnoseReport, Status | None]":
    if direct:
        from starter.direct.inspection import Direct

        return Direct(asked, spec).diagnose(file), None
    from starter.temporal import session

    return session.run(asked, _ask(asked, spec, bundle=file is not None), what="the inspection")


async def _ask(asked: "Invocation", spec: "ClusterSpec", *, bundle: bool) -> "tuple[DiagnoseReport, Status | None]":
    from domain.messages.inspection import DiagnoseReport, InspectInput
    from starter.temporal import inspection
    from starter.temporal.deployments import deployment_status

    request = InspectInput(spec=spec, replicas=spec.replicas, what="diagnose", bundle=bundle)
    async with inspection.connected(asked, spec) as client:
        answer = await inspection.answer(client, request)
        return answer.diagnose or DiagnoseReport(), await deployment_status(client, spec.deployment_id)


def _findings(report: "DiagnoseReport", status: "Status | None") -> "list[Diagnosis]":
    """Return the findings in the cluster and what stopped the deployment elsewhere, such as a registry that refused."""
    known = {one.code for one in report.findings}
    other = status.retry.diagnosis if status and status.retry else status.diagnosis if status else None
    return [*report.findings, *([other] if other and other.code not in known else [])]


def _text(report: "DiagnoseReport", findings: "list[Diagnosis]", status: "Status | None") -> str:
    seen = report.observed
    lines = [
        f"{seen.ready} of {seen.wanted} clients ready, {seen.available} available" if seen.exists else "no Deployment"
    ]
    lines += [line for number, one in enumerate(findings, 1) for line in _paragraph(number, one)]
    if not findings and seen.exists:
        lines.append("Nothing is wrong." if seen.complete else "Nothing is wrong so far; the rollout goes on.")
    if status and status.question:
        asked = status.question
        lines.append(f"Question: {' | '.join(asked.choices)}; without an answer {asked.default} at {asked.deadline}.")
    return "\n".join(line for line in lines if line)


def _paragraph(number: int, found: "Diagnosis") -> list[str]:
    grace = f", counts after {found.grace} s" if found.grace else ""
    parts = {
        "evidence": found.evidence,
        "because": found.because,
        "do": found.do,
        "class": f"{found.severity}{grace}",
        "since": found.since,
        "still serving": found.serving,
    }
    on = f" on {found.on}" if found.on else ""
    said = [f"  {name + ':':<14} {' '.join(text.split())}" for name, text in parts.items() if text]
    return [f"{number}. {found.code}: {found.what}{on}", *said]


def _fetch(report: "DiagnoseReport", file: Path) -> None:
    """Say where the evidence is; copy it when the worker's disk is this machine's."""
    from starter.cli import terminal

    kept = Path(report.bundle)
    if kept == file:
        terminal.note(f"evidence: {file}")
    elif report.bundle and _readable(kept):
        from starter.direct import bundle_file

        bundle_file.write(file, kept.read_bytes())
        terminal.note(f"evidence: {file} (the worker keeps {kept})")
    elif report.bundle:
        terminal.note(f"evidence: on {report.host} at {kept}; fetch it with:")
        terminal.note("  " + shlex.join(["scp", f"{report.host}:{kept}", str(file)]))


def _readable(path: Path) -> bool:
    try:
        with path.open("rb"):
            return True
    except OSError:
        return False
