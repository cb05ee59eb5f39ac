"""The backend's desired state: order and parallelism of steps, failure, joining, and stopping in the middle."""

import asyncio
from typing import TYPE_CHECKING

import pytest
from temporalio.client import WithStartWorkflowOperation, WorkflowFailureError
from temporalio.common import WorkflowIDConflictPolicy

from domain import names
from domain.errors import Forbidden, StepFailed
from domain.messages.backend import BackendInput, BackendReport, StepRequest
from domain.messages.inspection import InspectInput
from domain.profile import Profile, Step, StepState
from domain.spec import BackendMode
from workflows.backend.workflow import BackendWorkflow
from workflows.inspection.workflow import InspectWorkflow

if TYPE_CHECKING:
    from tests.support.temporal.stage import Stage
    from tests.support.temporal.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def converge(stage: "Stage", mode: BackendMode, request_id: str) -> BackendReport:
    """As the activity does it."""
    spec = stage.spec(backend_mode=mode)
    request = BackendInput(backend=spec.backend, spec=spec, mode=mode, profile_name="example", request_id=request_id)
    return await stage.client.execute_update_with_start_workflow(
        BackendWorkflow.converge,
        request,
        id=request_id,
        start_workflow_operation=WithStartWorkflowOperation(
            BackendWorkflow.run,
            request,
            id=names.backend_id(stage.namespace, "example"),
            task_queue=names.DEPLOY_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        ),
    )


async def ended(stage: "Stage") -> BackendReport:
    """Stop it, so that no test leaves a workflow behind."""
    await converge(stage, BackendMode.NONE, "stop")
    return await stage.client.get_workflow_handle_for(
        BackendWorkflow.run, names.backend_id(stage.namespace, "example")
    ).result()


async def test_steps_run_after_what_they_need(stage: "Stage", world: "World") -> None:
    """And those of run-all only then."""
    report = await converge(stage, BackendMode.SIMULATED, "c1")
    assert [(step.name, step.state) for step in report.steps] == [
        ("setup", StepState.DONE),
        ("coordinator", StepState.RUNNING),
        ("ticker", StepState.RUNNING),
    ]
    ran = [request.step.name for name, request in world.calls if name == "run_step"]
    assert ran == ["setup", "coordinator", "ticker"]
    assert (await ended(stage)).ok


async def test_steps_are_told_where_the_coordinator_is(stage: "Stage", world: "World") -> None:
    """Built-in variables come from the spec."""
    await converge(stage, BackendMode.REAL, "c1")
    variables = next(request.variables for name, request in world.calls if name == "run_step")
    assert (variables["COORDINATOR_EP"], variables["COORDINATOR_PORT"], variables["CIRCUIT"]) == (
        "10.0.0.9",
        "50055",
        "block",
    )
    await ended(stage)


async def test_independent_steps_run_beside_each_other(stage: "Stage", world: "World") -> None:
    """Two that need nothing of each other are both begun before either has ended."""
    world.profile = Profile(name="example", steps=[Step(name="one", command=["a"]), Step(name="two", command=["b"])])
    world.faults["run_step"] = [world.hold, world.hold]
    converging = asyncio.create_task(converge(stage, BackendMode.REAL, "c1"))
    await stage.called("run_step", 2)
    world.held.set()
    assert (await converging).ok
    await ended(stage)


async def test_a_failing_step_is_reported_and_the_next_converge_mends_it(stage: "Stage", world: "World") -> None:
    """What needs it is not begun."""
    world.faults["run_step"] = [StepFailed("make exited with 2", on="step setup", evidence="no rule")]
    report = await converge(stage, BackendMode.REAL, "c1")
    assert (report.ok, report.diagnosis and report.diagnosis.code) == (False, "BACKEND_STEP")
    assert [step.state for step in report.steps] == [StepState.FAILED, StepState.PENDING, StepState.STOPPED]
    assert (await converge(stage, BackendMode.REAL, "c2")).ok
    await ended(stage)


async def test_an_optional_step_that_fails_is_a_warning(stage: "Stage", world: "World") -> None:
    """All others are done, what is optional and needs it is left, and the report is good and says how to try again."""
    steps: list[Step] = [
        Step(name="explorer", process=["e"], optional=True),
        Step(name="links", command=["l"], optional=True, needs=["explorer"]),
        Step(name="setup", command=["a"]),
        Step(name="coordinator", process=["c"], needs=["setup"]),
    ]
    world.profile = Profile(name="example", steps=steps)

    def only_the_explorer(request: StepRequest) -> None:  # two steps begin at once
        if request.step.name == "explorer":
            raise StepFailed("no image", on="step explorer")

    world.faults["run_step"] = [only_the_explorer, only_the_explorer]
    report = await converge(stage, BackendMode.REAL, "c1")
    assert [step.state for step in report.steps] == [
        StepState.FAILED,
        StepState.FAILED,
        StepState.DONE,
        StepState.RUNNING,
    ]
    assert (report.ok, report.diagnosis, len(report.warnings)) == (True, None, 2)
    assert "optional step explorer failed" in report.warnings[0]
    assert "no image" in report.warnings[0]
    assert report.warnings[0].endswith("proverctl backend restart explorer")
    assert "it needs explorer, which failed" in report.warnings[1]
    assert (await stage.backend_status()).ok
    again = await converge(stage, BackendMode.REAL, "c2")
    assert (again.ok, again.warnings) == (True, [])
    await ended(stage)


async def test_the_same_request_joins_the_first(stage: "Stage", world: "World") -> None:
    """A retried activity does not set the backend up twice."""
    await asyncio.gather(*(converge(stage, BackendMode.REAL, "c1") for _ in range(3)))
    assert [name for name, _ in world.calls].count("load_profile") == 1
    await ended(stage)


async def test_a_stop_does_not_wait_for_a_set_up_of_hours(stage: "Stage", world: "World") -> None:
    """The running step is cancelled, and the one who waited for it is told."""
    world.faults["run_step"] = [world.hold]
    converging = asyncio.create_task(converge(stage, BackendMode.REAL, "c1"))
    await stage.called("run_step")
    assert (await ended(stage)).ok
    report = await converging
    assert (report.ok, report.diagnosis and report.diagnosis.code) == (False, "BACKEND_STOPPED")


async def test_nodes_are_inspected_through_the_worker(stage: "Stage") -> None:
    """One answer, nothing changed."""
    answer = await stage.client.execute_workflow(
        InspectWorkflow.run,
        InspectInput(spec=stage.spec(), replicas=3),
        id=f"prover-inspect/{stage.namespace}",
        task_queue=names.DEPLOY_QUEUE,
    )
    assert answer.nodes is not None
    assert (answer.nodes.wanted, answer.nodes.usable) == (3, 2)


async def test_an_inspection_that_may_not_says_so(stage: "Stage", world: "World") -> None:
    """The diagnosis is in the failure."""
    world.faults["check_nodes"] = [Forbidden("may not list nodes", on="nodes")]
    with pytest.raises(WorkflowFailureError) as raised:
        await stage.client.execute_workflow(
            InspectWorkflow.run,
            InspectInput(spec=stage.spec(), replicas=3),
            id=f"prover-inspect/{stage.namespace}-2",
            task_queue=names.DEPLOY_QUEUE,
        )
    assert "RBAC" in str(raised.value.cause)
