"""A Temporal server, a worker on it, and a world of fakes that the activities act on."""

import asyncio
import contextlib
import itertools
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import pytest
import pytest_asyncio
from temporalio import activity
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowHandle,
    WorkflowUpdateHandle,
    WorkflowUpdateStage,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import SandboxImportNotificationPolicy

from activities.backend import BackendActivities
from connection import search
from domain import names
from domain.commands import Outcome, Receipt, TearDown, Upgrade, Verdict
from domain.diagnosis import Diagnosis, Severity
from domain.images import ImagesReport, ImagesRequest, PrePulled, PrePullRequest, StoredImage
from domain.messages.backend import (
    BackendInput,
    BackendReport,
    BackendWatch,
    LoadedProfile,
    LogChunk,
    LogRequest,
    ProfileRequest,
    PurgeRequest,
    StepRequest,
)
from domain.messages.image import Image, ImageRequest
from domain.messages.inspection import (
    Check,
    CheckVerdict,
    DiagnoseReport,
    DiagnoseRequest,
    PlanReport,
    PlanRequest,
    PreflightReport,
    PreflightRequest,
)
from domain.messages.nodes import NodesReport, NodesRequest
from domain.messages.release import Applied, ApplyRequest, Removed, RolloutRequest, Target, TargetRequest, WatchRequest
from domain.messages.source import Checkout, CheckoutRequest, Source, SourceRequest
from domain.profile import Profile, Step, StepState, StepStatus
from domain.spec import Backend, BackendMode, ClusterSpec, ConfigSchema, Endpoint, ImageTarget
from domain.state import ClusterInput
from domain.status import Observation, Phase, Status
from planning.image import retention
from worker.interceptors.errors import ErrorTranslation
from workflows.backend.workflow import BackendWorkflow
from workflows.deployment.teardown import TeardownWorkflow
from workflows.deployment.workflow import ProverClusterWorkflow
from workflows.inspection.lookup import LogWorkflow, ProfileWorkflow
from workflows.inspection.workflow import InspectWorkflow

WORKFLOWS = [
    ProverClusterWorkflow,
    TeardownWorkflow,
    BackendWorkflow,
    InspectWorkflow,
    ProfileWorkflow,
    LogWorkflow,
]
FAST = [  # the defaults move a workflow one step per 50 ms
    *("--dynamic-config-value", "history.transferProcessorMaxPollRPS=10000"),
    *("--dynamic-config-value", "history.timerProcessorMaxPollRPS=10000"),
]
PATIENCE = 20.0  # real seconds that a test waits for a condition
BIN = Path(sys.executable).parent
Fault = Exception | Callable[[Any], Any]


class World:
    """What the activities see and do; `faults` by activity name are raised, or called, one a call, before it works."""

    def __init__(self) -> None:
        """Two usable nodes, nothing deployed."""
        self.nodes = 2
        self.commit = "a" * 40
        self.schema: ConfigSchema | None = None  # of the client at its pin
        self.image: dict[str, Any] = {}  # what else is said of an image that was made
        self.applied: ApplyRequest | None = None
        self.calls: list[tuple[str, Any]] = []
        self.faults: defaultdict[str, list[Fault]] = defaultdict(list)
        self.rollouts: list[Observation] = []  # answers other than success, in order
        self.live: Observation | None = None  # what the watch sees; None: as known
        self.stuck = False  # the rollout that was applied last is one of those
        self.pre_pulled: PrePulled | None = None  # None: all well
        self.cleared: Observation | None = None  # how a patient wait for it ends; None: not yet
        self.held = asyncio.Event()  # set: a held activity goes on
        self.processes: list[str] = []
        self.images: list[StoredImage] = []
        self.left_out: dict[str, str] = {}
        self.observed: dict[str, StepStatus] = {}  # what the watch of the backend sees of a step; else it runs
        self.profile = Profile(
            name="example",
            circuit_dir="circuit",
            steps=[
                Step(name="setup", command=["make"]),
                Step(name="coordinator", process=["./coordinator"], needs=["setup"]),
                Step(name="ticker", process=["./ticker"], needs=["coordinator"], simulated=True),
            ],
        )

    def names(self) -> list[str]:
        """The activities called so far, the watches and the keeping of evidence excepted."""
        return [name for name, _ in self.calls if name not in {"watch_release", "watch_backend", "capture_evidence"}]

    def steps(self, name: str = "run_step") -> list[str]:
        """The steps that this activity was called with."""
        return [request.step.name for called, request in self.calls if called == name]

    async def hold(self, _request: Any) -> None:
        """A fault that waits until `held` is set, or until it is cancelled."""
        while not self.held.is_set():
            activity.heartbeat("held")
            await asyncio.sleep(0.02)

    async def called(self, request: Any) -> None:
        """Record the call, and go wrong as told."""
        name = activity.info().activity_type
        self.calls.append((name, request))
        if not self.faults[name]:
            return
        fault = self.faults[name].pop(0)
        if isinstance(fault, Exception):
            raise fault
        happened = fault(request)
        if isinstance(happened, Awaitable):
            await happened


