"""`backend status` and `backend logs`: show the state, change nothing."""
# ruff: noqa: PLC0415 - `--help` and completion must not load pydantic and temporalio

from typing import Any

import click

from starter.cli import options

NAME = click.option("--name", help="Name in the profile, where the profile itself is gone or cannot be read.")


@options.command("status", "proverctl backend status", "proverctl backend status --name fluidex -o json")
@NAME
@options.backend
def status_command(name: str | None, **params: Any) -> None:
    """Show each step: state, duration, why it was skipped, what is wrong.

    Also while the steps run. Without a worker it shows what Temporal keeps.
    """
    from starter.cli.invocation import backend_invocation
    from starter.temporal import session
    from starter.temporal.backends import show

    asked, spec = backend_invocation(params, name)
    session.run(asked, show(asked, spec, name or ""), look=asked.again_backend("status"), what="the backend")


@options.command("logs", "proverctl backend logs coordinator", "proverctl backend logs setup -f --lines 20")
@click.argument("step")
@click.option("-f", "--follow", is_flag=True, help="Follow the log until the step has ended, or until interrupted.")
@click.option("--lines", default="100", show_default=True, metavar="N", help="Number of lines from the end of the log.")
@NAME
@options.backend
def logs_command(step: str, follow: bool, lines: str, name: str | None, **params: Any) -> None:
    """Show the log of one step.

    With -f the log of a command ends with the command; that of a process goes on until it is interrupted.
    """
    from planning.settings.spec import count
    from starter.temporal import session
    from starter.temporal.backend_log import LogSelection, show

    if follow and params["output"] != "text":
        raise click.UsageError("-f writes text as it comes: it does not go with -o json or yaml.")
    from starter.cli.invocation import backend_invocation

    asked, spec = backend_invocation(params, name, lambda: count(lines, "--lines"))
    wanted = LogSelection(step=step, lines=int(lines), follow=follow, name=name or "")
    look = asked.again_backend("logs", step)
    session.run(asked, show(asked, spec, wanted), look=look, what="the step")
