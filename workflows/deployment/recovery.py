"""Recovery of a command that stopped: leave all as it was, roll back, park, remove, or fail."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.commands import Command, Kind, Verdict
    from domain.diagnosis import Choice, Diagnosis, Severity
    from domain.messages.inspection import DiagnoseRequest
    from domain.spec import OnFailure
    from domain.status import Phase
    from workflows.deployment import changes, rollout
    from workflows.deployment.context import CommandContext
    from workflows.deployment.inbox import Result
    from workflows.execution import activities
    from workflows.execution.activity_runner import Interrupted, Stopped

SAID_NO = {Severity.REFUSED, Severity.INVALID}


async def recover(context: CommandContext, command: Command, diagnosis: Diagnosis) -> Result:
    """Bring the deployment into the best state there is, and say how the command ended."""
    refused = diagnosis.severity in SAID_NO and not context.touched and not context.wrote
    verdict = Verdict.REFUSED if refused else Verdict.FAILED
    try:
        message = await _bring_back(context, command, diagnosis, refused=refused)
    except Interrupted:
        message = "a newer command took over before this one was rolled back"
    more = [part for part in [*context.notes, message] if part]
    told = "; ".join([str(diagnosis).rstrip("."), *more]) if more else str(diagnosis)
    return Result(verdict, told, diagnosis)


async def _bring_back(context: CommandContext, command: Command, diagnosis: Diagnosis, *, refused: bool) -> str:
    deployment = context.deployment
    if command.kind is Kind.TEAR_DOWN:
        return _after_tear_down(context, diagnosis)
    if deployment.serving is None:
        return await _first(context, command, diagnosis, refused=refused)
    if deployment.unconfirmed and context.decided is Choice.ABORT:
        deployment.end_release("failed")
        deployment.park(diagnosis)
        return "what was applied stays"
    if deployment.unconfirmed:
        return await _roll_back(context, command, diagnosis)
    deployment.settle()
    return "" if refused else "nothing was changed in the cluster"


async def _roll_back(context: CommandContext, command: Command, diagnosis: Diagnosis) -> str:
    deployment = context.deployment
    last, back = deployment.serving, deployment.way_back(deploy=command.kind is Kind.UPGRADE)
    await _keep_evidence(context)
    deployment.end_release("failed")
    deployment.diagnosis = diagnosis
    try:
        await rollout.restore(context, back)
    except Stopped as stop:
        deployment.park(diagnosis)
        return f"rolling back did not help either: {stop.diagnosis}"
    stage = deployment.serving.stage if deployment.serving else ""
    passed = last and deployment.serving and last.revision != deployment.serving.revision
    return f"rolled back to stage {stage}" + (", the last one that served without a finding" if passed else "")


async def _first(context: CommandContext, command: Command, diagnosis: Diagnosis, *, refused: bool) -> str:
    """No release ever served."""
    deployment = context.deployment
    if refused and not deployment.applied and context.phase_before is not Phase.PARKED:
        deployment.forget()
        deployment.diagnosis = diagnosis
        deployment.over = True
        return ""
    if refused:
        deployment.diagnosis = context.diagnosis_before
        deployment.enter(context.phase_before)
        return ""
    deployment.end_release("failed")
    if command.upgrade and command.upgrade.spec.on_failure is OnFailure.REMOVE:
        return await _remove(context, command, diagnosis)
    deployment.park(diagnosis)
    deployment.over = bool(command.upgrade and command.upgrade.spec.on_failure is OnFailure.FAIL)
    return ""


async def _remove(context: CommandContext, command: Command, diagnosis: Diagnosis) -> str:
    await _keep_evidence(context)
    try:
        await changes.tear_down(context, command)
    except Stopped as stop:
        context.deployment.park(diagnosis)
        return f"removing it did not work either: {stop.diagnosis}"
    return "removed what was applied"


async def _keep_evidence(context: CommandContext) -> None:
    """Keep the evidence of a failed release on the worker before it is replaced; a failure of that stops nothing."""
    spec, release = context.deployment.spec, context.deployment.release
    if release is None or not context.deployment.applied:
        return
    request = DiagnoseRequest(spec=spec, stage=release.stage, image=release.image, bundle=True)
    try:
        kept = await context.runner.briefly().run(activities.CAPTURE_EVIDENCE, request, spec)
    except Stopped as stop:
        context.notes.append(f"no evidence was kept: {stop.diagnosis.code}")
    else:
        context.notes.append(f"evidence is kept in {kept.bundle} on {kept.host}")


def _after_tear_down(context: CommandContext, diagnosis: Diagnosis) -> str:
    deployment = context.deployment
    deployment.park(diagnosis)
    if not deployment.applied and deployment.serving is None:  # we never wrote here, and may not now
        deployment.over = True
    return ""