class KubeFakes:
    """The activities of one cluster."""

    def __init__(self, world: World) -> None:
        """All act on this world."""
        self.world = world

    @activity.defn
    async def inspect_target(self, request: TargetRequest) -> Target:
        """Ours."""
        await self.world.called(request)
        return Target(cluster_uid="uid-1")

    @activity.defn
    async def check_nodes(self, request: NodesRequest) -> NodesReport:
        """As many as the world has."""
        await self.world.called(request)
        usable = self.world.nodes
        lacking = Diagnosis(
            code="NODES", what=f"{usable} of {request.replicas} nodes are usable", severity=Severity.REFUSED
        )
        short = usable < request.replicas
        return NodesReport(
            wanted=request.replicas, usable=usable, possible=usable, diagnosis=lacking if short else None
        )

    @activity.defn
    async def await_nodes(self, request: NodesRequest) -> NodesReport:
        """Once there are enough."""
        await self.world.called(request)
        while self.world.nodes < request.replicas:
            activity.heartbeat()
            await asyncio.sleep(0.02)
        return NodesReport(wanted=request.replicas, usable=self.world.nodes, possible=self.world.nodes)

    @activity.defn
    async def plan(self, request: PlanRequest) -> PlanReport:
        """Nothing would change."""
        await self.world.called(request)
        return PlanReport(cost=f"stage {request.release.stage}")

    @activity.defn
    async def diagnose(self, request: DiagnoseRequest) -> DiagnoseReport:
        """What the watch would see."""
        await self.world.called(request)
        seen = self.world.live or Observation()
        found = [seen.diagnosis] if seen.diagnosis else []
        kept = {"bundle": "/state/evidence/one.json.gz", "host": "worker-1"} if request.bundle else {}
        return DiagnoseReport(observed=seen, findings=found, **kept)

    @activity.defn
    async def preflight_cluster(self, request: PreflightRequest) -> PreflightReport:
        """One check, which depends on what the host found."""
        await self.world.called(request)
        return PreflightReport(checks=[Check(name="cluster", verdict=CheckVerdict.OK, detail=request.stage)])

    @activity.defn
    async def capture_evidence(self, request: DiagnoseRequest) -> DiagnoseReport:
        """A file on the worker."""
        await self.world.called(request)
        return DiagnoseReport(bundle="/state/evidence/one.json.gz", host="worker-1")

    @activity.defn
    async def pre_pull(self, request: PrePullRequest) -> PrePulled:
        """On all nodes, unless told otherwise."""
        await self.world.called(request)
        return self.world.pre_pulled or PrePulled(nodes=2, pulled=2)

    @activity.defn
    async def apply_release(self, request: ApplyRequest) -> Applied:
        """Remembers what was written."""
        await self.world.called(request)
        before, self.world.applied = self.world.applied, request
        self.world.stuck = bool(self.world.rollouts)
        policy = {"shortage": request.spec.shortage, "wait_for_nodes": request.spec.wait_for_nodes}  # no object has it
        same = before is not None and (
            before.spec.model_copy(update=policy),
            before.release.image,
            before.release.stage,
        ) == (
            request.spec,
            request.release.image,
            request.release.stage,
        )
        return Applied(config_hash="hash", generation=1, changed=not same)

    @activity.defn
    async def await_rollout(self, request: RolloutRequest) -> Observation:
        """Complete, unless told otherwise."""
        await self.world.called(request)
        while request.patient and self.world.stuck and self.world.cleared is None:
            activity.heartbeat()
            await asyncio.sleep(0.02)
        if request.patient and self.world.stuck and self.world.cleared is not None:
            return self.world.cleared
        if self.world.rollouts:
            return self.world.rollouts.pop(0)
        return whole(request.replicas)

    @activity.defn
    async def remove_release(self, request: TargetRequest) -> Removed:
        """Removes what was applied."""
        await self.world.called(request)
        was, self.world.applied = self.world.applied, None
        return Removed(objects=["deployment/prover-cli-t"] if was else [])

    @activity.defn
    async def watch_release(self, request: WatchRequest) -> Observation:
        """What a test says is live, once that differs."""
        await self.world.called(request)
        while self.world.live in (None, request.known):
            activity.heartbeat()
            await asyncio.sleep(0.02)
        return self.world.live or request.known


