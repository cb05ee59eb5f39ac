"""Reads how one backend stands: by query where a worker answers, else what Temporal keeps."""

import contextlib
from typing import NamedTuple

from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowQueryFailedError,
)
from temporalio.service import RPCError, RPCStatusCode

from domain import names
from domain.messages.backend import BackendReport
from domain.spec import ClusterSpec
from starter.cli import terminal
from starter.cli.invocation import Invocation
from starter.temporal.backend_updates import handle_of, nothing_up, profile_name
from starter.temporal.follow import RPC_TIMEOUT
from starter.temporal.session import backend_queues, polled, require_pollers, session, ui_page
from starter.views import backend
from workflows.backend.workflow import BackendWorkflow

TYPE = "BackendWorkflow"
OPEN = {WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW}


class Here(NamedTuple):
    """What every question needs."""

    client: Client
    asked: Invocation
    spec: ClusterSpec


async def show(asked: Invocation, spec: ClusterSpec, name: str) -> None:
    """Write how it stands; Exit FAILED when nothing is up, NO_WORKER when nobody can tell which backend is meant."""
    needed = backend_queues(spec.backend.host)
    async with session(asked, needed if asked.inline else ()) as client:
        here = Here(client, asked, spec)
        missing = [queue for queue in needed if not await polled(client, queue)]
        if not missing:
            name = await profile_name(client, spec, name)
        elif not name:
            name = await _only_one(here)
            if not name:
                await require_pollers(client, needed)
                name = await profile_name(client, spec, name)
        run = await _run(here, name)
        since = await _since(here, run)
        ui = ui_page(client, asked, run.id)
        report = await _queried(here, name)
    if report is None:
        _show_kept(asked, name, since, ui)
        return
    value = report.model_dump(mode="json") | {"since": since, "source": "worker", "ui": ui}
    terminal.data(value, asked.output, backend.page(report, ui, since))


async def _only_one(here: Here) -> str:
    """The name of the one backend that is up on this host; empty when there are none or several."""
    first = names.backend_id(here.spec.backend.host, "")
    query = f'WorkflowType="{TYPE}" AND ExecutionStatus="Running"'
    runs: list[WorkflowExecution] = [run async for run in here.client.list_workflows(query)]
    found = [run.id.removeprefix(first) for run in runs if run.id.startswith(first)]
    return found[0] if len(found) == 1 else ""


async def _run(here: Here, name: str) -> WorkflowExecutionDescription:
    workflow_id = names.backend_id(here.spec.backend.host, name)
    try:
        run = await here.client.get_workflow_handle(workflow_id).describe(rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise nothing_up(here.asked, name) from error
        raise
    if run.status in OPEN:
        return run
    ended = f"{run.close_time:%Y-%m-%dT%H:%M:%SZ}" if run.close_time else "some time ago"
    raise nothing_up(here.asked, name, f"It was stopped {ended}: {ui_page(here.client, here.asked, workflow_id)}")


async def _since(here: Here, run: WorkflowExecutionDescription) -> str:
    """When it was brought up: the start of the first run, for a long one is continued in others."""
    first, began = run.raw_description.workflow_execution_info.first_run_id, run.start_time
    if first and first != run.run_id:
        with contextlib.suppress(RPCError):  # the server has forgotten that run: then the present one has to do
            handle = here.client.get_workflow_handle(run.id, run_id=first)
            began = (await handle.describe(rpc_timeout=RPC_TIMEOUT)).start_time
    return f"{began:%Y-%m-%dT%H:%M:%SZ}"


async def _queried(here: Here, name: str) -> BackendReport | None:
    """The worker's answer, None without one."""
    if not await polled(here.client, backend_queues(here.spec.backend.host)[0]):
        return None
    try:
        return await handle_of(here.client, here.spec, name).query(BackendWorkflow.status, rpc_timeout=RPC_TIMEOUT)
    except (RPCError, WorkflowQueryFailedError):
        return None


def _show_kept(asked: Invocation, name: str, since: str, ui: str) -> None:
    terminal.note("no worker answers: Temporal alone does not know the steps. Start one with: proverctl worker")
    rows = {"backend": name, "since": since, "ui": ui}
    terminal.data({**rows, "source": "temporal"}, asked.output, terminal.table([*rows.items()]))
