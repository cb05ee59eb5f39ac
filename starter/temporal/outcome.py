"""What follows the receipt of every command: wait for its outcome, or say how to look at it later."""

from temporalio.client import Client

from domain.commands import Receipt
from starter.cli import terminal
from starter.cli.invocation import Invocation
from starter.cli.progress import Progress
from starter.temporal import session
from starter.temporal.follow import follow_command
from starter.temporal.heartbeats import Heartbeats
from starter.views.outcome import Ended
from workflows.deployment.workflow import ProverClusterWorkflow


async def outcome(client: Client, asked: Invocation, workflow_id: str, receipt: Receipt) -> tuple[Ended | None, str]:
    """The end and the page in Temporal's UI; with --no-wait None, and the receipt is the data."""
    ui = session.ui_page(client, asked, workflow_id)
    if receipt.warning:
        terminal.warn([receipt.warning])
    if not asked.wait:
        value = {"receipt": receipt.model_dump(mode="json"), "ui": ui}
        terminal.data(value, asked.output, f"command  {receipt.command_id}\nUI       {ui}")
        terminal.note(f"accepted. Look at it with: {asked.again('status')}")
        return None, ui
    progress = Progress()
    progress.say(f"accepted as {receipt.command_id}; follow it in the UI too: {ui}")
    handle = client.get_workflow_handle_for(ProverClusterWorkflow.run, workflow_id)
    return await follow_command(handle, receipt.command_id, progress, Heartbeats(client, workflow_id).latest), ui