class HostFakes:
    """The activities of the backend host."""

    def __init__(self, world: World) -> None:
        """All act on this world."""
        self.world = world

    @activity.defn
    async def preflight_host(self, request: PreflightRequest) -> PreflightReport:
        """One check, and the stage."""
        await self.world.called(request)
        return PreflightReport(checks=[Check(name="host", verdict=CheckVerdict.OK)], stage="found")

    @activity.defn
    async def checkout_source(self, request: CheckoutRequest) -> Checkout:
        """Into a directory that says what was asked for."""
        await self.world.called(request)
        return Checkout(directory=f"/state/{request.repo.rsplit('/', 1)[-1]}-{request.ref}", commit=self.world.commit)

    @activity.defn
    async def resolve_source(self, request: SourceRequest) -> Source:
        """The world's commit."""
        await self.world.called(request)
        stage = request.stage or self.world.commit[:7]
        return Source(commit=self.world.commit, stage=stage, config_schema=self.world.schema)

    @activity.defn
    async def ensure_image(self, request: ImageRequest) -> Image:
        """Always there."""
        await self.world.called(request)
        reference = f"hub/p:client-{request.source.stage}@sha256:0"
        return Image(reference=reference, digest="sha256:0", user="65532", **self.world.image)

    @activity.defn
    async def survey_images(self, request: ImagesRequest) -> ImagesReport:
        """The world's, judged as the real one does; what nothing keeps is gone afterwards."""
        await self.world.called(request)
        found = retention.judged(self.world.images, request.named, request.keep, {})
        if request.prune:
            found = [one.model_copy(update={"removed": not one.kept}) for one in found]
            self.world.images = [one for one in found if one.kept]
        return ImagesReport(images=found, removed=sum(one.removed for one in found))

    @activity.defn
    async def load_profile(self, request: ProfileRequest) -> LoadedProfile:
        """The world's."""
        await self.world.called(request)
        return LoadedProfile(profile=self.world.profile, repo="/repo", left_out=self.world.left_out)

    @activity.defn
    async def run_step(self, request: StepRequest) -> StepStatus:
        """Done at once, and what stays runs."""
        await self.world.called(request)
        step = request.step
        if step.stays and step.name not in self.world.processes:
            self.world.processes.append(step.name)
        self.world.observed.pop(step.name, None)
        return StepStatus(name=step.name, kind=step.kind, state=StepState.RUNNING if step.stays else StepState.DONE)

    @activity.defn
    async def stop_steps(self, request: StepRequest) -> StepStatus:
        """Stops it if it runs."""
        await self.world.called(request)
        ran = request.step.name in self.world.processes
        self.world.processes = [name for name in self.world.processes if name != request.step.name]
        return StepStatus(
            name=request.step.name, kind="process", state=StepState.STOPPED, detail="" if ran else "did not run"
        )

    @activity.defn
    async def stop_backend(self, request: ProfileRequest) -> list[str]:
        """Stops all."""
        await self.world.called(request)
        ran, self.world.processes = self.world.processes, []
        return ran

    @activity.defn
    async def purge_backend(self, request: PurgeRequest) -> list[str]:
        """Deletes what the profile says."""
        await self.world.called(request)
        return request.profile.purge

    @activity.defn
    async def read_log(self, request: LogRequest) -> LogChunk:
        """One line."""
        await self.world.called(request)
        return LogChunk(text=f"{request.step} says hello\n", next=20)

    @activity.defn
    async def watch_backend(self, request: BackendWatch) -> list[StepStatus]:
        """What a test says is so, once that differs."""
        await self.world.called(request)
        while True:
            activity.heartbeat()
            seen = [
                self.world.observed.get(row.name, row.model_copy(update={"state": StepState.RUNNING}))
                for row in request.known
            ]
            if not seen or any(row.state is not old.state for row, old in zip(seen, request.known, strict=True)):
                return seen
            await asyncio.sleep(0.02)


def whole(replicas: int) -> Observation:
    """All clients are ready."""
    return Observation(
        exists=True, wanted=replicas, updated=replicas, ready=replicas, available=replicas, complete=True
    )


