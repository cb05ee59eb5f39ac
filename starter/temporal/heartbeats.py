"""Read the progress of a deployment's steps from the heartbeats that Temporal keeps."""

import asyncio
import contextlib
from datetime import timedelta
from typing import Any, NamedTuple

from pydantic import ValidationError
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError

from domain import names
from domain.images import TransferProgress
from starter.views import backend
from workflows.backend.workflow import BackendWorkflow

POLL_SECONDS = 1.0
RPC_TIMEOUT = timedelta(seconds=2)
SINGLE_READ_SECONDS = 3.0
AWAITING_PREFIX = "awaiting "  # and the id of a workflow: the step is done there
WORKFLOW_DEPTH = 3  # deployment, its tear-down, and the backend that either waits for
BACKEND_ID_PREFIX = names.backend_id("", "").rstrip("/")


class StepProgress(NamedTuple):
    """The progress of a step in words; where bytes move, also in figures, which are in the words too."""

    text: str = ""
    transfer: TransferProgress | None = None

    def data(self) -> dict[str, Any] | None:
        """Return the progress for programs, None without any; seconds_left is None as long as it is unknown."""
        if not self.text:
            return None
        return {"text": self.text, "transfer": _figures(self.transfer) if self.transfer else None}


class Heartbeats:
    """The heartbeats of one deployment's activities, in its own workflow and in those that it waits for."""

    def __init__(self, client: Client, workflow_id: str) -> None:
        """Begin without progress."""
        self._client = client
        self._id = workflow_id
        self._step = ""
        self._last = StepProgress()
        self._due = 0.0

    async def latest(self, step: str) -> StepProgress:
        """Return the last progress of `step`, empty without one; asks the server at most once a second, never fails."""
        if step != self._step:
            self._step, self._last = step, StepProgress()
        now = asyncio.get_running_loop().time()
        if step and now >= self._due:
            self._due = now + POLL_SECONDS
            with contextlib.suppress(RPCError):  # the status query reports what is wrong with the server
                progress = await self._all_progress(self._id, WORKFLOW_DEPTH)
                self._last = StepProgress(
                    "; ".join(one.text for one in progress),
                    next((one.transfer for one in progress if one.transfer), None),
                )
        return self._last

    async def once(self, step: str) -> StepProgress:
        """Return the last progress of `step`, empty when reading it takes longer than SINGLE_READ_SECONDS."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SINGLE_READ_SECONDS):
                return await self.latest(step)
        return StepProgress()

    async def _all_progress(self, workflow_id: str, depth: int) -> list[StepProgress]:
        description = await self._client.get_workflow_handle(workflow_id).describe(rpc_timeout=RPC_TIMEOUT)
        raw = description.raw_description
        reported = [await self._step_progress(activity) for activity in raw.pending_activities if _is_current(activity)]
        others = [one.text.removeprefix(AWAITING_PREFIX) for one in reported if one.text.startswith(AWAITING_PREFIX)]
        others += [child.workflow_id for child in raw.pending_children]
        progress = [one for one in reported if one.text and not one.text.startswith(AWAITING_PREFIX)]
        for other in others if depth > 1 else []:
            progress += [*await self._steps(other), *await self._all_progress(other, depth - 1)]
        return progress

    async def _steps(self, workflow_id: str) -> list[StepProgress]:
        """Return the steps that a backend works on, as its workflow reports them."""
        if not workflow_id.startswith(BACKEND_ID_PREFIX):
            return []
        handle = self._client.get_workflow_handle_for(BackendWorkflow.run, workflow_id)
        with contextlib.suppress(RPCError, WorkflowQueryFailedError):
            line = backend.progress(await handle.query(BackendWorkflow.status, rpc_timeout=RPC_TIMEOUT))
            return [StepProgress(line)] if line else []
        return []

    async def _step_progress(self, activity: PendingActivityInfo) -> StepProgress:
        """Return a text and the figures that may follow it; other details are for the activity's next attempt."""
        payloads = activity.heartbeat_details.payloads[:2]
        details = await self._client.data_converter.decode(payloads) if payloads else []
        if not details or not isinstance(details[0], str):
            return StepProgress()
        return StepProgress(details[0], _transfer(details[1]) if len(details) > 1 else None)


def _is_current(activity: PendingActivityInfo) -> bool:
    """Return whether the heartbeat is of the running attempt; the server keeps that of a failed one until the next."""
    waiting = activity.state == PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
    began, spoke = activity.last_started_time, activity.last_heartbeat_time
    return not waiting and (spoke.seconds, spoke.nanos) >= (began.seconds, began.nanos)


def _transfer(detail: Any) -> TransferProgress | None:
    """Return the figures; None where the detail is something else, such as that of a newer worker."""
    try:
        return TransferProgress.model_validate(detail)
    except ValidationError:
        return None


def _figures(transfer: TransferProgress) -> dict[str, Any]:
    layers = [{**layer.model_dump(mode="json"), "seconds_left": layer.seconds_left} for layer in transfer.layers]
    return {**transfer.model_dump(mode="json"), "seconds_left": transfer.seconds_left, "layers": layers}
