"""Sends a command to a deployment, and starts the deployment when there is none; a repeated try asks nothing twice."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
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
Answer = TypeVar("Answer")
Update = UpdateMethodMultiParam[[ProverClusterWorkflow, Request], Receipt]

TRY_AGAIN = {RPCStatusCode.RESOURCE_EXHAUSTED, RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED}
PAUSE = 0.5  # seconds between tries
UNHEARD = 10.0  # seconds without an answer after which the user is told


async def start_or_ask(client: Client, spec: ClusterSpec, update: Update[Request], request: Request) -> Receipt:
    """Update-with-start: exactly one deployment a namespace, however many ask at once."""
    is_deploy = isinstance(request, Upgrade)
    command_id = new_id("deploy" if is_deploy else type(request).__name__)
    known = await search.registered(client)

    def send() -> Awaitable[Receipt]:
        # An operation serves one call only, hence a new one for each try; the ids stay.
        start = WithStartWorkflowOperation(
            ProverClusterWorkflow.run,
            ClusterInput(
                spec=spec,
                search_attributes=known,
                command_id=command_id if is_deploy else "",
                by=identity(),
            ),
            id=spec.deployment_id,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            task_queue=names.DEPLOY_QUEUE,
            static_summary=f"prove-clients in {spec.namespace} on cluster {spec.cluster}",
            static_details=details(spec),
            memo={"namespace": spec.namespace, "cluster": spec.cluster},
        )
        return client.execute_update_with_start_workflow(update, request, id=command_id, start_workflow_operation=start)

    return await answered(send)


async def ask(
    client: Client, invocation: Invocation, workflow_id: str, update: Update[Request], request: Request
) -> Receipt:
    """An update of a running deployment; Exit FAILED when there is none."""
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


def nothing_deployed(invocation: Invocation) -> exits.Exit:
    """There is no open deployment to talk to."""
    return exits.Exit(
        exits.FAILED,
        f"nothing is deployed in namespace {invocation.namespace} of cluster {invocation.cluster}. Deploy with:",
        ["  " + invocation.again("deploy")],
    )


def new_id(title: str) -> str:
    """The id under which the outcome is kept: readable in history, unique."""
    return f"{title.lower()}-{uuid.uuid4()}"


def details(spec: ClusterSpec) -> str:
    """What was asked for first, as Markdown for the Temporal UI."""
    rows = {
        "namespace": spec.namespace,
        "cluster": spec.cluster,
        "coordinator": str(spec.coordinator),
        "clients": str(spec.replicas),
        "image": f"{spec.image.pull_host}/{spec.image.repository}",
        "asked by": identity(),
    }
    return "\n".join(f"- **{name}**: `{value}`" for name, value in rows.items())


async def answered(send: Callable[[], Awaitable[Answer]]) -> Answer:
    """What comes of `persistently`; the user is told when that takes long."""
    told = asyncio.get_running_loop().call_later(
        UNHEARD, terminal.note, "no answer yet, from Temporal or a worker; still waiting"
    )
    try:
        return await persistently(send)
    finally:
        told.cancel()


async def persistently(send: Callable[[], Awaitable[Answer]]) -> Answer:
    """The answer, through crowds (10 updates in flight a run) and short outages; Exit when it was rejected."""
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
            if error.status not in TRY_AGAIN:
                raise
        await asyncio.sleep(PAUSE)
