"""What the steps of a deployment say of their progress, read from the heartbeats that Temporal keeps."""

import asyncio
import contextlib
from datetime import timedelta

from temporalio.api.common.v1 import Payloads
from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError

from domain import names
from starter import backend_summary
from workflows.backend import BackendWorkflow

EVERY = 1.0  # seconds between two looks
RPC = timedelta(seconds=2)
AWAITING = "awaiting "  # and the id of a workflow: the step is done there
DEPTH = 3  # deployment, its tear-down, and the backend that either waits for
BACKEND = names.backend_id("", "").rstrip("/")


class Heartbeats:
    """Of the activities that run for one deployment, in its own workflow and in those that it waits for."""

    def __init__(self, client: Client, workflow_id: str) -> None:
        """Nothing is known yet."""
        self._client = client
        self._id = workflow_id
        self._step = ""
        self._text = ""
        self._due = 0.0

    async def latest(self, step: str) -> str:
        """The last ones, empty when nothing was said since `step` began; it never fails and asks once a second."""
        if step != self._step:
            self._step, self._text = step, ""
        now = asyncio.get_running_loop().time()
        if step and now >= self._due:
            self._due = now + EVERY
            with contextlib.suppress(RPCError):  # a nicety: the query tells what is wrong with the server
                self._text = "; ".join(await self._said(self._id, DEPTH))
        return self._text

    async def _said(self, workflow_id: str, depth: int) -> list[str]:
        description = await self._client.get_workflow_handle(workflow_id).describe(rpc_timeout=RPC)
        raw = description.raw_description
        texts = [await self._text_of(activity.heartbeat_details) for activity in raw.pending_activities]
        others = [text.removeprefix(AWAITING) for text in texts if text.startswith(AWAITING)]
        others += [child.workflow_id for child in raw.pending_children]
        said = [text for text in texts if text and not text.startswith(AWAITING)]
        for other in others if depth > 1 else []:
            said += [*await self._steps(other), *await self._said(other, depth - 1)]
        return said

    async def _steps(self, workflow_id: str) -> list[str]:
        """The steps that a backend works on, as it knows them itself."""
        if not workflow_id.startswith(BACKEND):
            return []
        handle = self._client.get_workflow_handle_for(BackendWorkflow.run, workflow_id)
        with contextlib.suppress(RPCError, WorkflowQueryFailedError):
            line = backend_summary.progress(await handle.query(BackendWorkflow.status, rpc_timeout=RPC))
            return [line] if line else []
        return []

    async def _text_of(self, details: Payloads) -> str:
        """Progress is said in words; other details are for the activity's next attempt."""
        if not details.payloads:
            return ""
        first = (await self._client.data_converter.decode(details.payloads[:1]))[0]
        return first if isinstance(first, str) else ""
