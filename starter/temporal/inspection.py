"""Ask InspectWorkflow one question, for `nodes`, `preflight`, `plan` and `diagnose`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from temporalio.client import Client, WorkflowFailureError, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError

from domain import names
from domain.messages.inspection import InspectInput, Inspection
from domain.spec import ClusterSpec
from starter.cli.invocation import Invocation
from starter.cli.progress import Progress
from starter.temporal import session
from starter.temporal.heartbeats import Heartbeats
from starter.temporal.updates import new_id
from starter.views import outcome
from workflows.inspection.workflow import InspectWorkflow

PROGRESS_SECONDS = 2.0  # between two reports


async def inspect(asked: Invocation, request: InspectInput, *, host: str = "") -> Inspection:
    """Return the answer; `host` names the backend host when its worker is needed. Raise Exit with the diagnosis."""
    async with connected(asked, request.spec, host=host) as client:
        return await answer(client, request)


@asynccontextmanager
async def connected(asked: Invocation, spec: ClusterSpec, *, host: str = "") -> AsyncIterator[Client]:
    """Connect, and require pollers of the queues that an inspection needs, which are never the watches."""
    watches = names.watch_queue(spec.cluster)
    needed = [queue for queue in session.queues(spec.cluster, host) if queue.name != watches]
    async with session.session(asked, needed) as client:
        yield client


async def answer(client: Client, request: InspectInput) -> Inspection:
    """Return the worker's answer and show its progress meanwhile; raise Exit with the diagnosis."""
    where = f"{request.spec.namespace} on cluster {request.spec.cluster}"
    handle = await client.start_workflow(
        InspectWorkflow.run,
        request,
        id=new_id(f"prover-inspect/{request.what}"),
        task_queue=names.DEPLOY_QUEUE,
        static_summary=f"{request.what} of {where}, asked by {session.identity()}",
    )
    progress = Progress()
    showing = asyncio.create_task(_show_progress(client, handle, request.what, progress))
    try:
        return await handle.result()
    except WorkflowFailureError as error:
        raise outcome.failed_workflow(error) from error
    finally:
        showing.cancel()
        progress.end()


async def _show_progress(
    client: Client, handle: WorkflowHandle[InspectWorkflow, Inspection], what: str, progress: Progress
) -> None:
    """Show the progress of an inspection that takes longer than PROGRESS_SECONDS."""
    heartbeats = Heartbeats(client, handle.id)
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        retry = None
        with suppress(RPCError, WorkflowQueryFailedError):
            retry = await handle.query(InspectWorkflow.retry, rpc_timeout=session.RPC_TIMEOUT)
        if retry:
            progress.trouble(retry.diagnosis.code, f"will try again to {retry.step}: ", str(retry.diagnosis))
        elif text := (await heartbeats.latest(what)).text:
            progress.show(what, what, text)
