"""Reads how deployments stand: by query where a worker answers, else from memo and search attributes."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowQueryFailedError,
)
from temporalio.service import RPCError, RPCStatusCode

from domain import names
from domain.status import Release, Status
from starter.cli import exits, terminal
from starter.cli.invocation import Invocation
from starter.temporal.heartbeats import Heartbeats, StepProgress
from starter.temporal.session import RPC, polled, queues, session, ui_page
from starter.views import deployment
from workflows.deployment.workflow import ProverClusterWorkflow

QUERY = timedelta(seconds=5)
TYPE = "ProverClusterWorkflow"


async def standing(asked: Invocation) -> None:
    """Show one deployment; Exit FAILED when there is none."""
    async with session(asked, queues(asked.cluster) if asked.inline else ()) as client:
        workflow_id = names.deployment_id(asked.cluster, asked.namespace)
        run = await _run(client, asked, workflow_id)
        ui = ui_page(client, asked, workflow_id)
        status = await queried(client, workflow_id)
        # Without a worker for workflows, too: another one may be moving the image.
        said = await Heartbeats(client, workflow_id).once(status.step if status else "its step")
        if status:
            value = status.model_dump(mode="json") | {"progress": said.data(), "source": "worker", "ui": ui}
            terminal.data(value, asked.output, deployment.page(status, ui, said.text))
            return
        row = await described(run)
    _show_kept(asked, row, said, ui)


def _show_kept(asked: Invocation, row: dict[str, Any], said: StepProgress, ui: str) -> None:
    since = str(row["as_of"])
    age = deployment.age(since, datetime.now(UTC))
    terminal.note(
        f"no worker answers: this is what Temporal keeps, last written {age} ago. Start one with: proverctl worker"
    )
    cells = [*row.items(), ("progress", said.text), ("UI", ui)]
    text = terminal.table([(key, str(value)) for key, value in cells if value not in ("", None)])
    terminal.data({**row, "progress": said.data(), "source": "memo", "ui": ui}, asked.output, text)


async def _run(client: Client, asked: Invocation, workflow_id: str) -> WorkflowExecutionDescription:
    try:
        run = await client.get_workflow_handle(workflow_id).describe(rpc_timeout=RPC)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise exits.Exit(exits.FAILED, _nothing(asked), ["  " + asked.again("deploy")]) from error
        raise
    if run.status not in {WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW}:
        ended = f"{run.close_time:%Y-%m-%dT%H:%M:%SZ}" if run.close_time else "some time ago"
        how = run.status.name.lower() if run.status else "ended"
        ui = ui_page(client, asked, workflow_id)
        lines = [f"  {asked.again('deploy')}", f"The last one ended {ended} ({how}): {ui}"]
        raise exits.Exit(exits.FAILED, _nothing(asked), lines)
    return run


def _nothing(asked: Invocation) -> str:
    return f"nothing is deployed in namespace {asked.namespace} of cluster {asked.cluster}. Deploy with:"


async def backend_of(asked: Invocation) -> str:
    """The workflow id of the backend that a running deployment brought up; empty when there is none."""
    async with session(asked, queues(asked.cluster)) as client:
        status = await queried(client, names.deployment_id(asked.cluster, asked.namespace))
    return status.backend if status else ""


async def running_release(client: Client, workflow_id: str) -> Release | None:
    """The release of a deployment that runs, as a deploy would find it; None when there is none, or nobody answers."""
    try:
        run = await client.get_workflow_handle(workflow_id).describe(rpc_timeout=RPC)
    except RPCError:
        return None
    status = await queried(client, workflow_id) if run.status is WorkflowExecutionStatus.RUNNING else None
    return status.release if status else None


async def queried(client: Client, workflow_id: str, patience: timedelta = QUERY) -> Status | None:
    """The worker's answer, or None after `patience`; at once when nobody polls."""
    workflows = queues("")[0]
    if not await polled(client, workflows):
        return None
    handle = client.get_workflow_handle_for(ProverClusterWorkflow.run, workflow_id)
    try:
        async with asyncio.timeout(patience.total_seconds()):
            return await handle.query(ProverClusterWorkflow.status, rpc_timeout=patience)
    except (RPCError, WorkflowQueryFailedError, TimeoutError):
        return None


async def deployments(asked: Invocation, *, closed: bool) -> list[dict[str, Any]]:
    """One row a deployment, in Temporal's order; works where search attributes are not registered too."""
    query = f'WorkflowType="{TYPE}"' + ("" if closed else ' AND ExecutionStatus="Running"')
    async with session(asked) as client:
        runs = [run async for run in client.list_workflows(query)]
        return [await described(run) for run in runs if run.status is not WorkflowExecutionStatus.CONTINUED_AS_NEW]


async def described(run: WorkflowExecution) -> dict[str, Any]:
    """The short form that the workflow keeps in its memo, completed by its id and its search attributes."""
    memo = dict(await run.memo())
    attributes = {pair.key.name: pair.value for pair in run.typed_search_attributes}
    _, cluster, namespace = [*run.id.split("/", 2), "", ""][:3]
    started = f"{run.start_time:%Y-%m-%dT%H:%M:%SZ}"
    running = run.status is WorkflowExecutionStatus.RUNNING
    phase = memo.get("phase") or attributes.get(names.SEARCH_PHASE) or "preparing"
    return {
        "deployment": run.id,
        "namespace": namespace,
        "cluster": cluster,
        "phase": phase if running else (run.status.name.lower() if run.status else ""),
        "stage": memo.get("stage") or attributes.get(names.SEARCH_STAGE) or "",
        "clients": f"{memo['ready']}/{memo['wanted']}" if "wanted" in memo else "",
        "endpoint": memo.get("endpoint", ""),
        "question": memo.get("question", ""),
        "since": memo.get("since") or started,
        "as_of": memo.get("at") or memo.get("since") or started,
    }
