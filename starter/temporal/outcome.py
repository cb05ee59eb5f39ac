"""Wait for the outcome of an accepted command, or say how to look at it later."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from temporalio.client import Client

from domain.commands import Receipt
from starter.cli import terminal
from starter.cli.invocation import Invocation
from starter.cli.progress import Progress
from starter.temporal import session
from starter.temporal.follow import follow_command
from starter.temporal.heartbeats import Heartbeats
from starter.views.outcome import present
from workflows.deployment.workflow import ProverClusterWorkflow

Send = Callable[[Client], Awaitable[Receipt]]


async def carry_out(
    asked: Invocation, workflow_id: str, needed: Sequence[session.Queue], send: Send, more: Sequence[str] = ()
) -> None:
    """Send a command to a deployment, follow it and show its outcome; raise Exit unless it was done.

    `needed` are the task queues that somebody must poll, `more` command lines that tell more of a failure.
    """
    async with session.session(asked, needed) as client:
        receipt = await send(client)
        ui = session.ui_page(client, asked, workflow_id)
        if receipt.warning:
            terminal.warn([receipt.warning])
        value = {"receipt": receipt.model_dump(mode="json"), "ui": ui}
        progress = accepted(asked, value, ("command", receipt.command_id), ui, asked.again("status"))
        if progress is None:
            return
        handle = client.get_workflow_handle_for(ProverClusterWorkflow.run, workflow_id)
        ended = await follow_command(handle, receipt.command_id, progress, Heartbeats(client, workflow_id).latest)
    present(asked, ended, ui, more)


def accepted(asked: Invocation, value: dict[str, Any], named: tuple[str, str], ui: str, look: str) -> Progress | None:
    """Return the progress to follow what was accepted with; with --no-wait show `value` as the data and return None.

    `named` is the kind of what was accepted and its id, `look` a command line that shows its state.
    """
    kind, name = named
    if asked.wait:
        progress = Progress()
        progress.say(f"accepted as {name}; follow it in the UI too: {ui}")
        return progress
    terminal.data(value, asked.output, terminal.table([(kind, name), ("UI", ui)]))
    terminal.note(f"accepted. Look at it with: {look}")
    return None