class Stage:
    """What a test does: deploy, ask, wait until something is so."""

    def __init__(self, client: Client, world: World, namespace: str) -> None:
        """One deployment, in a namespace of its own."""
        self.client = client
        self._workers = AsyncExitStack()
        self.world = world
        self.namespace = namespace
        self.id = names.deployment_id("default", namespace)

    async def __aenter__(self) -> Self:
        """With the workers that do the work."""
        for worker in workers(self.client, self.world, self.namespace):
            await self._workers.enter_async_context(worker)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Without them."""
        await self._workers.aclose()

    async def replace_workers(self) -> None:
        """The old ones stop, and new ones start."""
        await self._workers.aclose()
        await self.__aenter__()

    def spec(self, **changes: Any) -> ClusterSpec:
        """A spec that is fine."""
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
        """Update with start, as the CLI does."""
        spec = self.spec(**changes)
        return await self.client.execute_update_with_start_workflow(
            ProverClusterWorkflow.upgrade,
            Upgrade(spec=spec, by="me@here"),
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
        """An update of the running deployment."""
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
        """As `proverctl backend status` asks."""
        handle = self.client.get_workflow_handle(names.backend_id(self.namespace, "example"))
        return await handle.query(BackendWorkflow.status)

    async def backend_until(self, so: Callable[[BackendReport], bool]) -> BackendReport:
        """The first status of the backend of which it is so."""
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
        """The row of a step when it has come to this state."""
        report = await self.backend_until(
            lambda report: (name, state) in {(row.name, row.state) for row in report.steps}
        )
        return next(row for row in report.steps if row.name == name)

    async def status(self) -> Status:
        """As `proverctl status` asks."""
        return await self.handle.query(ProverClusterWorkflow.status)

    async def until(self, so: Callable[[Status], bool]) -> Status:
        """The first status of which it is so."""
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
        """The status when it has come to this phase."""
        return await self.until(lambda status: status.phase is phase)

    async def outcome(self, command_id: str) -> Outcome:
        """What came of a command, when it has ended."""
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


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def environment() -> AsyncIterator[WorkflowEnvironment]:
    """A server for all tests of the session."""
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        dev_server_existing_path=str(BIN / "temporal"),
        dev_server_extra_args=FAST,
        search_attributes=[*search.ALL],
    ) as environment:
        yield environment


@pytest.fixture
def world() -> World:
    """A fresh one."""
    return World()


_numbers = itertools.count(1)


@pytest_asyncio.fixture(loop_scope="session")
async def stage(environment: WorkflowEnvironment, world: World) -> AsyncIterator[Stage]:
    """A deployment to be, and the workers that would do it."""
    namespace = f"ns-{next(_numbers)}"
    client = environment.client
    async with Stage(client, world, namespace) as stage:
        yield stage
        for workflow_id in (names.deployment_id("default", namespace), names.backend_id(namespace, "example")):
            with contextlib.suppress(RPCError):  # ended already, or never began
                await client.get_workflow_handle(workflow_id).terminate("the test is over")


def workers(client: Client, world: World, host: str) -> list[Worker]:
    """As `worker.queues` has them, of fakes."""
    kube, backend = KubeFakes(world), HostFakes(world)
    return [
        Worker(
            client,
            task_queue=names.DEPLOY_QUEUE,
            workflows=WORKFLOWS,
            activities=[BackendActivities(client).converge_backend],
            interceptors=[ErrorTranslation()],
            max_heartbeat_throttle_interval=timedelta(milliseconds=100),
            workflow_runner=SandboxedWorkflowRunner(
                restrictions=SandboxRestrictions.default.with_import_notification_policy(
                    SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
                )
            ),
        ),
        Worker(
            client,
            task_queue=names.kube_queue("default"),
            activities=[
                kube.inspect_target,
                kube.check_nodes,
                kube.pre_pull,
                kube.apply_release,
                kube.await_rollout,
                kube.remove_release,
                kube.plan,
                kube.diagnose,
                kube.capture_evidence,
                kube.preflight_cluster,
            ],
            interceptors=[ErrorTranslation()],
            max_heartbeat_throttle_interval=timedelta(milliseconds=100),
        ),
        Worker(
            client,
            task_queue=names.watch_queue("default"),
            activities=[kube.watch_release, kube.await_nodes],
            interceptors=[ErrorTranslation()],
            max_heartbeat_throttle_interval=timedelta(milliseconds=100),
        ),
        Worker(
            client,
            task_queue=names.host_queue(host),
            activities=[
                backend.checkout_source,
                backend.resolve_source,
                backend.preflight_host,
                backend.ensure_image,
                backend.survey_images,
                backend.load_profile,
                backend.run_step,
                backend.stop_steps,
                backend.stop_backend,
                backend.purge_backend,
                backend.read_log,
            ],
            interceptors=[ErrorTranslation()],
            max_heartbeat_throttle_interval=timedelta(milliseconds=100),
        ),
        Worker(
            client,
            task_queue=names.host_watch_queue(host),
            activities=[backend.watch_backend],
            interceptors=[ErrorTranslation()],
            max_heartbeat_throttle_interval=timedelta(milliseconds=100),
        ),
    ]


__all__ = ["BackendMode", "Stage", "World"]
