"""What follows a story that stopped: leave all as it was, roll back, park, remove, or give up, as the case may be."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.commands import Command, Kind, Verdict
    from domain.diagnosis import Choice, Diagnosis, Severity
    from domain.messages.inspection import DiagnoseRequest
    from domain.spec import OnFailure
    from domain.status import Phase
    from workflows.deployment import changes, rollout
    from workflows.deployment.context import Site
    from workflows.deployment.inbox import Result
    from workflows.execution import activities
    from workflows.execution.attempts import Interrupted, Stopped

SAID_NO = {Severity.REFUSED, Severity.INVALID}


async def recover(site: Site, command: Command, diagnosis: Diagnosis) -> Result:
    """Bring the deployment into the best state there is, and say how the command ended."""
    refused = diagnosis.severity in SAID_NO and not site.touched and not site.wrote
    verdict = Verdict.REFUSED if refused else Verdict.FAILED
    try:
        message = await _bring_back(site, command, diagnosis, refused=refused)
    except Interrupted:
        message = "a newer command took over before this one was rolled back"
    more = [part for part in [*site.notes, message] if part]
    told = "; ".join([str(diagnosis).rstrip("."), *more]) if more else str(diagnosis)
    return Result(verdict, told, diagnosis)


async def _bring_back(site: Site, command: Command, diagnosis: Diagnosis, *, refused: bool) -> str:
    deployment = site.deployment
    if command.kind is Kind.TEAR_DOWN:
        return _after_tear_down(site, diagnosis)
    if deployment.serving is None:
        return await _first(site, command, diagnosis, refused=refused)
    if deployment.unconfirmed and site.decided is Choice.ABORT:
        deployment.end_release("failed")
        deployment.park(diagnosis)
        return "what was applied stays"
    if deployment.unconfirmed:
        return await _roll_back(site, command, diagnosis)
    deployment.settle()
    return "" if refused else "nothing was changed in the cluster"


async def _roll_back(site: Site, command: Command, diagnosis: Diagnosis) -> str:
    deployment = site.deployment
    last, back = deployment.serving, deployment.way_back(deploy=command.kind is Kind.UPGRADE)
    await _keep_evidence(site)
    deployment.end_release("failed")
    deployment.diagnosis = diagnosis
    try:
        await rollout.restore(site, back)
    except Stopped as stop:
        deployment.park(diagnosis)
        return f"rolling back did not help either: {stop.diagnosis}"
    stage = deployment.serving.stage if deployment.serving else ""
    passed = last and deployment.serving and last.revision != deployment.serving.revision
    return f"rolled back to stage {stage}" + (", the last one that served without a finding" if passed else "")


async def _first(site: Site, command: Command, diagnosis: Diagnosis, *, refused: bool) -> str:
    """No release ever served."""
    deployment = site.deployment
    if refused and not deployment.applied and site.phase_before is not Phase.PARKED:
        deployment.forget()
        deployment.diagnosis = diagnosis
        deployment.over = True
        return ""
    if refused:
        deployment.diagnosis = site.diagnosis_before
        deployment.enter(site.phase_before)
        return ""
    deployment.end_release("failed")
    if command.upgrade and command.upgrade.spec.on_failure is OnFailure.REMOVE:
        return await _remove(site, command, diagnosis)
    deployment.park(diagnosis)
    deployment.over = bool(command.upgrade and command.upgrade.spec.on_failure is OnFailure.FAIL)
    return ""


async def _remove(site: Site, command: Command, diagnosis: Diagnosis) -> str:
    await _keep_evidence(site)
    try:
        await changes.tear_down(site, command)
    except Stopped as stop:
        site.deployment.park(diagnosis)
        return f"removing it did not work either: {stop.diagnosis}"
    return "removed what was applied"


async def _keep_evidence(site: Site) -> None:
    """Before it is replaced or removed, what failed is kept on the worker; a failure of that stops nothing."""
    spec, release = site.deployment.spec, site.deployment.release
    if release is None or not site.deployment.applied or not workflow.patched("evidence"):
        return
    request = DiagnoseRequest(spec=spec, stage=release.stage, image=release.image, bundle=True)
    try:
        kept = await site.attempts.briefly().run(activities.CAPTURE_EVIDENCE, request, spec)
    except Stopped as stop:
        site.notes.append(f"no evidence was kept: {stop.diagnosis.code}")
    else:
        site.notes.append(f"evidence is kept in {kept.bundle} on {kept.host}")


def _after_tear_down(site: Site, diagnosis: Diagnosis) -> str:
    deployment = site.deployment
    deployment.park(diagnosis)
    if not deployment.applied and deployment.serving is None:  # we never wrote here, and may not now
        deployment.over = True
    return ""
