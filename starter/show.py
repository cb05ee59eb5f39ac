"""`status` and `list`: what runs, told by the worker, or without one by what Temporal itself keeps."""
# ruff: noqa: PLC0415 - `--help` and completion must not load pydantic and temporalio

from typing import TYPE_CHECKING, Any

import click

from starter import options

if TYPE_CHECKING:
    from starter.invocation import Invocation


@options.command("status", "proverctl status -n provers", "proverctl status -n provers -o json")
@options.direct
@options.everywhere
def status_command(direct: bool, **params: Any) -> None:
    """One deployment: phase, release, clients, what is wrong.

    Without a worker it shows what Temporal keeps and says how old that is; with --direct what stands in the cluster.
    """
    from planning import settings
    from starter.invocation import invocation

    asked = invocation(params)
    asked.validated(lambda: settings.place(asked.values))
    if direct:
        from starter.direct_status import show

        show(asked)
        return
    from starter import session
    from starter.standing import standing

    session.run(asked, standing(asked))


@options.command("list", "proverctl list", "proverctl list --all -o json")
@click.option("--all", "closed", is_flag=True, help="Also those that have ended.")
@options.everywhere
def list_command(closed: bool, **params: Any) -> None:
    """All deployments.

    Of every namespace and cluster, as Temporal keeps them; works without a worker.
    """
    from starter.invocation import invocation

    asked = invocation(params)
    asked.validated(lambda: None)
    _list(asked, closed)


def _list(asked: "Invocation", closed: bool) -> None:
    from starter import output, session, summary
    from starter.standing import deployments

    rows = session.run(asked, deployments(asked, closed=closed))
    output.data(rows, asked.output, summary.listing(rows))
