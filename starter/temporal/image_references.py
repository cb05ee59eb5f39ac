"""Collect the images that the release histories of all deployments name, and ask the backend host about images."""

import asyncio
from datetime import timedelta

from temporalio.client import Client, WorkflowExecution, WorkflowExecutionStatus

from domain.images import ImagesReport, ImagesRequest
from domain.messages.inspection import InspectInput
from domain.spec import ClusterSpec
from domain.status import Status
from planning.image import retention
from starter.cli import exits
from starter.cli.invocation import Invocation
from starter.temporal import inspection, session
from starter.temporal.deployments import WORKFLOW_TYPE, deployment_status

CONCURRENT_QUERIES = 10
QUERY_TIMEOUT = timedelta(seconds=30)  # for each: a busy worker reads the whole history of one that has ended


async def survey(asked: Invocation, spec: ClusterSpec, keep: int, *, prune: bool) -> ImagesReport:
    """Return the images and what keeps them, and with `prune` remove the others; raise Exit with the diagnosis."""
    async with session.session(asked, session.backend_queues(spec.backend.host)) as client:
        named, unsure = await _named(client)
        if prune and unsure:
            raise exits.Exit(
                exits.REFUSED,
                "nothing was removed, for not every release history could be read:",
                [f"  {one}" for one in unsure],
            )
        request = ImagesRequest(backend=spec.backend, target=spec.image, prune=prune, keep=keep, named=named)
        answer = await inspection.answer(
            client, InspectInput(spec=spec, replicas=spec.replicas, what="images", images=request)
        )
    report = answer.images or ImagesReport()
    return report.model_copy(update={"warnings": [*unsure, *report.warnings]})


async def _named(client: Client) -> tuple[dict[str, list[str]], list[str]]:
    """Return what names an image, and the reasons why that may be incomplete."""
    runs = await _last_runs(client)
    gate = asyncio.Semaphore(CONCURRENT_QUERIES)

    async def read(run: WorkflowExecution) -> Status | None:
        async with gate:
            return await deployment_status(client, run.id, QUERY_TIMEOUT)

    found = dict(zip((run.id for run in runs), await asyncio.gather(*map(read, runs)), strict=True))
    unsure = []
    for run in runs:
        status = found[run.id]
        if status is None:
            unsure.append(f"{run.id} does not answer: see that a worker of role deploy runs, then try again.")
        elif run.status is WorkflowExecutionStatus.RUNNING and retention.unrecorded(status):
            unsure.append(f"{run.id} is {status.phase} and may name another image soon: try again when it serves.")
    return retention.merged([retention.naming(name, status) for name, status in found.items() if status]), unsure


async def _last_runs(client: Client) -> list[WorkflowExecution]:
    """Return the last run of each deployment that is not completed: clients of one cut short may still run."""
    query = f'WorkflowType="{WORKFLOW_TYPE}" AND ExecutionStatus!="ContinuedAsNew"'
    last: dict[str, WorkflowExecution] = {}
    async for run in client.list_workflows(query):
        if run.id not in last or last[run.id].start_time < run.start_time:
            last[run.id] = run
    return [run for run in last.values() if run.status is not WorkflowExecutionStatus.COMPLETED]
