"""A backend that is up is kept so: what ended is shown, run again a few times, and then told to a person."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from temporalio.client import WorkflowUpdateStage
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from connection import search
from domain import names
from domain.errors import StepFailed
from domain.messages.backend import BackendReport
from domain.profile import BackgroundProcess, Compose, Profile, Step, StepState, StepStatus
from domain.spec import BackendMode
from tests.support.temporal.server import BIN, FAST
from tests.support.temporal.stage import Stage
from tests.support.temporal.world import World
from workflows.execution import backoff

if TYPE_CHECKING:
    from temporalio.client import WorkflowHandle

    from workflows.backend.workflow import BackendWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROFILE = Profile(
    name="example",
    steps=[
        Step(name="stack", compose=Compose(project="demo", file="compose.yaml")),
        Step(name="node", function="run_node", leaves=[BackgroundProcess(program="bin/node")], needs=["stack"]),
        Step(name="rollup", process=["./rollup"], needs=["node"]),
    ],
)


@pytest.fixture(autouse=True)
def _profile(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step of each kind that stays, and short pauses."""
    world.profile = PROFILE
    monkeypatch.setattr(backoff, "FIRST_CURE_PAUSE", 0.05)


async def up(stage: Stage, request_id: str = "c1", mode: BackendMode = BackendMode.REAL) -> BackendReport:
    """The answer to a converge."""
    return await (await stage.backend(mode, request_id, WorkflowUpdateStage.ACCEPTED)).result()


def down(world: World, name: str, state: StepState = StepState.FAILED) -> None:
    """The watch sees that it ended."""
    kind = next(step.kind for step in PROFILE.steps if step.name == name)
    world.observed[name] = StepStatus(name=name, kind=kind, state=state, detail=f"{name}: segmentation fault")


@pytest.mark.parametrize(
    ("name", "state"),
    [("stack", StepState.FAILED), ("node", StepState.FAILED), ("rollup", StepState.STOPPED)],
)
async def test_what_ended_is_run_again(stage: Stage, world: World, name: str, state: StepState) -> None:
    """Only that step; a process when nobody supervises it any more."""
    await up(stage)
    down(world, name, state)
    await stage.called("run_step", 4)
    report = await stage.backend_until(lambda report: report.ok and report.steps[-1].state is StepState.RUNNING)
    assert {row.state for row in report.steps} == {StepState.RUNNING}
    assert world.steps() == ["stack", "node", "rollup", name]


async def test_what_is_down_is_told_while_it_is_cured(stage: Stage, world: World) -> None:
    """The status is not good before the step runs again."""
    await up(stage)
    world.faults["run_step"] = [world.hold]
    down(world, "node")
    row = await stage.backend_row("node", StepState.WORKING)
    assert row.detail == "cure 1 after: node: segmentation fault"
    report = await stage.backend_status()
    assert (report.ok, report.diagnosis and report.diagnosis.code) == (False, "BACKEND_DOWN")
    world.held.set()
    await stage.backend_until(lambda report: report.ok and report.diagnosis is None)


async def test_a_step_that_does_not_stay_up_is_left_to_a_person(stage: Stage, world: World) -> None:
    """After three cures; it is good again as soon as it runs, whoever did it."""
    await up(stage)
    world.faults["run_step"] = [StepFailed("no port")] * 3
    down(world, "node")
    await stage.called("run_step", 6)
    report = await stage.backend_until(
        lambda report: bool(report.diagnosis and "again 3 times" in report.diagnosis.because)
    )
    found = report.diagnosis
    assert found is not None
    assert (report.ok, found.code, "step node" in found.what) == (False, "BACKEND_DOWN", True)
    assert "no port" in found.evidence
    assert "`proverctl backend logs node`" in found.do
    assert "`proverctl backend restart node`" in found.do
    assert world.steps()[3:] == ["node"] * 3
    world.observed["node"] = StepStatus(name="node", kind="function", state=StepState.RUNNING)
    await stage.backend_until(lambda report: report.ok and report.diagnosis is None)


async def test_a_process_that_its_supervisor_gave_up_is_reported(stage: Stage, world: World) -> None:
    """It was started again often enough already."""
    await up(stage)
    down(world, "rollup")
    report = await stage.backend_until(lambda report: not report.ok)
    assert report.diagnosis is not None
    assert report.diagnosis.evidence == "rollup: segmentation fault"
    assert world.steps() == ["stack", "node", "rollup"]


