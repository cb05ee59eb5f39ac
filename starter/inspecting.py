"""Asks InspectWorkflow one question: the way of `nodes`, `preflight`, `plan` and `diagnose` to the worker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from temporalio.client import Client, WorkflowFailureError

from domain import names
from domain.spec import ClusterSpec
from domain.steps import InspectInput, Inspection
from starter import session, verdict
from starter.asking import new_id
from starter.invocation import Invocation
from workflows.inspect import InspectWorkflow


async def inspect(asked: Invocation, request: InspectInput, *, host: str = "") -> Inspection:
    """The answer; `host` names the backend host when its worker is needed, too. Exit with the diagnosis."""
    async with connected(asked, request.spec, host=host) as client:
        return await answer(client, request)


@asynccontextmanager
async def connected(asked: Invocation, spec: ClusterSpec, *, host: str = "") -> AsyncIterator[Client]:
    """A connection, with somebody who polls what an inspection needs: never the watches."""
    watches = names.watch_queue(spec.cluster)
    needed = [queue for queue in session.queues(spec.cluster, host) if queue.name != watches]
    async with session.session(asked, needed) as client:
        yield client


async def answer(client: Client, request: InspectInput) -> Inspection:
    """What the worker says; Exit with the diagnosis."""
    where = f"{request.spec.namespace} on cluster {request.spec.cluster}"
    try:
        return await client.execute_workflow(
            InspectWorkflow.run,
            request,
            id=new_id(f"prover-inspect/{request.what}"),
            task_queue=names.DEPLOY_QUEUE,
            static_summary=f"{request.what} of {where}, asked by {session.identity()}",
        )
    except WorkflowFailureError as error:
        raise verdict.failed_workflow(error) from error
