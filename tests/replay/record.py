"""Records histories from the fakes of the workflow tests: `uv run python -m tests.replay.record KIND...`.

Run by hand for a new story, and for a changed one when no run of the old one is alive; the suite reads what is in git.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from temporalio.client import WorkflowUpdateStage
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from connection import search
from domain import names
from domain.commands import Answer, ResetEndpoint, Scale
from domain.diagnosis import Choice, Diagnosis, Severity
from domain.images import PrePulled
from domain.messages.backend import LogRequest, ProfileQuestion
from domain.profile import BackgroundProcess, Step, StepState, StepStatus
from domain.spec import BackendMode, Shortage
from domain.status import Observation, Phase
from tests.support.temporal.fake_activities import whole
from tests.support.temporal.server import BIN, FAST
from tests.support.temporal.stage import Stage
from tests.support.temporal.world import World
from workflows.deployment.workflow import ProverClusterWorkflow
from workflows.inspection.lookup import LogWorkflow, ProfileWorkflow

LEAVING = Step(name="node", function="run_node", leaves=[BackgroundProcess(program="bin/node")], needs=["setup"])
HISTORIES = Path(__file__).parent / "histories"


async def record(environment: WorkflowEnvironment) -> None:
    """Live through one deployment and keep the run that did each command."""
    world = World()
    async with Stage(environment.client, world, "recorded") as stage:
        await stage.deploy("deploy", backend_mode=BackendMode.SIMULATED)
        first = (await stage.handle.describe()).run_id
        await settled(stage, "deploy")
        await keep(stage, "deploy", first)
        await during(stage, "scale", lambda: stage.ask(ProverClusterWorkflow.scale, Scale(replicas=1), "scale"))
        reset = ResetEndpoint(ip="10.0.0.10")
        await during(stage, "reset", lambda: stage.ask(ProverClusterWorkflow.reset_endpoint, reset, "reset"))
        world.commit = "b" * 40
        await during(stage, "upgrade", lambda: stage.deploy("upgrade", backend_mode=BackendMode.REAL))
        await during(stage, "teardown", lambda: stage.tear_down("teardown", stop_backend=True))
        for kind, workflow_id in {
            "teardown-child": f"{stage.id}/teardown",
            "backend": f"prover-backend/{stage.namespace}/example",
        }.items():
            await keep_ended(stage, kind, workflow_id)


async def record_backend(environment: WorkflowEnvironment) -> None:
    """A backend that is looked at, cured, restarted, and purged with its deployment."""
    world = World()
    host = "kept"
    world.profile = world.profile.model_copy(update={"purge": ["data"], "steps": [*world.profile.steps, LEAVING]})
    async with Stage(environment.client, world, host) as stage:
        await stage.deploy("deploy", backend_mode=BackendMode.REAL)
        await settled(stage, "deploy")
        world.observed["node"] = StepStatus(name="node", kind="function", state=StepState.FAILED)
        await stage.called("run_step", 4)
        await stage.backend_until(lambda report: report.ok)
        again = await stage.backend(BackendMode.REAL, "restart", WorkflowUpdateStage.ACCEPTED, restart=["setup"])
        await again.result()
        log = LogRequest(backend=stage.spec().backend, profile="example", step="node")
        start, queue = stage.client.start_workflow, names.DEPLOY_QUEUE
        await start(
            ProfileWorkflow.run,
            ProfileQuestion.model_validate(stage.spec().model_dump()),
            id="prover-inspect/profile-1",
            task_queue=queue,
        )
        await start(LogWorkflow.run, log, id="prover-inspect/log-1", task_queue=queue)
        await stage.tear_down("teardown", stop_backend=True, purge=True)
        await settled(stage, "teardown")
        for kind, workflow_id in {
            "profile": "prover-inspect/profile-1",
            "log": "prover-inspect/log-1",
            "teardown-purge": f"{stage.id}/teardown",
            "backend-kept": names.backend_id(host, "example"),
        }.items():
            await keep_ended(stage, kind, workflow_id)


async def record_questions(environment: WorkflowEnvironment) -> None:
    """An upgrade that needs a person, once for each way in which its question ends, and the abort's tear-down."""
    for kind in ("retry", "fewer", "rollback", "abort", "default", "cleared"):
        world = World()
        async with Stage(environment.client, world, f"asked-{kind}") as stage:
            await stage.deploy("deploy")
            await settled(stage, "deploy")
            run_id = (await stage.handle.describe()).run_id
            await ask(stage, world, answer_within=1 if kind == "default" else 60)
            if kind == "cleared":
                world.cleared = whole(2)
            elif kind != "default":
                await stage.ask(ProverClusterWorkflow.answer, Answer(choice=Choice(kind)), "answer")
            await stage.outcome("upgrade")
            if kind == "abort":
                await stage.tear_down("teardown")
            await keep(stage, f"answer-{kind}", run_id)


