"""Read the state of one backend: by query where a worker answers, else what Temporal keeps."""

import contextlib
from functools import partial
from typing import NamedTuple

from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionDescription,
)
from temporalio.service import RPCError

from domain import names
from domain.spec import ClusterSpec
from starter.cli import terminal
from starter.cli.invocation import Invocation
from starter.temporal.backend_updates import handle_of, nothing_up, profile_name
from starter.temporal.follow import RPC_TIMEOUT
from starter.temporal.runs import open_run, queried
from starter.temporal.session import backend_queues, polled, require_pollers, session, ui_page
from starter.views import backend
from workflows.backend.workflow import BackendWorkflow

WORKFLOW_TYPE = "BackendWorkflow"


class BackendQuery(NamedTuple):
    """The client and the settings that every question about a backend needs."""

    client: Client
    asked: Invocation
    spec: ClusterSpec


async def show(asked: Invocation, spec: ClusterSpec, name: str) -> None:
    """Show one backend; raise Exit FAILED when it is not up, NO_WORKER when only a worker can tell which is meant."""
    needed = backend_queues(spec.backend.host)
    async with session(asked, needed if asked.inline else ()) as client:
        here = BackendQuery(client, asked, spec)
        missing = [queue for queue in needed if not await polled(client, queue)]
        if not missing:
            name = await profile_name(client, spec, name)
        elif not name:
            name = await _only_one(here)
            if not name:
                await require_pollers(client, needed)
                name = await profile_name(client, spec, name)
        workflow_id = names.backend_id(spec.backend.host, name)
        run = await open_run(client, asked, workflow_id, partial(nothing_up, asked, name))
        since = await _since(here, run)
        ui = ui_page(client, asked, run.id)
        report = await queried(client, handle_of(client, spec, name), BackendWorkflow.status)
    if report is None:
        _show_kept(asked, name, since, ui)
        return
    value = report.model_dump(mode="json") | {"since": since, "source": "worker", "ui": ui}
    terminal.data(value, asked.output, backend.page(report, ui, since))


async def _only_one(here: BackendQuery) -> str:
    """Return the name of the one backend that is up on this host; empty when there are none or several."""
    first = names.backend_id(here.spec.backend.host, "")
    query = f'WorkflowType="{WORKFLOW_TYPE}" AND ExecutionStatus="Running"'
    runs: list[WorkflowExecution] = [run async for run in here.client.list_workflows(query)]
    found = [run.id.removeprefix(first) for run in runs if run.id.startswith(first)]
    return found[0] if len(found) == 1 else ""


async def _since(here: BackendQuery, run: WorkflowExecutionDescription) -> str:
    """Return when it was brought up: the start of the first run, since a long one continues in others."""
    first, began = run.raw_description.workflow_execution_info.first_run_id, run.start_time
    if first and first != run.run_id:
        with contextlib.suppress(RPCError):  # the server has deleted that run: the present one serves
            handle = here.client.get_workflow_handle(run.id, run_id=first)
            began = (await handle.describe(rpc_timeout=RPC_TIMEOUT)).start_time
    return f"{began:%Y-%m-%dT%H:%M:%SZ}"


def _show_kept(asked: Invocation, name: str, since: str, ui: str) -> None:
    terminal.note("no worker answers: Temporal alone does not know the steps. Start one with: proverctl worker")
    rows = {"backend": name, "since": since, "ui": ui}
    terminal.data({**rows, "source": "temporal"}, asked.output, terminal.table([*rows.items()]))
