"""Follow a command or a change of a backend until its end, through outages of worker and server alike."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from temporalio.client import WorkflowExecution, WorkflowExecutionStatus, WorkflowFailureError, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from domain.commands import Outcome
from domain.messages.backend import BackendReport
from domain.profile import StepState
from domain.status import Status
from starter.cli import exits, terminal
from starter.cli.progress import Progress
from starter.temporal.heartbeats import StepProgress
from starter.views import backend, deployment
from starter.views.outcome import CommandEnd
from workflows.deployment.workflow import ProverClusterWorkflow

T = TypeVar("T")

POLL_SECONDS = 0.25  # half of it is what following adds to a deploy
RPC_TIMEOUT = timedelta(seconds=5)
FAILED_QUERIES = 3  # in a row, before the run itself is read
OPEN = {WorkflowExecutionStatus.RUNNING, WorkflowExecutionStatus.CONTINUED_AS_NEW}

Detail = Callable[[str], Awaitable[StepProgress]]  # from the step to the progress that it reports
Ask = Callable[[], Awaitable[BackendReport]]


class Handle(Protocol):
    """The part of Temporal's workflow handle that following needs."""

    async def query(self, query: Any, *, rpc_timeout: timedelta) -> Status:
        """Ask the workflow."""
        ...

    async def describe(self, *, rpc_timeout: timedelta) -> WorkflowExecution:
        """Ask the server."""
        ...

    async def result(self) -> Outcome | None:
        """Wait for the end of a run and return its result."""
        ...


async def _no_detail(_step: str) -> StepProgress:
    return StepProgress()


async def follow_command(
    handle: Handle, command_id: str, progress: Progress, detail: Detail = _no_detail, *, every: float = POLL_SECONDS
) -> CommandEnd:
    """Return the outcome of this command, or its question; raise Exit FAILED when the run ended without one.

    `detail` may know more of a step than the workflow does; `every` is in seconds.
    """

    async def look() -> CommandEnd | None:
        status = await handle.query(ProverClusterWorkflow.status, rpc_timeout=RPC_TIMEOUT)
        outcome = next((one for one in reversed(status.outcomes) if one.command_id == command_id), None)
        if outcome or (status.question and status.question.command_id == command_id):
            return CommandEnd(outcome, status)
        _show(status, progress, await detail(status.step))
        return None if status.pending or status.step else await _run_end(handle, command_id, status)

    async def lost() -> CommandEnd | None:
        return await _run_end(handle, command_id, None)

    return await _poll(look, progress, every, lost=lost)


async def follow_backend(
    result: Ask, status: Ask, progress: Progress, detail: Detail, *, every: float = POLL_SECONDS
) -> BackendReport:
    """Return what `result` returns in the end; `status` and `detail` are asked every `every` seconds meanwhile."""
    steps = Steps(progress)

    async def look() -> None:
        report = await status()
        said = await detail(",".join(row.name for row in backend.working(report)))
        steps.show(report, said.text)

    ending = asyncio.ensure_future(result())
    try:
        return await _poll(look, progress, every, ending=ending)
    finally:
        ending.cancel()


async def _nothing() -> None:
    return None


async def _poll(
    look: Callable[[], Awaitable[T | None]],
    progress: Progress,
    every: float,
    *,
    lost: Callable[[], Awaitable[T | None]] = _nothing,
    ending: asyncio.Future[T] | None = None,
) -> T:
    """Return the first result of `look` or `ending`; after several failed queries in a row `lost` is asked, too."""
    failures = 0
    try:
        while not (ending and ending.done()):
            try:
                found = await look()
                failures = 0
            except (RPCError, WorkflowQueryFailedError) as error:
                progress.show(outage(error), "trouble")
                failures += 1
                found = await lost() if failures >= FAILED_QUERIES else None
            if found is not None:
                return found
            pause = every * (1 + min(failures, FAILED_QUERIES))
            await (asyncio.wait([ending], timeout=pause) if ending else asyncio.sleep(pause))
        return ending.result()
    finally:
        progress.end()


def _show(status: Status, progress: Progress, said: StepProgress) -> None:
    """Show the trouble before the line of progress, since that one is overwritten."""
    trouble = deployment.trouble(status)
    progress.trouble(*(trouble or ("", "", "")))
    progress.show(deployment.progress(status), status.phase, said.text, said.transfer)


def outage(error: RPCError | WorkflowQueryFailedError) -> str:
    """Say why a query failed: the server is away, no worker is there, or the worker cannot replay the run."""
    if isinstance(error, WorkflowQueryFailedError):
        return f"the worker cannot answer: {error}"
    if error.status is RPCStatusCode.UNAVAILABLE:
        return "Temporal does not answer; reconnecting"
    if error.status in {RPCStatusCode.FAILED_PRECONDITION, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}:
        return "no answer from a worker; reconnecting (start one with `proverctl worker` if none runs)"
    return f"Temporal answers {error.status.name}: {error.message}; reconnecting"


async def _run_end(handle: Handle, command_id: str, status: Status | None) -> CommandEnd | None:
    """Return the outcome of a closed run, by its result; None while it is open or the server is away."""
    try:
        run = await handle.describe(rpc_timeout=RPC_TIMEOUT)
        if run.status in OPEN:
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
    return CommandEnd(outcome, status)


class Steps:
    """The states of a backend's steps as last shown: a line for each that settles, one overwritten for the others."""

    def __init__(self, progress: Progress) -> None:
        """Begin without any state shown."""
        self._progress = progress
        self._known: dict[str, StepState] = {}

    def show(self, report: BackendReport, detail: str) -> None:
        """Show what is new; the first report of a backend without work under way is from before the change."""
        line = backend.progress(report)
        if line or self._known:
            for head, text in backend.settled_lines(self._known, report.steps):
                self._progress.settle(text, head=head)
        self._known = {row.name: row.state for row in report.steps}
        if line and report.diagnosis:  # else it is shown at the end
            found = report.diagnosis
            self._progress.trouble(f"{found.code} {found.on}", "", terminal.clean(str(found)))
        if line:
            self._progress.show(line, "steps", detail)
