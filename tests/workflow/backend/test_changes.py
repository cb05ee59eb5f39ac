"""What can be asked of a backend that is up: left out, retried, forced, restarted, purged; by several at once."""

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from temporalio.client import WorkflowUpdateFailedError, WorkflowUpdateHandle, WorkflowUpdateStage

from domain import names
from domain.errors import SettingsInvalid, StepFailed
from domain.messages.backend import BackendReport
from domain.profile import BackgroundProcess, Profile, Step, StepState
from domain.spec import BackendMode
from workflows.backend.workflow import BackendWorkflow
from workflows.execution import backoff

if TYPE_CHECKING:
    from tests.support.temporal.stage import Stage
    from tests.support.temporal.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

CHAIN = Profile(
    name="example",
    purge=["data"],
    steps=[
        Step(name="build", command=["make"]),
        Step(name="node", function="run_node", needs=["build"], leaves=[BackgroundProcess(program="bin/node")]),
        Step(name="deploy", command=["deploy"], needs=["node"]),
        Step(name="rollup", process=["./rollup"], needs=["deploy"]),
        Step(name="other", process=["./other"], needs=["build"]),
    ],
)


async def asked(
    stage: "Stage", mode: BackendMode, request_id: str, **changes: Any
) -> WorkflowUpdateHandle[BackendReport]:
    """Accepted by the backend, which may not be up yet."""
    return await stage.backend(mode, request_id, WorkflowUpdateStage.ACCEPTED, **changes)


async def converged(stage: "Stage", mode: BackendMode, request_id: str, **changes: Any) -> BackendReport:
    """Done."""
    return await (await asked(stage, mode, request_id, **changes)).result()


async def test_steps_left_out_are_skipped_with_their_reason(stage: "Stage", world: "World") -> None:
    """And count as done for what needs them."""
    world.left_out = {"setup": "the keys exist"}
    report = await converged(stage, BackendMode.REAL, "c1")
    assert [(row.state, row.detail) for row in report.steps[:2]] == [
        (StepState.SKIPPED, "the keys exist"),
        (StepState.RUNNING, ""),
    ]
    assert world.steps() == ["coordinator"]
    assert report.repo == "/repo"


async def test_what_needs_a_left_out_step_waits_for_what_that_needs(stage: "Stage", world: "World") -> None:
    """Left out means that it has nothing to do, and not that the node may be missing."""
    world.profile = CHAIN
    world.left_out = {"deploy": "the contracts exist"}
    assert (await converged(stage, BackendMode.REAL, "c1")).ok
    ran = world.steps()
    assert ran.index("node") < ran.index("rollup")
    assert "deploy" not in ran


