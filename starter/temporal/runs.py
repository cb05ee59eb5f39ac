"""Find the open run of a workflow, and ask it while a worker answers."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio.client import Client, WorkflowExecutionDescription, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.types import MethodSyncOrAsyncNoParam

from starter.cli.exits import Exit
from starter.cli.invocation import Invocation
from starter.temporal.follow import OPEN, RPC_TIMEOUT
from starter.temporal.session import polled, queues, ui_page

Workflow = TypeVar("Workflow")
T = TypeVar("T")


async def open_run(
    client: Client, asked: Invocation, workflow_id: str, missing: Callable[..., Exit]
) -> WorkflowExecutionDescription:
    """Return the open run; raise what `missing` returns when there is none, given a line about the last one."""
    try:
        run = await client.get_workflow_handle(workflow_id).describe(rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise missing() from error
        raise
    if run.status in OPEN:
        return run
    ended = f"{run.close_time:%Y-%m-%dT%H:%M:%SZ}" if run.close_time else "some time ago"
    how = run.status.name.lower() if run.status else "ended"
    raise missing(f"The last one ended {ended} ({how}): {ui_page(client, asked, workflow_id)}")


async def queried(
    client: Client,
    handle: WorkflowHandle[Workflow, Any],
    query: MethodSyncOrAsyncNoParam[Workflow, T],
    within: timedelta = RPC_TIMEOUT,
) -> T | None:
    """Return the workflow's answer, or None without one in time; at once when no worker polls."""
    if not await polled(client, queues("")[0]):
        return None
    try:
        async with asyncio.timeout(within.total_seconds()):
            return await handle.query(query, rpc_timeout=within)
    except (RPCError, WorkflowQueryFailedError, TimeoutError):
        return None
