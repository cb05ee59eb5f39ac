"""Decision when fewer clients fit than are wanted: refuse, wait for nodes, use fewer, or leave pods pending."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.diagnosis import Diagnosis, Severity
    from domain.spec import ClusterSpec, Shortage
    from domain.status import Phase
    from planning.text.sizes import counted
    from workflows.deployment.context import CommandContext
    from workflows.deployment.question import ask, may_ask
    from workflows.deployment.state import stamp
    from workflows.execution import activities
    from workflows.execution.activity_runner import Stopped

NOT_OF_NODES = {"QUOTA", "LIMITRANGE"}  # no new node helps against these


async def require_nodes(context: CommandContext, spec: ClusterSpec) -> ClusterSpec:
    """Before anything is changed: the spec to go on with, else refused with the numbers."""
    report = await context.check_nodes(spec)
    if report.diagnosis is None:
        return spec
    hopeless = spec.shortage is Shortage.AUTOSCALE and report.diagnosis.code in NOT_OF_NODES
    if spec.shortage is Shortage.REFUSE or hopeless:
        raise Stopped(report.diagnosis)
    if spec.shortage is Shortage.WAIT:
        await _wait(context, spec, report.diagnosis)
        return spec
    if spec.shortage is Shortage.AUTOSCALE:
        context.deployment.warn([f"an autoscaler is expected to add nodes: {report.diagnosis.what}"])
        return spec
    if report.possible < 1:
        raise Stopped(report.diagnosis)
    context.fall_short(report.possible, spec.replicas, report.diagnosis)
    return spec.model_copy(update={"replicas": report.possible})


async def await_nodes(context: CommandContext, spec: ClusterSpec) -> ClusterSpec:
    """Right before an apply: enough nodes still, or again within the time to retry, else a person is asked."""
    while True:
        try:
            if spec.shortage is not Shortage.REFUSE:
                return await require_nodes(context, spec)
            await context.check_nodes(spec, insist=True)
        except Stopped as stop:
            if stop.diagnosis.severity is not Severity.REFUSED:
                raise
            trouble = stop.diagnosis.model_copy(update={"severity": Severity.NEEDS_HUMAN})
        else:
            return spec
        if not may_ask(spec, trouble):
            raise Stopped(trouble)
        found = await ask(context, spec, trouble, activities.AWAIT_NODES, context.places(spec))
        context.deployment.enter(Phase.WAITING)
        if isinstance(found, int):
            spec = spec.model_copy(update={"replicas": found})


async def _wait(context: CommandContext, spec: ClusterSpec, lacking: Diagnosis) -> None:
    """Until a node fits, for days if need be; one that comes and goes again in the time is waited for again."""
    context.nodes_by = context.nodes_by or workflow.now() + timedelta(seconds=spec.wait_for_nodes)
    with context.deployment.waiting(lacking.model_copy(update={"severity": Severity.PROGRESS})):
        context.runner.step = f"wait for nodes for {counted(spec.replicas, 'client')}, until {stamp(context.nodes_by)}"
        found = await context.runner.outlast(
            activities.AWAIT_NODES,
            context.places(spec),
            spec,
            seconds=(context.nodes_by - workflow.now()).total_seconds(),
        )
    if found is None or found.diagnosis is not None:
        report = await context.check_nodes(spec)
        if report.diagnosis:
            raise Stopped(_in_vain(report.diagnosis, spec))
    context.notes.append("nodes were waited for")


def _in_vain(lacking: Diagnosis, spec: ClusterSpec) -> Diagnosis:
    waited = f"{spec.wait_for_nodes} s of waiting for nodes are over"
    return lacking.model_copy(update={"because": f"{lacking.because}; {waited}".lstrip("; ")})
