"""Asks InspectWorkflow one question: the way of `nodes`, `preflight`, `plan` and `diagnose` to the worker."""

from temporalio.client import WorkflowFailureError

from domain import names
from domain.steps import InspectInput, Inspection
from starter import session, verdict
from starter.asking import new_id
from starter.invocation import Invocation
from workflows.inspect import InspectWorkflow


async def inspect(asked: Invocation, request: InspectInput, *, host: str = "") -> Inspection:
    """The answer; `host` names the backend host when its worker is needed, too. Exit with the diagnosis."""
    spec = request.spec
    unneeded = names.watch_queue(spec.cluster)
    needed = [queue for queue in session.queues(spec.cluster, host) if queue.name != unneeded]
    async with session.session(asked, needed) as client:
        try:
            return await client.execute_workflow(
                InspectWorkflow.run,
                request,
                id=new_id(f"prover-inspect/{request.what}"),
                task_queue=names.DEPLOY_QUEUE,
                static_summary=f"{request.what} of {spec.namespace} on cluster {spec.cluster}, "
                f"asked by {session.identity()}",
            )
        except WorkflowFailureError as error:
            raise verdict.failed_workflow(error) from error
