"""Send updates to the workflows of deployments and backends, which they start; a repeated try changes nothing twice."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateHandle,
    WorkflowUpdateRPCTimeoutOrCancelledError,
    WorkflowUpdateStage,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode
from temporalio.workflow import UpdateMethodMultiParam

from connection import search
from domain import names
from domain.commands import Receipt, Upgrade
from domain.spec import ClusterSpec
from domain.state import ClusterInput
from starter.cli import exits, terminal
from starter.cli.invocation import Invocation
from starter.temporal.session import identity
from starter.views import outcome
from workflows.deployment.workflow import ProverClusterWorkflow

Request = TypeVar("Request")
Result = TypeVar("Result")
Update = UpdateMethodMultiParam[[ProverClusterWorkflow, Request], Receipt]

RETRIED = {RPCStatusCode.RESOURCE_EXHAUSTED, RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED}
RETRY_SECONDS = 0.5  # between two tries
NOTICE_SECONDS = 10.0  # without an answer, after which the user reads of it


class Start(NamedTuple):
    """The workflow that an update starts where it does not run yet."""

    run: Any  # the `run` method of its class
    argument: Any
    workflow_id: str
    summary: str
    details: str | None = None
    memo: dict[str, str] | None = None


def update_with_start(
    client: Client, workflow: Start, update: Any, request: Any, update_id: str, stage: WorkflowUpdateStage
) -> Callable[[], Awaitable[WorkflowUpdateHandle[Any]]]:
    """Return a function that sends the update and waits for its stage; sent again it is the same update."""

    def send() -> Awaitable[WorkflowUpdateHandle[Any]]:
        # An operation serves one call only, hence a new one for each try; the ids stay.
        start: WithStartWorkflowOperation[Any, Any] = WithStartWorkflowOperation(
            workflow.run,
            workflow.argument,
            id=workflow.workflow_id,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            task_queue=names.DEPLOY_QUEUE,
            static_summary=workflow.summary,
            static_details=workflow.details,
            memo=workflow.memo,
        )
        return client.start_update_with_start_workflow(
            update, request, id=update_id, start_workflow_operation=start, wait_for_stage=stage
        )

    return send


async def start_or_ask(client: Client, spec: ClusterSpec, update: Update[Request], request: Request) -> Receipt:
    """Send a command to the one deployment of a namespace, which it starts when there is none."""
    is_deploy = isinstance(request, Upgrade)
    command_id = new_id("deploy" if is_deploy else type(request).__name__)
    workflow = Start(
        run=ProverClusterWorkflow.run,
        argument=ClusterInput(
            spec=spec,
            search_attributes=await search.registered(client),
            command_id=command_id if is_deploy else "",
            by=identity(),
        ),
        workflow_id=spec.deployment_id,
        summary=f"prove-clients in {spec.namespace} on cluster {spec.cluster}",
        details=details(spec),
        memo={"namespace": spec.namespace, "cluster": spec.cluster},
    )
    send = update_with_start(client, workflow, update, request, command_id, WorkflowUpdateStage.COMPLETED)

    async def receipt() -> Receipt:
        handle: WorkflowUpdateHandle[Receipt] = await send()
        return await handle.result()

    return await answered(receipt)


async def ask(
    client: Client, invocation: Invocation, workflow_id: str, update: Update[Request], request: Request
) -> Receipt:
    """Send a command to a running deployment; raise Exit FAILED when there is none."""
    command_id = new_id(type(request).__name__)
    handle = client.get_workflow_handle_for(ProverClusterWorkflow.run, workflow_id)

    def send() -> Awaitable[Receipt]:
        return handle.execute_update(update, request, id=command_id)

    try:
        return await answered(send)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise nothing_deployed(invocation) from error
        raise


def nothing_deployed(invocation: Invocation, *more: str) -> exits.Exit:
    """Return the Exit for a namespace without a deployment; `more` are further lines."""
    return exits.Exit(
        exits.FAILED,
        f"nothing is deployed in namespace {invocation.namespace} of cluster {invocation.cluster}. Deploy with:",
        ["  " + invocation.again("deploy"), *more],
    )


def new_id(title: str) -> str:
    """Return a unique id under which the outcome is kept, readable in the history."""
    return f"{title.lower()}-{uuid.uuid4()}"


def details(spec: ClusterSpec) -> str:
    """Return the settings of the first deploy, as Markdown for the Temporal UI."""
    rows = {
        "namespace": spec.namespace,
        "cluster": spec.cluster,
        "coordinator": str(spec.coordinator),
        "clients": str(spec.replicas),
        "image": f"{spec.image.pull_host}/{spec.image.repository}",
        "asked by": identity(),
    }
    return "\n".join(f"- **{name}**: `{value}`" for name, value in rows.items())


async def answered(send: Callable[[], Awaitable[Result]]) -> Result:
    """Return what `persistently` returns, and tell the user when that takes long."""
    notice = asyncio.get_running_loop().call_later(
        NOTICE_SECONDS, terminal.note, "no answer yet, from Temporal or a worker; still waiting"
    )
    try:
        return await persistently(send)
    finally:
        notice.cancel()


async def persistently(send: Callable[[], Awaitable[Result]]) -> Result:
    """Send until there is an answer; raise Exit when it is a rejection.

    It is sent again while the run has its 10 updates in flight, and through short outages.
    """
    while True:
        try:
            return await send()
        except WorkflowUpdateFailedError as error:
            raise outcome.rejected(error) from error
        except WorkflowUpdateRPCTimeoutOrCancelledError as error:
            task = asyncio.current_task()
            if task and task.cancelling():  # the SDK hides the cancellation of --timeout and Ctrl-C
                raise asyncio.CancelledError from error
        except RPCError as error:
            if error.status not in RETRIED:
                raise
        await asyncio.sleep(RETRY_SECONDS)
