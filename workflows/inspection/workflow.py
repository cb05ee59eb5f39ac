"""InspectWorkflow: look at a cluster through its worker and change nothing (id `prover-inspect/<uuid>`)."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.errors import SettingsInvalid
    from domain.messages.inspection import (
        DiagnoseReport,
        DiagnoseRequest,
        InspectInput,
        Inspection,
        PlanReport,
        PlanRequest,
        PreflightReport,
        PreflightRequest,
    )
    from domain.messages.nodes import NodesRequest
    from domain.messages.source import CheckoutRequest, Source
    from domain.spec import ClusterSpec
    from domain.status import Release, Retry
    from planning.backend.variables import circuit_request, source_request
    from planning.diagnosis import findings
    from planning.manifests import circuit_name, render
    from workflows.execution import activities, rejection
    from workflows.execution.activity_runner import ActivityRunner, Stopped


_HOST_SECONDS = 10.0  # that a diagnosis waits for the backend host


@workflow.defn
class InspectWorkflow:
    """Workflow that answers one read-only question."""

    @workflow.init
    def __init__(self, request: InspectInput) -> None:
        """Asking is retried like a command."""
        self._runner = ActivityRunner(request.spec.retry_for, self._changed)

    @workflow.run
    async def run(self, request: InspectInput) -> Inspection:
        """Return the answer to the request; ApplicationError with the diagnosis in its details."""
        try:
            return await self._answer(request)
        except Stopped as stop:
            raise rejection.rejection(stop.diagnosis) from None

    @workflow.query
    def retry(self) -> Retry | None:
        """Why there is no answer yet."""
        return self._runner.retry

    async def _answer(self, request: InspectInput) -> Inspection:
        spec, runner = request.spec, self._runner
        if request.what == "nodes":
            nodes = NodesRequest(spec=spec, replicas=request.replicas)
            return Inspection(nodes=await runner.run(activities.CHECK_NODES, nodes, spec))
        if request.what == "preflight":
            return Inspection(preflight=await self._preflight(request))
        if request.what == "plan":
            return Inspection(plan=await self._plan(request))
        if request.what == "diagnose":
            return Inspection(diagnose=await self._diagnose(request))
        if request.what == "images" and request.images:
            return Inspection(images=await runner.run(activities.SURVEY_IMAGES, request.images, spec))
        known = "nodes, preflight, plan, diagnose or images"
        raise Stopped(rejection.invalid(f"an inspection of {request.what!r}", f"ask for {known}"))

    async def _preflight(self, request: InspectInput) -> PreflightReport:
        """Run the host's checks first: those of the cluster depend on its stage and image."""
        spec = request.spec
        asked = PreflightRequest(
            spec=spec, deployment_id=spec.deployment_id, probe=request.probe, probe_image=request.probe_image
        )
        host = await self._runner.run(activities.PREFLIGHT_HOST, asked, spec)
        known = asked.model_copy(update={"stage": host.stage, "image_user": host.image_user})
        cluster = await self._runner.run(activities.PREFLIGHT_CLUSTER, known, spec)
        return host.model_copy(update={"checks": [*host.checks, *cluster.checks]})

    async def _diagnose(self, request: InspectInput) -> DiagnoseReport:
        """Return what is wrong in the cluster, and whether the backend is configured for the clients' circuit."""
        spec = request.spec
        asked = DiagnoseRequest(spec=spec, bundle=request.bundle)
        report = await self._runner.run(activities.DIAGNOSE, asked, spec)
        if not (report.circuit and spec.backend.repo):
            return report
        why = f"the worker of the backend host {spec.backend.host} did not answer within {_HOST_SECONDS:.0f} s"
        try:
            circuits = circuit_request(spec, report.circuit)
            source = await self._runner.outlast(activities.RESOLVE_SOURCE, circuits, spec, seconds=_HOST_SECONDS)
        except Stopped as stop:
            source, why = None, str(stop.diagnosis)
        if source is None:
            return report.model_copy(update={"warnings": [*report.warnings, circuit_name.not_compared(why)]})
        found = findings.with_circuit(report.findings, report.circuit, source)
        return report.model_copy(update={"findings": found})

    async def _plan(self, request: InspectInput) -> PlanReport:
        """Of the release that a deploy would make now; the image is not built, so its digest may not be known yet."""
        spec = request.spec
        settled = circuit_name.is_settled(spec)
        source = Source(commit="", stage=spec.stage) if settled else await self._read_source(request)
        spec = self._with_schema(spec, source)
        release = Release(
            stage=source.stage,
            commit=source.commit,
            dirty=source.dirty,
            image=render.image_reference(spec, source.stage),
            endpoint=str(spec.coordinator),
            replicas=spec.replicas,
        )
        asked = PlanRequest(spec=spec, release=release, deployment_id=spec.deployment_id)
        report = await self._runner.run(activities.PLAN, asked, spec)
        return report.model_copy(update={"warnings": [*circuit_name.warnings(spec, source), *report.warnings]})

    async def _read_source(self, request: InspectInput) -> Source:
        spec = request.spec
        if spec.backend.apart:
            wanted = CheckoutRequest(repo=spec.backend.repo, ref=spec.backend.ref)
            made = await self._runner.run(activities.CHECKOUT_SOURCE, wanted, spec)
            spec = spec.model_copy(update={"backend": spec.backend.checked_out(made.directory)})
        return await self._runner.run(activities.RESOLVE_SOURCE, source_request(spec), spec)

    def _with_schema(self, spec: ClusterSpec, source: Source) -> ClusterSpec:
        try:
            return circuit_name.settle(spec, source)
        except SettingsInvalid as error:
            raise Stopped(error.diagnosis) from None

    def _changed(self) -> None:
        retry = self._runner.retry
        workflow.set_current_details(str(retry.diagnosis) if retry else "")