async def ask(stage: Stage, world: World, answer_within: int) -> None:
    """Have a node cordoned while the upgrade rolls out, and wait for the question."""
    world.commit, world.nodes = "b" * 40, 2
    lacking = Diagnosis(code="SCHED_CORDON", what="no node", severity=Severity.NEEDS_HUMAN)
    world.rollouts = [Observation(exists=True, wanted=2, ready=1, diagnosis=lacking)]
    world.faults["await_rollout"] = [lambda _: setattr(world, "nodes", 1)]
    await stage.deploy("upgrade", answer_within=answer_within)
    await stage.until(lambda status: status.question is not None)


async def record_shortage(environment: WorkflowEnvironment) -> None:
    """A first deploy with too few nodes, once for each policy that does not refuse."""
    kinds = {"wait-for-nodes": Shortage.WAIT, "as-many-as-fit": Shortage.FIT, "expect-autoscaler": Shortage.AUTOSCALE}
    for kind, shortage in kinds.items():
        world = World()
        async with Stage(environment.client, world, kind) as stage:
            if shortage is Shortage.AUTOSCALE:
                lacking = Diagnosis(code="SCHED_AUTOSCALE", what="no node yet", severity=Severity.NEEDS_HUMAN)
                world.rollouts = [Observation(exists=True, wanted=3, ready=2, diagnosis=lacking)]
                world.cleared = whole(3)
            await stage.deploy("deploy", replicas=3, shortage=shortage, wait_for_nodes=600)
            run_id = (await stage.handle.describe()).run_id
            if shortage is Shortage.WAIT:
                await stage.called("await_nodes")
                world.nodes = 3
            await settled(stage, "deploy")
            await keep(stage, kind, run_id)


async def record_pre_pull(environment: WorkflowEnvironment) -> None:
    """Upgrades whose image nodes pull beforehand: all but one of them, and none, which ends it."""
    missing = Diagnosis(code="IMAGE_NOT_FOUND", what="the image is not there", on="node n1 (1 of 2 nodes)")
    answers = {
        "pre-pull": PrePulled(nodes=2, pulled=1, warnings=["The image was not pulled beforehand on n2: cordoned."]),
        "pre-pull-hopeless": PrePulled(nodes=2, diagnosis=missing),
    }
    for kind, answer in answers.items():
        world = World()
        world.pre_pulled = answer
        async with Stage(environment.client, world, kind) as stage:
            await stage.deploy("deploy")
            await settled(stage, "deploy")
            world.commit = "b" * 40
            await during(stage, kind, lambda stage=stage, kind=kind: stage.deploy(kind))  # type: ignore[misc]


async def record_service_first(environment: WorkflowEnvironment) -> None:
    """A first deploy that makes the Service, and waits before it makes clients."""
    world = World()
    world.settle = 0.1
    async with Stage(environment.client, world, "service-first") as stage:
        await stage.deploy("deploy")
        run_id = (await stage.handle.describe()).run_id
        await settled(stage, "deploy")
        await keep(stage, "service-first", run_id)


async def during(stage: Stage, kind: str, command: Callable[[], Awaitable[object]]) -> None:
    """The run that is current now is the one that does the command."""
    run_id = (await stage.handle.describe()).run_id
    await command()
    await settled(stage, kind)
    await keep(stage, kind, run_id)


async def settled(stage: Stage, command_id: str) -> None:
    """The command has ended, and what follows has begun."""
    await stage.outcome(command_id)
    await stage.until(lambda status: status.phase in {Phase.SERVING, Phase.REMOVED})


async def keep(stage: Stage, kind: str, run_id: str | None) -> None:
    """Write the history of one run, once it is closed."""
    handle = stage.client.get_workflow_handle(stage.id, run_id=run_id)
    while (await handle.describe()).close_time is None:  # noqa: ASYNC110 - the server cannot be subscribed to
        await asyncio.sleep(0.05)
    write(kind, (await handle.fetch_history()).to_json())


async def keep_ended(stage: Stage, kind: str, workflow_id: str) -> None:
    """Write the history of a workflow that has one run."""
    handle = stage.client.get_workflow_handle(workflow_id)
    await handle.result()
    write(kind, (await handle.fetch_history()).to_json())


def write(kind: str, history: str) -> None:
    """One file a kind; only those that were asked for."""
    if kind in sys.argv[1:]:
        (HISTORIES / f"{kind}.json").write_text(history + "\n")


async def main() -> None:
    """A server of its own."""
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        dev_server_existing_path=str(BIN / "temporal"),
        dev_server_extra_args=FAST,
        search_attributes=[*search.ALL],
    ) as environment:
        await record(environment)
        await record_backend(environment)
        await record_questions(environment)
        await record_shortage(environment)
        await record_pre_pull(environment)
        await record_service_first(environment)


if __name__ == "__main__":
    asyncio.run(main())
