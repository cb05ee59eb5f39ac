"""Records one history of each kind from the fakes of the workflow tests: `uv run python -m tests.replay.record`.

Run by hand when a story changed on purpose and no run of the old one is alive; the suite only reads what is in git.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from connection import search
from domain.commands import ResetEndpoint, Scale
from domain.spec import BackendMode
from domain.status import Phase
from tests.workflow.conftest import BIN, FAST, Stage, World, workers
from workflows.cluster import ProverClusterWorkflow

HISTORIES = Path(__file__).parent / "histories"


async def record(environment: WorkflowEnvironment) -> None:
    """Live through one deployment and keep the run that did each command."""
    world = World()
    stage = Stage(environment.client, world, "recorded")
    async with AsyncExitStack() as stack:
        for worker in workers(environment.client, world, stage.namespace):
            await stack.enter_async_context(worker)
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
            handle = stage.client.get_workflow_handle(workflow_id)
            await handle.result()
            write(kind, (await handle.fetch_history()).to_json())


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


def write(kind: str, history: str) -> None:
    """One file a kind."""
    HISTORIES.mkdir(exist_ok=True)
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


if __name__ == "__main__":
    asyncio.run(main())
