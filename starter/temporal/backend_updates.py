"""Read the profile and the status of one backend, and send the update that changes its desired state."""

from collections.abc import Sequence

from temporalio.client import (
    Client,
    WorkflowFailureError,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateHandle,
    WorkflowUpdateStage,
)
from temporalio.service import RPCError, RPCStatusCode

from domain import names
from domain.messages.backend import BackendInput, BackendReport, LoadedProfile, ProfileQuestion, ProgramSearch
from domain.spec import BackendMode, ClusterSpec
from starter.cli import exits, terminal
from starter.cli.invocation import Invocation
from starter.temporal import session
from starter.temporal.follow import RPC_TIMEOUT, follow_backend
from starter.temporal.heartbeats import Heartbeats
from starter.temporal.outcome import accepted
from starter.temporal.updates import Start, answered, new_id, persistently, update_with_start
from starter.views import backend, outcome
from workflows.backend.workflow import BackendWorkflow
from workflows.inspection.lookup import ProfileWorkflow


async def profile(
    client: Client, spec: ClusterSpec, *, named: bool = False, programs: ProgramSearch | None = None
) -> LoadedProfile:
    """Return the profile as the backend host reads it; raise Exit with all its problems, `named` adds a hint.

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
    """Return the given name, else the profile's own."""
    return name or (await profile(client, spec, named=True)).profile.name


def require_steps(steps: Sequence[str], known: Sequence[str], backend: str) -> None:
    """Raise Exit INVALID with each step that the profile does not have."""
    strange = [step for step in steps if step not in known]
    if strange:
        raise exits.Exit(
            exits.INVALID,
            f"backend {backend} has no step {', '.join(strange)}; nothing was changed. Its steps are:",
            [f"  {step}" for step in known],
        )


def handle_of(client: Client, spec: ClusterSpec, name: str) -> WorkflowHandle[BackendWorkflow, BackendReport]:
    """Return the handle of the backend's workflow, for whichever run is open."""
    return client.get_workflow_handle_for(BackendWorkflow.run, names.backend_id(spec.backend.host, name))


async def running(client: Client, asked: Invocation, spec: ClusterSpec, name: str) -> BackendReport:
    """Return the status of a backend that is up; raise Exit FAILED when none is."""
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
    """Return the Exit for a backend that is not up; `more` are further lines."""
    return exits.Exit(
        exits.FAILED, f"nothing is up of backend {name}. Bring it up with:", ["  " + asked.again_backend("up"), *more]
    )


async def converge(client: Client, asked: Invocation, request: BackendInput, verb: str) -> BackendReport | None:
    """Send the change and follow it; return its report, or None with --no-wait, where what was accepted is the data."""
    workflow_id = names.backend_id(request.backend.host, request.profile_name)
    request = request.model_copy(update={"request_id": new_id(f"backend-{verb}")})

    workflow = Start(
        run=BackendWorkflow.run,
        argument=request,
        workflow_id=workflow_id,
        summary=f"backend {request.profile_name} on {request.backend.host}",
    )
    if request.mode is not BackendMode.NONE:
        await _note_queued(client, asked, request)
    update_id = request.request_id
    handle: WorkflowUpdateHandle[BackendReport] = await answered(
        update_with_start(client, workflow, BackendWorkflow.converge, request, update_id, WorkflowUpdateStage.ACCEPTED)
    )
    ui = session.ui_page(client, asked, workflow_id)
    value = {"request": handle.id, "workflow": workflow_id, "ui": ui}
    progress = accepted(asked, value, ("request", handle.id), ui, asked.again_backend("status"))
    if progress is None:
        return None

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


async def _note_queued(client: Client, asked: Invocation, request: BackendInput) -> None:
    """Note that another change of the backend is under way, for which this one waits."""
    try:
        report = await handle_of(client, request.spec, request.profile_name).query(
            BackendWorkflow.status, rpc_timeout=RPC_TIMEOUT
        )
    except (RPCError, WorkflowQueryFailedError):
        return  # nothing is up, or no worker answers
    if report.busy:
        terminal.note(backend.queued(report, asked.again_backend("stop")))
