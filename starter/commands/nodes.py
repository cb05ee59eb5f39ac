"""`nodes`: a verdict for each node, by the worker that reaches the cluster."""
# ruff: noqa: PLC0415 - `--help` and completion must not load pydantic and temporalio

from typing import TYPE_CHECKING, Any

import click

from starter.cli import exits, options

if TYPE_CHECKING:
    from domain.messages.nodes import NodesReport
    from domain.spec import ClusterSpec
    from starter.cli.invocation import Invocation


@options.command("nodes", "proverctl nodes", "proverctl nodes --for 4 -o json")
@click.option("--for", "wanted", metavar="N", help="Exit 3 unless N clients can be placed.")
@options.settings("nodes")
@options.setting(options.by_name("CLIENT_CPU"))
@options.setting(options.by_name("CLIENT_MEMORY"))
@options.setting(options.by_name("CLIENT_RESOURCES"))
@options.direct
@options.everywhere
def nodes_command(wanted: str | None, direct: bool, **params: Any) -> None:
    """Show which nodes can take a client, and why others cannot.

    Reads labels, taints, readiness, cordons, free resources, clients of other namespaces and quotas. Changes nothing.
    """
    from planning.settings.spec import bare_spec, replicas
    from starter.cli.invocation import invocation

    asked = invocation(params)
    number = [lambda: replicas(wanted, "--for")] if wanted else []
    spec = asked.validated(lambda: bare_spec(asked.values), *number)
    if wanted:
        spec = spec.model_copy(update={"replicas": int(wanted)})
    if direct:
        from starter.direct.inspection import Direct

        report = Direct(asked, spec).nodes()
    else:
        from starter.temporal import session

        report = session.run(asked, _report(asked, spec))
    present(asked, report)
    if wanted and (report.diagnosis or report.usable < spec.replicas):
        reason = str(report.diagnosis) if report.diagnosis else f"{report.usable} of {spec.replicas} nodes are usable"
        raise exits.Exit(exits.REFUSED, reason)


async def _report(asked: "Invocation", spec: "ClusterSpec") -> "NodesReport":
    from domain.messages.inspection import InspectInput
    from domain.messages.nodes import NodesReport
    from starter.temporal.inspection import inspect

    answer = await inspect(asked, InspectInput(spec=spec, replicas=spec.replicas))
    return answer.nodes or NodesReport(wanted=spec.replicas, usable=0)


def present(asked: "Invocation", report: "NodesReport") -> None:
    """Write the report to stdout and its warnings to stderr."""
    from starter.cli import terminal
    from starter.views import nodes

    terminal.warn(report.warnings)
    terminal.data(report.model_dump(mode="json"), asked.output, nodes.page(report))
