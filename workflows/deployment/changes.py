"""The stories of changing and ending what serves: scale, reset of the endpoint, tear-down."""

from temporalio import workflow
from temporalio.exceptions import ApplicationError, ChildWorkflowError, WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from domain import names
    from domain.commands import Command, Scale, TearDown, Verdict
    from domain.diagnosis import Diagnosis
    from domain.errors import NoEffect
    from domain.messages.release import Removed, TeardownInput
    from domain.spec import ClusterSpec
    from domain.status import Phase, Release
    from planning.plan import proofs
    from planning.settings import endpoint
    from workflows.deployment import capacity, rollout
    from workflows.deployment.context import CommandContext, not_deployed
    from workflows.deployment.inbox import Result
    from workflows.deployment.teardown import TeardownWorkflow
    from workflows.execution.activity_runner import Stopped


async def scale(context: CommandContext, command: Command) -> Result:
    """Change the number of clients; more of them need as many nodes (R11)."""
    spec, release = _deployed(context)
    asked = command.scale or Scale(replicas=release.replicas)
    policy = {"shortage": asked.shortage, "wait_for_nodes": asked.wait_for_nodes}
    wanted = spec.model_copy(update={"replicas": asked.replicas, **policy})
    context.shortfall = ""
    context.keep = not context.deployment.unconfirmed
    if asked.replicas > release.replicas:
        wanted = await capacity.require_nodes(context, wanted)
    marks = {"replicas": wanted.replicas, "replicas_by": context.by()}
    notes = [proofs.ENDED] if wanted.replicas < release.replicas else []
    return await _change(context, wanted, release.model_copy(update=marks), notes)


async def reset_endpoint(context: CommandContext, command: Command) -> Result:
    """Point the clients at another coordinator (R10); they are not restarted for it."""
    spec, release = _deployed(context)
    try:
        endpoint.require_effect(spec)
    except NoEffect as error:
        raise Stopped(error.diagnosis) from None
    coordinator = endpoint.resolve(spec.coordinator, command.reset_endpoint) if command.reset_endpoint else None
    wanted = spec.model_copy(update={"coordinator": coordinator or spec.coordinator})
    moved = [proofs.MOVED] if release.replicas and wanted.coordinator != spec.coordinator else []
    return await _change(
        context,
        wanted,
        release.model_copy(update={"endpoint": str(wanted.coordinator), "endpoint_by": context.by()}),
        notes=[f"coordinator {wanted.coordinator}", *moved],
    )


async def tear_down(context: CommandContext, command: Command) -> Result:
    """Remove what is ours (R12), in a child workflow, so that its history stands by itself."""
    deployment = context.deployment
    await context.watch.stop()
    asked = command.tear_down or TearDown()
    context.runner.step = "remove the objects" + (" and stop the backend" if asked.stop_backend else "")
    deployment.enter(Phase.RELEASING)
    removed = await _remove(context, command, asked)
    deployment.warn(removed.warnings)
    deployment.forget()
    deployment.over = True
    if not removed.objects:
        return Result(Verdict.UNCHANGED, "nothing to remove")
    return Result(Verdict.DONE, f"removed {', '.join(removed.objects)}")


async def _remove(context: CommandContext, command: Command, asked: TearDown) -> Removed:
    spec = context.deployment.spec
    backend, here = context.deployment.backend, names.backend_id(spec.backend.host, "")
    request = TeardownInput(
        spec=spec,
        deployment_id=context.workflow_id,
        cluster_uid=context.deployment.cluster_uid,
        stop_backend=asked.stop_backend,
        purge=asked.purge,
        profile_name=backend.removeprefix(here) if backend.startswith(here) else "",
        request_id=command.id,
    )
    try:
        return await workflow.execute_child_workflow(
            TeardownWorkflow.run,
            request,
            id=f"{context.workflow_id}/teardown",
            cancellation_type=workflow.ChildWorkflowCancellationType.WAIT_CANCELLATION_COMPLETED,
            static_summary=f"tear down {context.deployment.spec.namespace}",
        )
    except ChildWorkflowError as error:
        raise Stopped(_reason(error)) from None
    except WorkflowAlreadyStartedError as error:
        raise Stopped(Diagnosis(code="TEARDOWN", what="another tear-down still runs", evidence=str(error))) from None


def _reason(error: ChildWorkflowError) -> Diagnosis:
    if isinstance(error.cause, ApplicationError) and error.cause.details:
        return Diagnosis.model_validate(error.cause.details[0])
    return Diagnosis(code="TEARDOWN", what="the tear-down did not end", evidence=str(error.cause or error))


def _deployed(context: CommandContext) -> tuple[ClusterSpec, Release]:
    deployment = context.deployment
    if deployment.release is None or not deployment.applied:
        raise Stopped(not_deployed(deployment.spec))
    return deployment.spec, deployment.release


async def _change(
    context: CommandContext, spec: ClusterSpec, release: Release, notes: list[str] | None = None
) -> Result:
    present = context.deployment.spec
    policy = {"shortage": spec.shortage, "wait_for_nodes": spec.wait_for_nodes}
    same = spec == present.model_copy(update=policy) and not context.deployment.unconfirmed
    if not same:
        release = release.model_copy(update={"outcome": "deploying"})
    applied = await rollout.converge(context, spec, release)
    return context.done(changed=not same or applied.changed, notes=notes)
