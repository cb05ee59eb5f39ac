"""Preparation of nodes before clients start: they learn of the Service and pull the image."""

import contextlib

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.images import PrePulled, PrePullRequest
    from domain.messages.release import ApplyRequest
    from domain.spec import ClusterSpec
    from domain.status import Phase, Release
    from workflows.deployment.context import CommandContext
    from workflows.execution import activities
    from workflows.execution.activity_runner import Interrupted, Stopped


async def apply_service_first(context: CommandContext, spec: ClusterSpec, release: Release) -> None:
    """Apply Service and EndpointSlice before the pods, and wait where they are new.

    A client that starts within a second of its Service may hang in its first call until its connection is given up.
    Where clients serve, their own way is made sure of: another endpoint comes with the release, which may yet fail.
    """
    deployment = context.deployment
    if deployment.serving is not None and deployment.serving_spec is not None:
        spec, release = deployment.serving_spec, deployment.serving
    else:
        context.wrote = deployment.applied = True  # before the fact, as of any apply
        deployment.enter(Phase.APPLYING)
    request = ApplyRequest(
        spec=spec, release=release, deployment_id=context.workflow_id, cluster_uid=deployment.cluster_uid
    )
    try:
        applied = await context.runner.run(activities.APPLY_SERVICE, request, spec)
    except Stopped:
        if deployment.serving is None:  # not before: an equal deploy that interrupts the apply reuses the revision
            deployment.spec = spec
            deployment.record(release)
        raise
    if applied.settle:
        await _settle(context, applied.settle)


async def _settle(context: CommandContext, seconds: float) -> None:
    context.runner.step = f"give the nodes {seconds:.0f} s to learn of the new Service"
    with contextlib.suppress(TimeoutError):
        await workflow.wait_condition(
            lambda: context.runner.interrupted, timeout=seconds, timeout_summary=context.runner.step
        )
    if context.runner.interrupted:
        raise Interrupted


async def pre_pull(context: CommandContext, spec: ClusterSpec, release: Release) -> None:
    """Have the nodes pull the image before clients are replaced; Stopped when no client would get it."""
    if not _replaces(context, spec, release):
        return
    deployment = context.deployment
    deployment.enter(Phase.WAITING)  # for nodes: a newer deploy need not wait for its end
    found = await _ask(context, spec, release)
    deployment.warn(found.warnings)
    if found.diagnosis:
        served = deployment.observed
        serving = f"{sum(pod.ready for pod in served.pods)}/{served.wanted}" if served.pods else ""
        context.notes.append("no client was stopped")
        raise Stopped(found.diagnosis.model_copy(update={"serving": serving}))
    if found.warnings:
        context.notes.append(f"{found.pulled} of {found.nodes} nodes had the image before clients were replaced")


def _replaces(context: CommandContext, spec: ClusterSpec, release: Release) -> bool:
    serving = context.deployment.serving
    if not spec.pre_pull or serving is None:
        return False
    return serving.image != release.image and serving.replicas > 0 and release.replicas > 0


async def _ask(context: CommandContext, spec: ClusterSpec, release: Release) -> PrePulled:
    """Ask the nodes; without an answer the rollout continues, as it does without a pre-pull."""
    request = PrePullRequest(
        spec=spec, release=release, deployment_id=context.workflow_id, cluster_uid=context.deployment.cluster_uid
    )
    step = f"have the nodes pull the image of stage {release.stage} before clients are replaced"
    try:
        return await context.runner.run(activities.PRE_PULL, request, spec, summary=step)
    except Stopped as stop:
        return PrePulled(warnings=[f"The image was not pulled before clients were replaced: {stop.diagnosis}"])
