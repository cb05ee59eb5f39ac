"""Read the state of deployments: by query where a worker answers, else from memo and search attributes."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionStatus,
)
from temporalio.service import RPCError

from domain import names
from domain.status import Release, Status
from starter.cli import terminal
from starter.cli.invocation import Invocation
from starter.temporal.follow import RPC_TIMEOUT
from starter.temporal.heartbeats import Heartbeats, StepProgress
from starter.temporal.runs import open_run, queried
from starter.temporal.session import queues, session, ui_page
from starter.temporal.updates import nothing_deployed
from starter.views import deployment
from workflows.deployment.workflow import ProverClusterWorkflow

WORKFLOW_TYPE = "ProverClusterWorkflow"


async def show(asked: Invocation) -> None:
    """Show one deployment; raise Exit FAILED when there is none."""
    async with session(asked, queues(asked.cluster) if asked.inline else ()) as client:
        workflow_id = names.deployment_id(asked.cluster, asked.namespace)
        run = await open_run(client, asked, workflow_id, partial(nothing_deployed, asked))
        ui = ui_page(client, asked, workflow_id)
        status = await deployment_status(client, workflow_id)
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


async def backend_of(asked: Invocation) -> str:
    """Return the workflow id of the backend that a running deployment brought up; empty when there is none."""
    async with session(asked, queues(asked.cluster)) as client:
        status = await deployment_status(client, names.deployment_id(asked.cluster, asked.namespace))
    return status.backend if status else ""


async def running_release(client: Client, workflow_id: str) -> Release | None:
    """Return the release that a deploy would find; None when no deployment runs, or no worker answers."""
    try:
        run = await client.get_workflow_handle(workflow_id).describe(rpc_timeout=RPC_TIMEOUT)
    except RPCError:
        return None
    status = await deployment_status(client, workflow_id) if run.status is WorkflowExecutionStatus.RUNNING else None
    return status.release if status else None


async def deployment_status(client: Client, workflow_id: str, within: timedelta = RPC_TIMEOUT) -> Status | None:
    """Return the status of a deployment; None when no worker answers in time."""
    handle = client.get_workflow_handle_for(ProverClusterWorkflow.run, workflow_id)
    return await queried(client, handle, ProverClusterWorkflow.status, within)


async def deployments(asked: Invocation, *, closed: bool) -> list[dict[str, Any]]:
    """Return a row for each deployment, in Temporal's order; search attributes need not be registered."""
    query = f'WorkflowType="{WORKFLOW_TYPE}"' + ("" if closed else ' AND ExecutionStatus="Running"')
    async with session(asked) as client:
        runs = [run async for run in client.list_workflows(query)]
        return [await described(run) for run in runs if run.status is not WorkflowExecutionStatus.CONTINUED_AS_NEW]


async def described(run: WorkflowExecution) -> dict[str, Any]:
    """Return the row of one deployment, from the memo of its workflow, its id and its search attributes."""
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
