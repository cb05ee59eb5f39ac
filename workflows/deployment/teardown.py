"""TeardownWorkflow: removes what one deployment owns; a child of ProverClusterWorkflow, so there is one writer."""

import asyncio

from temporalio import workflow
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from domain.messages.backend import BackendInput, BackendReport, ProfileRequest
    from domain.messages.release import Removed, TargetRequest, TeardownInput
    from domain.spec import BackendMode, ClusterSpec
    from domain.status import Retry
    from planning.backend.variables import built_in
    from workflows.execution import activities
    from workflows.execution.activity_runner import ActivityRunner, Stopped


@workflow.defn
class TeardownWorkflow:
    """Once begun it is finished: a cancellation is heard and does not leave half of the objects behind."""

    @workflow.init
    def __init__(self, request: TeardownInput) -> None:
        """Nothing has happened yet."""
        self._runner = ActivityRunner(request.spec.retry_for, self._tell_parent)
        self._told = asyncio.Queue[Retry | None]()

    @workflow.run
    async def run(self, request: TeardownInput) -> Removed:
        """Remove everything and return the removed objects; ApplicationError with the diagnosis."""
        teller = asyncio.create_task(self._tell())
        work = asyncio.create_task(self._remove(request))
        try:
            return await _to_the_end(work)
        except Stopped as stop:
            diagnosis = stop.diagnosis
            raise ApplicationError(
                str(diagnosis), diagnosis.model_dump(mode="json"), type=diagnosis.code, non_retryable=True
            ) from None
        finally:
            teller.cancel()

    async def _remove(self, request: TeardownInput) -> Removed:
        spec = request.spec
        target = TargetRequest(spec=spec, deployment_id=request.deployment_id, cluster_uid=request.cluster_uid)
        removed = await self._runner.run(activities.REMOVE, target, spec)
        if not request.stop_backend:
            return removed
        report = await self._stop_backend(request, spec)
        if not report.ok and report.diagnosis:
            raise Stopped(report.diagnosis)
        stopped = [f"process/{step.name}" for step in report.steps]
        data = [f"data {path}" for path in report.purged]
        return removed.model_copy(update={"objects": [*removed.objects, *stopped, *data]})

    async def _stop_backend(self, request: TeardownInput, spec: ClusterSpec) -> BackendReport:
        name = request.profile_name
        if not name:
            asked = ProfileRequest(backend=spec.backend, variables=built_in(spec, spec.backend.circuit_dir))
            name = (await self._runner.run(activities.LOAD_PROFILE, asked, spec)).profile.name
        stop = BackendInput(
            backend=spec.backend,
            spec=spec,
            mode=BackendMode.NONE,
            profile_name=name,
            request_id=request.request_id,
            purge=request.purge,
        )
        summary = f"{'stop and purge' if request.purge else 'stop'} the backend"
        return await self._runner.run(activities.CONVERGE_BACKEND, stop, spec, summary=summary)

    def _tell_parent(self) -> None:
        self._told.put_nowait(self._runner.retry)

    async def _tell(self) -> None:
        """Tell the parent, which answers `status`, why the removal takes long."""
        parent = workflow.info().parent
        while parent is not None:
            retry = await self._told.get()
            await workflow.get_external_workflow_handle(parent.workflow_id).signal("teardown_retry", retry)


async def _to_the_end(work: asyncio.Task[Removed]) -> Removed:
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        return await work  # a cancel is delivered once
