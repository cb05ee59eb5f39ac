"""Follows one command until its outcome by the query `status`, through outages of worker and server alike."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Protocol

from temporalio.client import WorkflowExecution, WorkflowExecutionStatus, WorkflowFailureError, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from domain.commands import Outcome
from domain.status import Status
from starter.cli import exits
from starter.cli.progress import Progress
from starter.temporal.heartbeats import Said
from starter.views import deployment
from starter.views.outcome import Ended
from workflows.deployment.workflow import ProverClusterWorkflow

LOOK_EVERY = 0.25  # seconds; half of it is what following adds to a deploy
RPC = timedelta(seconds=5)
PATIENCE = 3  # failed queries in a row before the run itself is looked at
GOING_ON = {WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW}


Detail = Callable[[str], Awaitable[Said]]  # from the step to what it says of its progress


class Handle(Protocol):
    """The part of Temporal's workflow handle that following needs."""

    async def query(self, query: Any, *, rpc_timeout: timedelta) -> Status:
        """Ask the workflow."""
        ...

    async def describe(self, *, rpc_timeout: timedelta) -> WorkflowExecution:
        """Ask the server."""
        ...

    async def result(self) -> Outcome | None:
        """The end of a run."""
        ...


async def _no_detail(_step: str) -> Said:
    return Said()


async def follow(
    handle: Handle, command_id: str, progress: Progress, detail: Detail = _no_detail, *, every: float = LOOK_EVERY
) -> Ended:
    """The outcome of this command, or its question; Exit FAILED when the run ended without one.

    `detail` may know more of a step than the workflow does.
    """
    failures = 0
    try:
        while True:
            status = await _status(handle, progress)
            failures = 0 if status else failures + 1
            if status:
                outcome = _outcome(status, command_id)
                if outcome or (status.question and status.question.command_id == command_id):
                    return Ended(outcome, status)
                _show(status, progress, await detail(status.step))
            if failures >= PATIENCE or (status and not status.pending and not status.step):
                ended = await _look_at_run(handle, command_id, status)
                if ended:
                    return ended
            await asyncio.sleep(every * (1 + min(failures, PATIENCE)))
    finally:
        progress.end()


def _show(status: Status, progress: Progress, said: Said) -> None:
    """The trouble before the line of progress, since that one is overwritten."""
    trouble = deployment.trouble(status)
    progress.trouble(*(trouble or ("", "", "")))
    progress.show(deployment.progress(status), status.phase, said.text, said.transfer)


async def _status(handle: Handle, progress: Progress) -> Status | None:
    try:
        return await handle.query(ProverClusterWorkflow.status, rpc_timeout=RPC)
    except (RPCError, WorkflowQueryFailedError) as error:
        progress.show(outage(error), "trouble")
        return None


def _outcome(status: Status, command_id: str) -> Outcome | None:
    return next((one for one in reversed(status.outcomes) if one.command_id == command_id), None)


def outage(error: RPCError | WorkflowQueryFailedError) -> str:
    """A query fails while the server is away, while no worker is there, or while the worker cannot replay the run."""
    if isinstance(error, WorkflowQueryFailedError):
        return f"the worker cannot answer: {error}"
    if error.status is RPCStatusCode.UNAVAILABLE:
        return "Temporal does not answer; reconnecting"
    if error.status in {RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}:
        return "no answer from a worker; reconnecting (start one with `proverctl worker` if none runs)"
    return f"Temporal answers {error.status.name}: {error.message}; reconnecting"


async def _look_at_run(handle: Handle, command_id: str, status: Status | None) -> Ended | None:
    """The outcome of a closed run, by its result; None while it is open or the server is away."""
    try:
        run = await handle.describe(rpc_timeout=RPC)
        if run.status in GOING_ON:
            return None
        outcome = await handle.result()
    except WorkflowFailureError as error:
        cause = error.cause or error
        raise exits.Exit(exits.FAILED, f"the deployment ended: {getattr(cause, 'message', '') or cause}") from error
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise exits.Exit(exits.FAILED, "the deployment is gone from Temporal's database") from error
        return None
    if outcome is None or outcome.command_id != command_id:
        last = f" with {outcome.title}: {outcome.message}" if outcome else ""
        raise exits.Exit(exits.FAILED, f"the deployment ended{last}")
    return Ended(outcome, status)
