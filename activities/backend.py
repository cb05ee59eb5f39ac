"""Bringing a shared backend to its desired state from a deployment: start BackendWorkflow or join it, and await it."""

import asyncio
from typing import Any

from temporalio import activity
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateHandle,
    WorkflowUpdateStage,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from domain import names
from domain.errors import Unavailable
from domain.messages.backend import BackendInput, BackendReport

BEAT_EVERY = 3.0  # seconds; a third of the heartbeat timeout


class BackendActivities:
    """Needs the Temporal client, since a workflow cannot join another that already runs."""

    def __init__(self, client: Client) -> None:
        """Take the worker's own connection to Temporal."""
        self._client = client

    @activity.defn
    async def converge_backend(self, request: BackendInput) -> BackendReport:
        """USE_EXISTING start plus update `converge`, awaited with heartbeats; cancelling leaves the backend running."""
        workflow_id = names.backend_id(request.backend.host, request.profile_name)
        beating = asyncio.create_task(_beat(workflow_id))
        try:
            handle = await self._join(request, workflow_id)
            return await handle.result()
        except WorkflowUpdateFailedError as error:
            raise error.cause or error from None
        except RPCError as error:
            raise Unavailable(
                "the backend's workflow does not answer", on=workflow_id, evidence=f"{error.status.name}: {error}"
            ) from error
        finally:
            beating.cancel()

    async def _join(self, request: BackendInput, workflow_id: str) -> WorkflowUpdateHandle[BackendReport]:
        start: WithStartWorkflowOperation[Any, BackendReport] = WithStartWorkflowOperation(
            "BackendWorkflow",
            request,
            id=workflow_id,
            task_queue=names.DEPLOY_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"backend {request.profile_name} on {request.backend.host}",
        )
        info = activity.info()
        # a repeated activity finds its own update again, whichever worker does it
        update_id = request.request_id or f"{info.workflow_run_id}/{info.activity_id}"
        return await self._client.start_update_with_start_workflow(
            "converge",
            request,
            id=update_id,
            start_workflow_operation=start,
            wait_for_stage=WorkflowUpdateStage.ACCEPTED,
            result_type=BackendReport,
        )


async def _beat(workflow_id: str) -> None:
    while True:
        activity.heartbeat(f"awaiting {workflow_id}")
        await asyncio.sleep(BEAT_EVERY)