async def test_a_step_is_retried_as_often_as_it_wants(
    stage: "Stage", world: "World", monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no more often; the pause and the reason are shown meanwhile."""
    monkeypatch.setattr(backoff, "FIRST_STEP_PAUSE", 1.0)
    world.profile = Profile(name="example", steps=[Step(name="setup", command=["make"], retries=1)])
    world.faults["run_step"] = [StepFailed("make exited with 2"), StepFailed("make exited with 3")]
    update = await asked(stage, BackendMode.REAL, "c1")
    row = await stage.backend_row("setup", StepState.FAILED)
    assert row.detail.startswith("retry 1 of 1 in 1 s: BACKEND_STEP: make exited with 2")
    report = await update.result()
    assert (report.ok, report.diagnosis and report.diagnosis.what) == (False, "make exited with 3")
    assert world.steps() == ["setup", "setup"]


async def test_a_step_that_is_wrong_is_not_retried(stage: "Stage", world: "World") -> None:
    """A setting does not mend itself."""
    world.profile = Profile(name="example", steps=[Step(name="setup", command=["make"], retries=5)])
    world.faults["run_step"] = [SettingsInvalid(["A is not set"])]
    assert not (await converged(stage, BackendMode.REAL, "c1")).ok
    assert world.steps() == ["setup"]


async def test_force_stops_everything_first(stage: "Stage", world: "World") -> None:
    """Then all is brought up as usual, so that content still decides what is skipped."""
    await converged(stage, BackendMode.REAL, "c1")
    world.calls.clear()
    assert (await converged(stage, BackendMode.REAL, "c2", force=True)).ok
    assert world.names() == ["load_profile", "stop_backend", "stop_steps", "run_step", "run_step"]
    assert not any(request.again for name, request in world.calls if name == "run_step")


async def test_a_restart_takes_what_stays_and_needs_the_step_along(stage: "Stage", world: "World") -> None:
    """Stopped from the far end; only the named step is done whatever its inputs, and a neighbour is left alone."""
    world.profile = CHAIN
    await converged(stage, BackendMode.REAL, "c1")
    world.calls.clear()
    assert (await converged(stage, BackendMode.REAL, "c2", restart=["node"])).ok
    assert world.steps("stop_steps") == ["rollup", "node"]
    again = {request.step.name: request.again for name, request in world.calls if name == "run_step"}
    assert again == {"build": False, "node": True, "other": False, "deploy": False, "rollup": False}


async def test_a_redo_leaves_what_needs_the_step_to_its_own_inputs(stage: "Stage", world: "World") -> None:
    """Only the named step is stopped and done whatever its inputs; a later change does not do it again."""
    world.profile = CHAIN
    await converged(stage, BackendMode.REAL, "c1")
    world.calls.clear()
    assert (await converged(stage, BackendMode.REAL, "c2", redo=["node"])).ok
    assert world.steps("stop_steps") == ["node"]
    again = {request.step.name: request.again for name, request in world.calls if name == "run_step"}
    assert again == {"build": False, "node": True, "other": False, "deploy": False, "rollup": False}
    report = await converged(stage, BackendMode.REAL, "c3", redo=["nonsense"])
    assert "there is no step nonsense" in str(report.diagnosis)


async def test_a_change_that_is_under_way_is_told(stage: "Stage", world: "World") -> None:
    """Who asks for another one meanwhile can be told that it is queued; the report of an ended one is not busy."""
    world.faults["run_step"] = [world.hold]
    handle = await stage.backend(BackendMode.REAL, "c1", WorkflowUpdateStage.ACCEPTED)
    assert (await stage.backend_until(lambda report: report.busy)).busy
    world.held.set()
    assert not (await handle.result()).busy
    assert not (await stage.backend_status()).busy


async def test_a_restart_of_what_does_not_exist_changes_nothing(stage: "Stage", world: "World") -> None:
    """It names the steps that there are, and the backend's own status stays good."""
    await converged(stage, BackendMode.REAL, "c1")
    world.calls.clear()
    report = await converged(stage, BackendMode.REAL, "c2", restart=["cordinator", "ticker"])
    found = report.diagnosis
    assert found is not None
    assert (report.ok, found.code, found.because) == (False, "REFUSED", "the steps are setup, coordinator")
    assert "cordinator, ticker" in found.what
    assert world.names() == ["load_profile"]
    assert (await stage.backend_status()).ok


async def test_a_profile_that_is_wrong_now_changes_nothing(stage: "Stage", world: "World") -> None:
    """What is up is still up, and its status says so."""
    await converged(stage, BackendMode.REAL, "c1")
    world.faults["load_profile"] = [SettingsInvalid(["line 3: needs"])]
    report = await converged(stage, BackendMode.SIMULATED, "c2")
    assert (report.ok, report.diagnosis and report.diagnosis.code) == (False, "SETTINGS")
    status = await stage.backend_status()
    assert (status.ok, status.mode) == (True, BackendMode.REAL)


@pytest.mark.parametrize(
    ("mode", "changes"),
    [
        (BackendMode.NONE, {"restart": ["setup"]}),
        (BackendMode.NONE, {"force": True}),
        (BackendMode.REAL, {"purge": True}),
    ],
)
async def test_nonsense_is_rejected(stage: "Stage", world: "World", mode: BackendMode, changes: dict[str, Any]) -> None:
    """Before anything is done."""
    with pytest.raises(WorkflowUpdateFailedError) as raised:
        await converged(stage, mode, "c1", **changes)
    assert "SETTINGS" in str(raised.value.cause)
    assert world.names() == []


async def test_a_run_that_began_with_nonsense_ends_by_itself(stage: "Stage", world: "World") -> None:
    """Nothing is left open that nobody asked for."""
    with pytest.raises(WorkflowUpdateFailedError):
        await converged(stage, BackendMode.REAL, "c1", purge=True)
    handle = stage.client.get_workflow_handle_for(BackendWorkflow.run, names.backend_id(stage.namespace, "example"))
    await handle.result()
    assert world.names() == []


async def test_purge_follows_the_stop(stage: "Stage", world: "World") -> None:
    """And the report names what was deleted."""
    world.profile = CHAIN
    await converged(stage, BackendMode.REAL, "c1")
    world.calls.clear()
    report = await converged(stage, BackendMode.NONE, "c2", purge=True)
    assert (report.ok, report.purged) == (True, ["data"])
    assert world.names() == ["stop_backend", "load_profile", "purge_backend"]


async def test_a_purge_that_failed_can_be_asked_for_again(stage: "Stage", world: "World") -> None:
    """The run ends only after all that was asked is done."""
    world.profile = CHAIN
    await converged(stage, BackendMode.REAL, "c1")
    world.faults["purge_backend"] = [SettingsInvalid(["no"])]
    assert not (await converged(stage, BackendMode.NONE, "c2", purge=True)).ok
    assert not (await stage.backend_status()).ok
    assert (await converged(stage, BackendMode.NONE, "c3", purge=True)).purged == ["data"]


async def test_a_backend_is_stopped_without_its_profile(stage: "Stage", world: "World") -> None:
    """By the name that it was brought up under."""
    await converged(stage, BackendMode.REAL, "c1")
    world.faults["load_profile"] = [SettingsInvalid(["proverctl.yaml is gone"])]
    report = await converged(stage, BackendMode.NONE, "c2")
    assert (report.ok, [(row.name, row.kind, row.state) for row in report.steps]) == (
        True,
        [("coordinator", "process", StepState.STOPPED)],
    )
    assert next(one.profile for name, one in world.calls if name == "stop_backend") == "example"


async def test_simulated_steps_are_stopped_before_a_real_set_up(stage: "Stage", world: "World") -> None:
    """Nothing simulated may run beside what is real."""
    await converged(stage, BackendMode.SIMULATED, "c1")
    world.calls.clear()
    report = await converged(stage, BackendMode.REAL, "c2")
    assert world.names()[:2] == ["load_profile", "stop_steps"]
    assert [(row.name, row.state) for row in report.steps] == [
        ("setup", StepState.DONE),
        ("coordinator", StepState.RUNNING),
        ("ticker", StepState.STOPPED),
    ]


async def test_two_who_ask_at_once_take_turns(stage: "Stage", world: "World") -> None:
    """The second finds all done by the first; neither's steps run beside the other's."""
    world.faults["run_step"] = [world.hold]
    first = await asked(stage, BackendMode.REAL, "c1")
    await stage.called("run_step")
    second = await asked(stage, BackendMode.SIMULATED, "c2")
    assert world.steps() == ["setup"]
    world.held.set()
    assert (await first.result()).mode is BackendMode.REAL
    assert (await second.result()).mode is BackendMode.SIMULATED
    assert world.steps() == ["setup", "coordinator", "setup", "coordinator", "ticker"]


async def test_who_stops_waiting_stops_no_step(stage: "Stage", world: "World") -> None:
    """A deployment that is interrupted leaves the set-up to the others that share it."""
    world.faults["run_step"] = [world.hold]
    await stage.deploy("d1", backend_mode=BackendMode.REAL)
    await stage.called("run_step")
    other = await asked(stage, BackendMode.REAL, "c2")
    await stage.tear_down("t1")
    await stage.outcome("t1")
    world.held.set()
    assert (await other.result()).ok
    assert world.steps() == ["setup", "coordinator", "setup", "coordinator"]


async def test_a_stop_goes_before_those_who_wait(stage: "Stage", world: "World") -> None:
    """Also one that came after them: nobody brings up what is to be stopped."""
    world.faults["run_step"] = [world.hold]
    updates = [await asked(stage, BackendMode.REAL, f"c{number}") for number in range(2)]
    await stage.called("run_step")
    stop = await asked(stage, BackendMode.NONE, "stop")
    reports = await asyncio.gather(*(update.result() for update in updates))
    assert [report.diagnosis and report.diagnosis.code for report in reports] == ["BACKEND_STOPPED"] * 2
    assert (await stop.result()).ok
    assert world.steps() == ["setup"]


async def test_a_worker_is_replaced_in_the_middle(stage: "Stage", world: "World") -> None:
    """The step is given to the next one, and done steps are not done again."""
    world.faults["run_step"] = [lambda _: None, world.hold]
    update = await asked(stage, BackendMode.REAL, "c1")
    await stage.called("run_step", 2)
    await stage.replace_workers()
    assert (await update.result()).ok
    assert world.steps() == ["setup", "coordinator", "coordinator"]
