"""Applies a release and awaits that it serves, asking a person where nothing else helps; and the way back."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.diagnosis import Diagnosis, Severity
    from domain.messages.release import Applied, ApplyRequest, RolloutRequest
    from domain.spec import ClusterSpec, Shortage
    from domain.status import Observation, Phase, Release
    from planning.status import question
    from planning.text.sizes import counted
    from workflows.deployment.context import CommandContext, not_deployed
    from workflows.deployment.pre_pull import apply_service_first, pre_pull
    from workflows.deployment.question import ask, may_ask
    from workflows.execution import activities
    from workflows.execution.activity_runner import Stopped


AFRESH = 60.0  # seconds; a trouble's own grace where it has one


async def converge(context: CommandContext, spec: ClusterSpec, release: Release) -> Applied:
    """Apply, await the rollout, and take the release as the one that serves."""
    serving = context.deployment.serving
    trial = serving is None or serving.revision != release.revision
    if trial:
        await apply_service_first(context, spec, release)
    await pre_pull(context, spec, release)
    afresh = 0.0
    while True:
        applied, seen = await _roll_out(
            context, spec, release, (Phase.APPLYING, Phase.ROLLING_OUT), afresh, trial=trial
        )
        if not seen.complete:
            afresh = float(seen.diagnosis.grace if seen.diagnosis else 0) or AFRESH
            found = await _decide(context, spec, release, applied, seen)
            if isinstance(found, int):
                update = {"replicas": found}
                spec, release = spec.model_copy(update=update), release.model_copy(update=update)
                continue
            seen = found
        final = release.model_copy(update={"config_hash": applied.config_hash})
        context.deployment.shortfall = context.shortfall
        context.deployment.confirm(spec, final, seen)
        return applied


async def restore(context: CommandContext, back: tuple[ClusterSpec, Release] | None) -> Observation:
    """Apply an earlier release again; Stopped when even that does not come up."""
    if back is None:
        raise Stopped(not_deployed(context.deployment.spec))
    spec, release = back
    _, seen = await _roll_out(context, spec, release, (Phase.ROLLING_BACK, Phase.ROLLING_BACK), AFRESH)
    if not seen.complete:
        raise Stopped(_trouble(context, spec, seen))
    context.deployment.confirm(spec, release, seen)
    return seen


async def _roll_out(
    context: CommandContext,
    spec: ClusterSpec,
    release: Release,
    phases: tuple[Phase, Phase],
    afresh: float,
    *,
    trial: bool = False,
) -> tuple[Applied, Observation]:
    """`phases` are those of the apply and of the wait; on `trial` is a release that has not served yet.

    For `afresh` seconds old trouble does not count: pods that were stuck before are so since long, and still listed.
    """
    began = workflow.now()
    applied = await _apply(context, spec, release, phases[0])
    context.deployment.enter(phases[1])
    context.watch.start()
    verb = "is" if release.replicas == 1 else "are"
    step = f"wait until {counted(release.replicas, 'client')} of stage {release.stage} {verb} ready"
    request = _request(spec, release, applied).model_copy(update={"trial": trial})
    seen = await _await_patiently(context, request, step, afresh) if afresh else None
    if seen is None:
        seen = await context.runner.run(activities.AWAIT_ROLLOUT, request, spec, summary=step)
    if _autoscaler_may_help(spec, seen):
        context.deployment.observe(seen)
        left = spec.progress_deadline - (workflow.now() - began).total_seconds()
        step = f"wait for the nodes of an autoscaler, at most {left:.0f} s more"
        seen = await _await_patiently(context, request, step, left) or seen
    return applied, seen


async def _apply(context: CommandContext, spec: ClusterSpec, release: Release, phase: Phase) -> Applied:
    deployment = context.deployment
    await context.watch.stop()
    context.wrote = deployment.applied = True  # before the fact: an apply that was cut off may have written
    deployment.spec = spec
    deployment.record(release)
    deployment.replace_clients()
    deployment.enter(phase)
    applied = await context.runner.run(
        activities.APPLY,
        ApplyRequest(
            spec=spec,
            release=release,
            deployment_id=context.workflow_id,
            cluster_uid=deployment.cluster_uid,
            image_user=release.image_user,
        ),
        spec,
        summary=f"apply stage {release.stage} with {counted(release.replicas, 'client')}",
    )
    deployment.warn(applied.warnings)
    return applied


def _request(spec: ClusterSpec, release: Release, applied: Applied) -> RolloutRequest:
    return RolloutRequest(spec=spec, release=release, generation=applied.generation, replicas=release.replicas)


def _patient(request: RolloutRequest) -> RolloutRequest:
    return request.model_copy(update={"patient": True})


async def _await_patiently(
    context: CommandContext, request: RolloutRequest, step: str, seconds: float
) -> Observation | None:
    """Only completion or a hopeless trouble ends it before its time."""
    context.runner.step = step
    return await context.runner.outlast(
        activities.AWAIT_CLEARING, _patient(request), request.spec, seconds=max(seconds, 0)
    )


def _autoscaler_may_help(spec: ClusterSpec, seen: Observation) -> bool:
    """Return whether an autoscaler may still add nodes: pending pods are no trouble until the progress deadline."""
    found = seen.diagnosis
    lacking = found is not None and found.severity is Severity.NEEDS_HUMAN and question.is_capacity(found.code)
    return lacking and spec.shortage is Shortage.AUTOSCALE


async def _decide(
    context: CommandContext, spec: ClusterSpec, release: Release, applied: Applied, seen: Observation
) -> Observation | int:
    """Return the completed rollout, or the number of clients to try again with; Stopped."""
    trouble = _trouble(context, spec, seen)
    if not may_ask(spec, trouble):
        raise Stopped(trouble)
    request = _patient(_request(spec, release, applied))
    found = await ask(context, spec, trouble, activities.AWAIT_CLEARING, request)
    if isinstance(found, Observation):
        if not found.complete:
            raise Stopped(_trouble(context, spec, found))
        context.notes.append(f"{trouble.code} cleared by itself")
    return found


def _trouble(context: CommandContext, spec: ClusterSpec, seen: Observation) -> Diagnosis:
    """Why the rollout did not end; with what serves all the same."""
    context.deployment.observe(seen)
    found = seen.diagnosis or _incomplete(spec, seen)
    if found.serving or context.deployment.serving is None:
        return found
    return found.model_copy(update={"serving": f"{sum(pod.ready for pod in seen.pods)}/{seen.wanted}"})


def _incomplete(spec: ClusterSpec, seen: Observation) -> Diagnosis:
    return Diagnosis(
        code="DEADLINE",
        what=f"{seen.ready} of {seen.wanted} clients became ready",
        on=f"namespace {spec.namespace}",
        because=f"the rollout did not end within {spec.progress_deadline} s",
        do="see the pods with `proverctl status`",
    )
