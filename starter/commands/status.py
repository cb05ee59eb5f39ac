"""`status` and `list`: what runs, from the worker, or without one from what Temporal itself keeps."""
# ruff: noqa: PLC0415 - `--help` and completion must not load pydantic and temporalio

from typing import TYPE_CHECKING, Any

import click

from starter.cli import options

if TYPE_CHECKING:
    from starter.cli.invocation import Invocation


@options.command("status", "proverctl status -n provers", "proverctl status -n provers -o json")
@options.direct
@options.everywhere
def status_command(direct: bool, **params: Any) -> None:
    """Show one deployment: phase, release, clients, what is wrong.

    Without a worker it shows what Temporal keeps and how old that is; with --direct, the objects in the cluster.
    """
    from planning.settings import spec
    from starter.cli.invocation import invocation

    asked = invocation(params)
    asked.validated(lambda: spec.place(asked.values))
    if direct:
        from starter.direct.status import show

        show(asked)
        return
    from starter.temporal import session
    from starter.temporal.deployments import show as show_deployment

    session.run(asked, show_deployment(asked))


@options.command("list", "proverctl list", "proverctl list --all -o json")
@click.option("--all", "closed", is_flag=True, help="Also deployments that have ended.")
@options.everywhere
def list_command(closed: bool, **params: Any) -> None:
    """List all deployments.

    Covers every namespace and cluster, as Temporal keeps them; works without a worker.
    """
    from starter.cli.invocation import invocation

    asked = invocation(params)
    asked.validated(lambda: None)
    _list(asked, closed)


def _list(asked: "Invocation", closed: bool) -> None:
    from starter.cli import terminal
    from starter.temporal import session
    from starter.temporal.deployments import deployments
    from starter.views import deployment

    rows = session.run(asked, deployments(asked, closed=closed))
    terminal.data(rows, asked.output, deployment.listing(rows))