async def test_a_cure_waits_for_what_the_step_needs(stage: Stage, world: World) -> None:
    """Without its database it would only fail again."""
    await up(stage)
    world.faults["run_step"] = [world.hold]
    down(world, "stack")
    await stage.called("run_step", 4)
    down(world, "node")
    await stage.backend_row("node", StepState.FAILED)
    world.held.set()
    await stage.backend_until(lambda report: report.ok)
    assert world.steps()[3:] == ["stack", "node"]


async def test_a_converge_goes_before_a_cure(stage: Stage, world: World) -> None:
    """The cure is ended, and the converge does what is to be done."""
    await up(stage)
    world.faults["run_step"] = [world.hold]
    down(world, "node")
    await stage.called("run_step", 4)
    assert (await up(stage, "c2")).ok
    assert world.steps()[3:] == ["node", "stack", "node", "rollup"]


async def test_a_stop_ends_a_cure(stage: Stage, world: World) -> None:
    """And nothing is run again afterwards."""
    await up(stage)
    world.faults["run_step"] = [world.hold]
    down(world, "node")
    await stage.called("run_step", 4)
    assert (await up(stage, "stop", BackendMode.NONE)).ok
    report = await handle(stage).result()
    assert {row.state for row in report.steps} == {StepState.STOPPED}
    assert len(world.steps()) == 4


async def test_what_still_runs_after_a_failed_converge_is_kept(stage: Stage, world: World) -> None:
    """The failed step is not: that is for the next converge."""
    world.faults["run_step"] = [lambda _: None, StepFailed("make exited with 2")]
    down(world, "node")
    assert not (await up(stage)).ok
    down(world, "stack")
    await stage.called("run_step", 3)
    await stage.backend_row("stack", StepState.RUNNING)
    assert world.steps() == ["stack", "node", "stack"]
    assert not (await stage.backend_status()).ok


async def test_the_watch_outlives_its_worker(stage: Stage, world: World) -> None:
    """What happened meanwhile is seen by the next one."""
    await up(stage)
    await stage.called("watch_backend")
    await stage.replace_workers()
    down(world, "node")
    await stage.called("run_step", 4)
    assert (await stage.backend_until(lambda report: report.ok)).diagnosis is None


def handle(stage: Stage) -> "WorkflowHandle[BackendWorkflow, BackendReport]":
    """The backend, whichever run it is in."""
    return stage.client.get_workflow_handle(names.backend_id(stage.namespace, "example"), result_type=BackendReport)


@pytest_asyncio.fixture(loop_scope="session")
async def brief(world: World) -> AsyncIterator[Stage]:
    """On a server that finds histories long soon."""
    async with (
        await WorkflowEnvironment.start_local(
            data_converter=pydantic_data_converter,
            dev_server_existing_path=str(BIN / "temporal"),
            dev_server_extra_args=[*FAST, "--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=20"],
            search_attributes=[*search.ALL],
        ) as environment,
        Stage(environment.client, world, "brief") as stage,
    ):
        yield stage
        await handle(stage).terminate("the test is over")


async def test_a_new_run_knows_what_the_old_one_knew(brief: Stage, world: World) -> None:
    """Rows, profile and mode; it watches and cures, and loses no converge that comes just then."""
    update = await brief.backend(BackendMode.REAL, "c1", WorkflowUpdateStage.ACCEPTED)
    before, first = await update.result(), update.workflow_run_id
    async with asyncio.timeout(20):
        while (await handle(brief).describe()).run_id == first:  # noqa: ASYNC110 - the server cannot be subscribed to
            await asyncio.sleep(0.05)
    after = await brief.backend_status()
    assert (after.steps, after.mode, after.repo) == (before.steps, BackendMode.REAL, "/repo")
    down(world, "node")
    await brief.called("run_step", 4)
    await brief.backend_until(lambda report: report.ok)
    assert world.names().count("load_profile") == 1
    reports = await asyncio.gather(*(up(brief, f"again-{number}") for number in range(5)))
    assert [report.ok for report in reports] == [True] * 5
    assert len(world.steps()) == 4 + 5 * 3
