"""A deployment under test: commands as the CLI sends them, and waits for conditions."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Self

import pytest
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowHandle,
    WorkflowUpdateHandle,
    WorkflowUpdateStage,
)
from temporalio.common import WorkflowIDConflictPolicy

from domain import names
from domain.commands import Given, Outcome, Receipt, TearDown, Upgrade, Verdict
from domain.messages.backend import BackendInput, BackendReport
from domain.profile import StepState, StepStatus
from domain.spec import Backend, BackendMode, ClusterSpec, Endpoint, ImageTarget
from domain.state import ClusterInput
from domain.status import Phase, Status
from tests.support.temporal.server import PATIENCE
from tests.support.temporal.workers import workers
from tests.support.temporal.world import World
from workflows.backend.workflow import BackendWorkflow
from workflows.deployment.workflow import ProverClusterWorkflow


class Stage:
    """The steps of a test: deploy, ask, wait for a condition."""

    def __init__(self, client: Client, world: World, namespace: str) -> None:
        """Choose a deployment in a namespace of its own."""
        self.client = client
        self._workers = AsyncExitStack()
        self.world = world
        self.namespace = namespace
        self.id = names.deployment_id("default", namespace)

    async def __aenter__(self) -> Self:
        """Start the workers."""
        for worker in workers(self.client, self.world, self.namespace):
            await self._workers.enter_async_context(worker)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the workers."""
        await self._workers.aclose()

    async def replace_workers(self) -> None:
        """Stop the workers and start new ones."""
        await self._workers.aclose()
        await self.__aenter__()

    def spec(self, **changes: Any) -> ClusterSpec:
        """Return a valid spec."""
        return ClusterSpec(
            namespace=self.namespace,
            coordinator=Endpoint(ip="10.0.0.9"),
            image=ImageTarget(repository="fluidex/prover-cluster"),
            backend=Backend(repo="/repo", host=self.namespace, circuit_dir="circuit"),
        ).model_copy(update=changes)

    @property
    def handle(self) -> WorkflowHandle[ProverClusterWorkflow, Outcome | None]:
        """The deployment, whichever run it is in."""
        return self.client.get_workflow_handle_for(ProverClusterWorkflow.run, self.id)

    async def deploy(self, command_id: str = "d1", **changes: Any) -> Receipt:
        """Update with start, as the CLI does; `given` among the changes says where its settings come from."""
        given: dict[str, Given] = changes.pop("given", {})
        spec = self.spec(**changes)
        return await self.client.execute_update_with_start_workflow(
            ProverClusterWorkflow.upgrade,
            Upgrade(spec=spec, given=given, by="me@here"),
            id=command_id,
            start_workflow_operation=self._start(spec),
        )

    async def tear_down(self, command_id: str = "t1", **changes: Any) -> Receipt:
        """Update with start, as the CLI does."""
        return await self.client.execute_update_with_start_workflow(
            ProverClusterWorkflow.tear_down,
            TearDown(**changes),
            id=command_id,
            start_workflow_operation=self._start(self.spec()),
        )

    def _start(self, spec: ClusterSpec) -> WithStartWorkflowOperation[ProverClusterWorkflow, Outcome | None]:
        return WithStartWorkflowOperation(
            ProverClusterWorkflow.run,
            ClusterInput(spec=spec),
            id=self.id,
            task_queue=names.DEPLOY_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary="test",
        )

    async def ask(self, update: Any, request: Any, command_id: str) -> Receipt:
        """Send an update to the running deployment."""
        handle = await self.handle.start_update(
            update, request, id=command_id, wait_for_stage=WorkflowUpdateStage.COMPLETED
        )
        receipt: Receipt = await handle.result()
        return receipt

    async def backend(
        self, mode: BackendMode, request_id: str, wait: WorkflowUpdateStage, **changes: Any
    ) -> WorkflowUpdateHandle[BackendReport]:
        """Converge the backend, as the activity asks for it."""
        spec = self.spec(backend_mode=mode)
        asked = BackendInput(
            backend=spec.backend, spec=spec, mode=mode, profile_name="example", request_id=request_id, **changes
        )
        return await self.client.start_update_with_start_workflow(
            BackendWorkflow.converge,
            asked,
            id=request_id,
            start_workflow_operation=WithStartWorkflowOperation(
                BackendWorkflow.run,
                asked,
                id=names.backend_id(self.namespace, "example"),
                task_queue=names.DEPLOY_QUEUE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            ),
            wait_for_stage=wait,
        )

    async def backend_status(self) -> BackendReport:
        """Query the backend as `proverctl backend status` does."""
        handle = self.client.get_workflow_handle(names.backend_id(self.namespace, "example"))
        return await handle.query(BackendWorkflow.status)

    async def backend_until(self, so: Callable[[BackendReport], bool]) -> BackendReport:
        """Return the first status of the backend that meets the condition."""
        seen: list[BackendReport] = []
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    seen.append(await self.backend_status())
                    if so(seen[-1]):
                        return seen[-1]
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pytest.fail(f"never so; last: {seen[-1] if seen else None}; calls: {self.world.names()}")

    async def backend_row(self, name: str, state: StepState) -> StepStatus:
        """Return the row of a step once it has reached this state."""
        report = await self.backend_until(
            lambda report: (name, state) in {(row.name, row.state) for row in report.steps}
        )
        return next(row for row in report.steps if row.name == name)

    async def status(self) -> Status:
        """Query the deployment as `proverctl status` does."""
        return await self.handle.query(ProverClusterWorkflow.status)

    async def until(self, so: Callable[[Status], bool]) -> Status:
        """Return the first status that meets the condition."""
        seen: list[Status] = []
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    seen.append(await self.status())
                    if so(seen[-1]):
                        return seen[-1]
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pytest.fail(f"never so; last: {seen[-1] if seen else None}; calls: {self.world.names()}")

    async def phase(self, phase: Phase) -> Status:
        """Return the status once it has reached this phase."""
        return await self.until(lambda status: status.phase is phase)

    async def outcome(self, command_id: str) -> Outcome:
        """Return the outcome of a command once it has ended."""
        status = await self.until(lambda status: any(one.command_id == command_id for one in status.outcomes))
        return next(one for one in status.outcomes if one.command_id == command_id)

    async def verdict(self, command_id: str) -> Verdict:
        """How a command ended, when it has."""
        return (await self.outcome(command_id)).verdict

    async def called(self, name: str, times: int = 1) -> None:
        """Wait until an activity was called this often."""
        async with asyncio.timeout(PATIENCE):
            while [one for one, _ in self.world.calls].count(name) < times:  # noqa: ASYNC110 - the fakes know no tests
                await asyncio.sleep(0.02)
