"""Read the log of a step in chunks through the worker on the backend's host."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import click
from temporalio.client import Client, WorkflowFailureError, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from domain import names
from domain.messages.backend import LogChunk, LogRequest
from domain.profile import StepState
from domain.spec import BackendMode, ClusterSpec
from starter.cli import exits, terminal
from starter.cli.invocation import Invocation
from starter.temporal import session
from starter.temporal.backend_updates import handle_of, profile, require_steps
from starter.temporal.follow import RPC_TIMEOUT
from starter.temporal.updates import new_id
from starter.views import outcome
from workflows.backend.workflow import BackendWorkflow
from workflows.inspection.lookup import LogWorkflow

CHUNK_BYTES = 131072
POLL_SECONDS = 5.0  # that one request waits for more; the end of a step is noticed that late
ENDED_STATES = {StepState.DONE, StepState.SKIPPED, StepState.FAILED, StepState.STOPPED}

ReadChunk = Callable[[LogRequest], Awaitable[LogChunk]]
HasEnded = Callable[[], Awaitable[bool]]


class LogSelection(NamedTuple):
    """The part of a log to show; `name` is the profile's where it was given."""

    step: str
    lines: int
    follow: bool
    name: str


async def show(asked: Invocation, spec: ClusterSpec, wanted: LogSelection) -> None:
    """Write the log to stdout; Exit when there is none, or no such step."""
    async with session.session(asked, session.backend_queues(spec.backend.host)) as client:
        name = wanted.name or await _profile_of(client, spec, wanted.step)

        async def read(request: LogRequest) -> LogChunk:
            return await _read(client, request)

        request = LogRequest(backend=spec.backend, profile=name, step=wanted.step, limit=CHUNK_BYTES)
        chunk = await tail(read, request, wanted.lines)
        if not chunk.exists and not wanted.follow:
            raise _no_log(asked, name, wanted.step)
        if asked.output != "text":
            terminal.data({"backend": name, "step": wanted.step, **chunk.model_dump(mode="json")}, asked.output, "")
            return
        _write(chunk.text)
        if wanted.follow:

            async def over() -> bool:
                return await _over(client, spec, name, wanted.step)

            await pursue(read, request.model_copy(update={"offset": chunk.next, "wait": POLL_SECONDS}), over, _write)


async def tail(read: ReadChunk, request: LogRequest, lines: int) -> LogChunk:
    """Return the last lines of the log as one chunk, read backwards until there are enough."""
    chunk = await read(request)
    text, start = chunk.text, chunk.offset
    while start > 0 and text.count("\n") <= lines:
        earlier = max(0, start - CHUNK_BYTES)
        before = await read(request.model_copy(update={"offset": earlier, "limit": start - earlier}))
        if before.next != start:
            break  # the log has started again from the beginning
        text, start = before.text + text, earlier
    return chunk.model_copy(update={"text": "".join(text.splitlines(keepends=True)[-lines:] if lines else [])})


async def pursue(read: ReadChunk, request: LogRequest, over: HasEnded, write: Callable[[str], None]) -> None:
    """Write what comes, until the step is over and its log at its end."""
    while True:
        ended = await over()
        chunk = await read(request.model_copy(update={"wait": 0.0} if ended else {}))
        write(chunk.text)
        if ended and chunk.next == request.offset:
            return
        request = request.model_copy(update={"offset": chunk.next})


async def _profile_of(client: Client, spec: ClusterSpec, step: str) -> str:
    found = (await profile(client, spec, named=True)).profile
    require_steps([step], [one.name for one in found.steps], found.name)
    return found.name


async def _read(client: Client, request: LogRequest) -> LogChunk:
    try:
        return await client.execute_workflow(
            LogWorkflow.run,
            request,
            id=new_id("prover-inspect/log"),
            task_queue=names.DEPLOY_QUEUE,
            static_summary=f"log of {request.step} of backend {request.profile}, asked by {session.identity()}",
        )
    except WorkflowFailureError as error:
        raise outcome.failed_workflow(error) from error


async def _over(client: Client, spec: ClusterSpec, name: str, step: str) -> bool:
    """Return whether the step has ended, as far as that is known; a process may be started again while it is up."""
    try:
        report = await handle_of(client, spec, name).query(BackendWorkflow.status, rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        return error.status is RPCStatusCode.NOT_FOUND
    except WorkflowQueryFailedError:
        return False
    row = next((row for row in report.steps if row.name == step), None)
    if row is None or report.mode is BackendMode.NONE:
        return row is None or row.state in ENDED_STATES
    return row.kind != "process" and row.state in ENDED_STATES


def _no_log(asked: Invocation, name: str, step: str) -> exits.Exit:
    return exits.Exit(
        exits.FAILED,
        f"step {step} of backend {name} has written no log: it did not run yet, or its backend was purged. See:",
        ["  " + asked.again_backend("status")],
    )


def _write(text: str) -> None:
    click.echo(terminal.clean(text), nl=False)
