"""Fake activities of the cluster and host task queues, over one World."""

import asyncio

from temporalio import activity

from domain.diagnosis import Diagnosis, Severity
from domain.images import ImagesReport, ImagesRequest, PrePulled, PrePullRequest
from domain.messages.backend import (
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
from domain.profile import StepState, StepStatus
from domain.status import Observation
from planning.image import retention
from tests.support.temporal.world import World


class KubeFakes:
    """The activities of one cluster."""

    def __init__(self, world: World) -> None:
        """Let all activities act on this world."""
        self.world = world

    @activity.defn
    async def inspect_target(self, request: TargetRequest) -> Target:
        """Ours."""
        await self.world.called(request)
        return Target(cluster_uid="uid-1")

    @activity.defn
    async def check_nodes(self, request: NodesRequest) -> NodesReport:
        """Return as many nodes as the world has."""
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
        """Return a plan without changes."""
        await self.world.called(request)
        return PlanReport(cost=f"stage {request.release.stage}")

    @activity.defn
    async def diagnose(self, request: DiagnoseRequest) -> DiagnoseReport:
        """Return what the watch would see."""
        await self.world.called(request)
        seen = self.world.live or Observation()
        found = [seen.diagnosis] if seen.diagnosis else []
        kept = {"bundle": "/state/evidence/one.json.gz", "host": "worker-1"} if request.bundle else {}
        return DiagnoseReport(observed=seen, findings=found, circuit=self.world.clients_circuit, **kept)

    @activity.defn
    async def preflight_cluster(self, request: PreflightRequest) -> PreflightReport:
        """Return one check, which depends on what the host found."""
        await self.world.called(request)
        return PreflightReport(checks=[Check(name="cluster", verdict=CheckVerdict.OK, detail=request.stage)])

    @activity.defn
    async def capture_evidence(self, request: DiagnoseRequest) -> DiagnoseReport:
        """Return the path of a file on the worker."""
        await self.world.called(request)
        return DiagnoseReport(bundle="/state/evidence/one.json.gz", host="worker-1")

    @activity.defn
    async def pre_pull(self, request: PrePullRequest) -> PrePulled:
        """Pull on all nodes, unless the test sets another result."""
        await self.world.called(request)
        return self.world.pre_pulled or PrePulled(nodes=2, pulled=2)

    @activity.defn
    async def apply_service(self, request: ApplyRequest) -> Applied:
        """There already, unless told otherwise."""
        await self.world.called(request)
        return Applied(config_hash="", generation=0, changed=False, settle=self.world.settle)

    @activity.defn
    async def apply_release(self, request: ApplyRequest) -> Applied:
        """Record what was written."""
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
        """Remove what was applied."""
        await self.world.called(request)
        was, self.world.applied = self.world.applied, None
        return Removed(objects=["deployment/prover-cli-t"] if was else [])

    @activity.defn
    async def watch_release(self, request: WatchRequest) -> Observation:
        """Return what the test sets as live, once that differs."""
        await self.world.called(request)
        while self.world.live in (None, request.known):
            activity.heartbeat()
            await asyncio.sleep(0.02)
        return self.world.live or request.known


class HostFakes:
    """The activities of the backend host."""

    def __init__(self, world: World) -> None:
        """Let all activities act on this world."""
        self.world = world

    @activity.defn
    async def preflight_host(self, request: PreflightRequest) -> PreflightReport:
        """Return one check, and the stage."""
        await self.world.called(request)
        return PreflightReport(checks=[Check(name="host", verdict=CheckVerdict.OK)], stage="found")

    @activity.defn
    async def checkout_source(self, request: CheckoutRequest) -> Checkout:
        """Into a directory that says what was asked for."""
        await self.world.called(request)
        return Checkout(directory=f"/state/{request.repo.rsplit('/', 1)[-1]}-{request.ref}", commit=self.world.commit)

    @activity.defn
    async def resolve_source(self, request: SourceRequest) -> Source:
        """Return the world's commit."""
        await self.world.called(request)
        stage = request.stage or self.world.commit[:7]
        found = {"circuit": self.world.profile.circuit, "circuits": self.world.circuits}
        return Source(
            commit=self.world.commit, stage=stage, dirty=self.world.dirty, config_schema=self.world.schema, **found
        )

    @activity.defn
    async def ensure_image(self, request: ImageRequest) -> Image:
        """Return an image that needs no build."""
        await self.world.called(request)
        reference = f"hub/p:client-{request.source.stage}@sha256:0"
        return Image(reference=reference, digest="sha256:0", user="65532", **self.world.image)

    @activity.defn
    async def survey_images(self, request: ImagesRequest) -> ImagesReport:
        """Return the world's images, judged as the real activity does; what nothing keeps is gone afterwards."""
        await self.world.called(request)
        found = retention.judged(self.world.images, request.named, request.keep, {})
        if request.prune:
            found = [one.model_copy(update={"removed": not one.kept}) for one in found]
            self.world.images = [one for one in found if one.kept]
        return ImagesReport(images=found, removed=sum(one.removed for one in found))

    @activity.defn
    async def load_profile(self, request: ProfileRequest) -> LoadedProfile:
        """Return the world's profile."""
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
        """Stop the step if it runs."""
        await self.world.called(request)
        ran = request.step.name in self.world.processes
        self.world.processes = [name for name in self.world.processes if name != request.step.name]
        return StepStatus(
            name=request.step.name, kind="process", state=StepState.STOPPED, detail="" if ran else "did not run"
        )

    @activity.defn
    async def stop_backend(self, request: ProfileRequest) -> list[str]:
        """Stop all processes."""
        await self.world.called(request)
        ran, self.world.processes = self.world.processes, []
        return ran

    @activity.defn
    async def purge_backend(self, request: PurgeRequest) -> list[str]:
        """Delete what the profile declares."""
        await self.world.called(request)
        return request.profile.purge

    @activity.defn
    async def read_log(self, request: LogRequest) -> LogChunk:
        """Return one line."""
        await self.world.called(request)
        return LogChunk(text=f"{request.step} says hello\n", next=20)

    @activity.defn
    async def watch_backend(self, request: BackendWatch) -> list[StepStatus]:
        """Return what the test sets as the state of the steps, once that differs."""
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


CRASH = Diagnosis(code="CRASH_LOOP", what="it crashes", severity=Severity.FATAL)
CRASHING = Observation(exists=True, wanted=2, diagnosis=CRASH)


def whole(replicas: int) -> Observation:
    """Return an observation with all clients ready."""
    return Observation(
        exists=True, wanted=replicas, updated=replicas, ready=replicas, available=replicas, complete=True
    )
