"""Asks about one backend and changes it: its profile, how it stands, the update that brings it to a desired state."""

from collections.abc import Awaitable, Sequence

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateHandle,
    WorkflowUpdateStage,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from domain import names
from domain.messages.backend import BackendInput, BackendReport, LoadedProfile, ProfileQuestion, ProgramSearch
from domain.spec import BackendMode, ClusterSpec
from starter.cli import exits, terminal
from starter.cli.invocation import Invocation
from starter.cli.progress import Progress
from starter.temporal import session
from starter.temporal.follow import RPC_TIMEOUT, follow_backend
from starter.temporal.heartbeats import Heartbeats
from starter.temporal.updates import answered, new_id, persistently
from starter.views import backend, outcome
from workflows.backend.workflow import BackendWorkflow
from workflows.inspection.lookup import ProfileWorkflow


async def profile(
    client: Client, spec: ClusterSpec, *, named: bool = False, programs: ProgramSearch | None = None
) -> LoadedProfile:
    """The profile as the backend host reads it; Exit with every fault, `named` also says how to do without it.

    With `programs` the programs of its steps are looked for on that host, too.
    """
    try:
        return await client.execute_workflow(
            ProfileWorkflow.run,
            ProfileQuestion.model_validate({**spec.model_dump(), "programs": programs}),
            id=new_id("prover-inspect/profile"),
            task_queue=names.DEPLOY_QUEUE,
            static_summary=f"profile of the backend on {spec.backend.host}, asked by {session.identity()}",
        )
    except WorkflowFailureError as error:
        failed = outcome.failed_workflow(error)
        hint = ["--name NAME, the name in the profile, does without it."] if named else []
        raise exits.Exit(failed.exit_code, failed.message, [*failed.lines, *hint]) from error


async def profile_name(client: Client, spec: ClusterSpec, name: str | None) -> str:
    """The name that was given, else the profile's own."""
    return name or (await profile(client, spec, named=True)).profile.name


def require_steps(steps: Sequence[str], known: Sequence[str], backend: str) -> None:
    """Exit INVALID names each step that the profile does not have."""
    strange = [step for step in steps if step not in known]
    if strange:
        raise exits.Exit(
            exits.INVALID,
            f"backend {backend} has no step {', '.join(strange)}; nothing was changed. Its steps are:",
            [f"  {step}" for step in known],
        )


def handle_of(client: Client, spec: ClusterSpec, name: str) -> WorkflowHandle[BackendWorkflow, BackendReport]:
    """The backend's workflow, whichever run it is in."""
    return client.get_workflow_handle_for(BackendWorkflow.run, names.backend_id(spec.backend.host, name))


async def standing(client: Client, asked: Invocation, spec: ClusterSpec, name: str) -> BackendReport:
    """How a backend that is up stands; Exit FAILED when none is."""
    try:
        report = await handle_of(client, spec, name).query(BackendWorkflow.status, rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise nothing_up(asked, name) from error
        raise
    if report.mode is BackendMode.NONE:
        raise nothing_up(asked, name)
    return report


def nothing_up(asked: Invocation, name: str, *more: str) -> exits.Exit:
    """There is no backend to talk to."""
    return exits.Exit(
        exits.FAILED, f"nothing is up of backend {name}. Bring it up with:", ["  " + asked.again_backend("up"), *more]
    )


async def converge(client: Client, asked: Invocation, request: BackendInput, verb: str) -> BackendReport | None:
    """Ask and follow; the report, whatever came of it. With --no-wait None, and what was accepted is the data."""
    workflow_id = names.backend_id(request.backend.host, request.profile_name)
    request = request.model_copy(update={"request_id": new_id(f"backend-{verb}")})

    def send() -> Awaitable[WorkflowUpdateHandle[BackendReport]]:
        return _update(client, request, workflow_id)

    if request.mode is not BackendMode.NONE:
        await _tell_queued(client, asked, request)
    handle = await answered(send)
    ui = session.ui_page(client, asked, workflow_id)
    look = asked.again_backend("status")
    if not asked.wait:
        value = {"request": handle.id, "workflow": workflow_id, "ui": ui}
        terminal.data(value, asked.output, f"request  {handle.id}\nUI       {ui}")
        terminal.note(f"accepted. Look at it with: {look}")
        return None
    progress = Progress()
    progress.say(f"accepted as {handle.id}; follow it in the UI too: {ui}")

    async def result() -> BackendReport:
        try:
            return await persistently(handle.result)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise exits.Exit(exits.FAILED, f"the workflow {workflow_id} is gone. See: {ui}") from error
            raise

    async def status() -> BackendReport:
        return await handle_of(client, request.spec, request.profile_name).query(
            BackendWorkflow.status, rpc_timeout=RPC_TIMEOUT
        )

    return await follow_backend(result, status, progress, Heartbeats(client, workflow_id).latest)


async def _tell_queued(client: Client, asked: Invocation, request: BackendInput) -> None:
    """Say so when another change of the backend is under way, which this one has to await."""
    try:
        report = await handle_of(client, request.spec, request.profile_name).query(
            BackendWorkflow.status, rpc_timeout=RPC_TIMEOUT
        )
    except (RPCError, WorkflowQueryFailedError):
        return  # nothing is up, or nobody can tell
    if report.busy:
        terminal.note(backend.queued(report, asked.again_backend("stop")))


def _update(client: Client, request: BackendInput, workflow_id: str) -> Awaitable[WorkflowUpdateHandle[BackendReport]]:
    # An operation serves one call only, hence a new one for each try; the ids stay.
    start = WithStartWorkflowOperation(
        BackendWorkflow.run,
        request,
        id=workflow_id,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        task_queue=names.DEPLOY_QUEUE,
        static_summary=f"backend {request.profile_name} on {request.backend.host}",
    )
    return client.start_update_with_start_workflow(
        BackendWorkflow.converge,
        request,
        id=request.request_id,
        start_workflow_operation=start,
        wait_for_stage=WorkflowUpdateStage.ACCEPTED,
    )
