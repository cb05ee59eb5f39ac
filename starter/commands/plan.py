"""`plan`: what a deploy with these settings would change, object by object; changes nothing."""
# ruff: noqa: PLC0415 - `--help` and completion must not load pydantic and temporalio

import os
import socket
import sys
from typing import TYPE_CHECKING, Any

import click

from starter.cli import exits, options

if TYPE_CHECKING:
    from domain.messages.inspection import ObjectChange, PlanReport
    from domain.spec import ClusterSpec
    from starter.cli.invocation import Invocation

PLACE = "-n provers --image-repo registry.example.com:5000/prover --coordinator-ep 10.0.0.7"
COLOURS = {"-": "red", "+": "green", "@": "cyan"}
SIGNS = {"create": "+", "change": "~", "same": "=", "remove": "-", "replace": "±", "refused": "!", "unknown": "?"}


@options.command("plan", f"proverctl plan {PLACE}", "STAGE=1a2b3c4 proverctl plan --env-file provers.env --direct")
@options.direct
@options.settings()
@options.everywhere
def plan_command(direct: bool, **params: Any) -> None:
    """Show what a deploy would change, object by object, and what it costs.

    Sends each object to the API server as a dry run, which changes nothing; secrets are masked. Exit 3 when one of them
    would be refused. The image is not built: unless its stage serves already, its tag is compared.
    """
    from planning.settings.spec import cluster_spec
    from starter.cli import terminal
    from starter.cli.invocation import invocation

    asked = invocation(params)
    spec = asked.validated(lambda: cluster_spec(asked.values, seen_on=socket.gethostname()))
    report = _report(asked, spec, direct)
    terminal.warn(report.warnings)
    if asked.output == "text":
        _show(report)
    else:
        terminal.data(report.model_dump(mode="json"), asked.output, "")
    refused = [f"{one.kind} {one.name}" for one in report.changes if one.action == "refused"]
    if refused:
        raise exits.Exit(exits.REFUSED, f"a deploy would be refused for {', '.join(refused)}; nothing was changed")


def _report(asked: "Invocation", spec: "ClusterSpec", direct: bool) -> "PlanReport":
    if direct:
        from starter.direct import inspection

        return inspection.Direct(asked, spec).plan()
    from planning.manifests.circuit_name import is_settled
    from starter.temporal import session

    host = "" if is_settled(spec) else spec.backend.host
    return session.run(asked, _planned(asked, spec, host), what="the inspection")


async def _planned(asked: "Invocation", spec: "ClusterSpec", host: str) -> "PlanReport":
    """Ask for the plan with the number of clients and the endpoint that a deploy would keep."""
    from domain.messages.inspection import InspectInput, PlanReport
    from planning.plan import intent
    from starter.temporal.deployments import running_release
    from starter.temporal.inspection import answer, connected

    async with connected(asked, spec, host=host) as client:
        running = await running_release(client, spec.deployment_id)
        kept = intent.settled(spec, intent.given(asked.flags, asked.below_flags), running, "this deploy")
        request = InspectInput(spec=kept.spec, replicas=kept.spec.replicas, what="plan")
        report = (await answer(client, request)).plan or PlanReport()
    return report.model_copy(update={"notes": kept.notes})


def _show(report: "PlanReport") -> None:
    from starter.cli import terminal

    for change in report.changes:
        _say(_head(change))
        for line in change.lines:
            _say(f"    {line}", COLOURS.get(line[:1], ""))
    _say("")
    for note in report.notes:
        _say(note)
    _say(report.cost)
    if report.nodes:
        _say(f"{report.nodes.possible} clients can run, {report.nodes.wanted} wanted")
        if report.nodes.diagnosis:
            terminal.warn([str(report.nodes.diagnosis)])


def _head(change: "ObjectChange") -> str:
    note = f" ({change.note})" if change.note else ""
    return f"{SIGNS[change.action]} {change.kind} {change.name}: {change.action}{note}"


def _say(line: str, colour: str = "") -> None:
    from starter.cli import terminal

    is_interactive = sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("NO_COLOR")
    text = terminal.clean(line)
    click.echo(click.style(text, fg=colour) if colour and is_interactive else text)
