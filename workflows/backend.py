"""BackendWorkflow: the desired state of one backend on one host, shared by the deployments that need it."""

import asyncio

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain import names
    from domain.diagnosis import Diagnosis
    from domain.profile import Step, StepState, StepStatus
    from domain.spec import BackendMode
    from domain.steps import BackendInput, BackendReport, ProfileRequest, StepRequest
    from workflows import timeouts
    from workflows.attempt import Attempts, Interrupted, Stopped
    from workflows.graph import Board, run_graph


@workflow.defn
class BackendWorkflow:
    """Stays open while the backend is meant to be up; one `converge` at a time."""

    @workflow.init
    def __init__(self, request: BackendInput) -> None:
        """Nothing is known to run yet."""
        self._board = Board(self._changed)
        self._request = request
        self._turn = asyncio.Lock()
        self._running: list[Attempts] = []
        self._stopping = False
        self._stopped = False
        self._report = BackendReport(
            workflow_id=names.backend_id(request.backend.host, request.profile_name), profile=request.profile_name
        )

    @workflow.run
    async def run(self, request: BackendInput) -> BackendReport:  # noqa: ARG002 - taken by __init__
        """Answer `converge` until the backend is stopped."""
        await workflow.wait_condition(
            lambda: self._stopped or (workflow.info().is_continue_as_new_suggested() and not self._turn.locked())
        )
        await workflow.wait_condition(workflow.all_handlers_finished)
        if not self._stopped:
            workflow.continue_as_new(self._request)
        return self.status()

    @workflow.update
    async def converge(self, request: BackendInput) -> BackendReport:
        """Bring the backend to the desired mode; a report that is not `ok` carries the reason."""
        if request.mode is BackendMode.NONE:
            self._stopping = True
            self._interrupt()
        async with self._turn:
            self._request = request
            self._stopped = False
            try:
                await (self._stop(request) if request.mode is BackendMode.NONE else self._bring_up(request))
            except Stopped as stop:
                self._conclude(stop.diagnosis)
            except Interrupted:
                self._conclude(Diagnosis(code="BACKEND_STOPPED", what="the backend is being stopped by tear-down"))
            else:
                self._conclude(None)
                self._stopped = request.mode is BackendMode.NONE
            self._running = []
            return self.status()

    @workflow.query
    def status(self) -> BackendReport:
        """The steps as they stand."""
        return self._report.model_copy(update={"steps": self._board.rows})

    async def _bring_up(self, request: BackendInput) -> None:
        loaded = await self._attempts(request).run(
            timeouts.LOAD_PROFILE, ProfileRequest(backend=request.backend), request.spec
        )
        profile = loaded.profile
        circuit_dir = request.backend.circuit_dir or profile.circuit_dir
        self._report = self._report.model_copy(update={"profile": profile.name, "circuit_dir": circuit_dir})
        simulated = request.mode is BackendMode.SIMULATED
        variables = _built_in(request, loaded.repo, circuit_dir)

        async def stop_or_run(step: Step) -> StepStatus:
            wanted = StepRequest(
                backend=request.backend,
                profile=profile.name,
                repo=loaded.repo,
                step=step,
                variables=variables,
                declared=profile.variables,
            )
            runs = simulated or not step.simulated
            work, verb = (timeouts.RUN_STEP, "run") if runs else (timeouts.STOP_STEPS, "stop")
            return await self._attempts(request).run(work, wanted, request.spec, summary=f"{verb} {step.name}")

        self._board.begin(profile.steps)
        unwanted = [] if simulated else [step for step in profile.steps if step.simulated]
        await run_graph([step.model_copy(update={"needs": []}) for step in unwanted], stop_or_run, self._board)
        await run_graph([step for step in profile.steps if step not in unwanted], stop_or_run, self._board)

    async def _stop(self, request: BackendInput) -> None:
        try:
            stopped = await self._attempts(request, stops=True).run(
                timeouts.STOP_BACKEND, ProfileRequest(backend=request.backend), request.spec
            )
        finally:
            self._stopping = False
        self._board.show([StepStatus(name=name, kind="process", state=StepState.STOPPED) for name in stopped])

    def _attempts(self, request: BackendInput, *, stops: bool = False) -> Attempts:
        attempts = Attempts(request.spec.retry_for, self._changed)
        self._running.append(attempts)
        if self._stopping and not stops:
            attempts.interrupt()
        return attempts

    def _interrupt(self) -> None:
        for attempts in self._running:
            attempts.interrupt()

    def _conclude(self, diagnosis: Diagnosis | None) -> None:
        self._report = self._report.model_copy(update={"ok": diagnosis is None, "diagnosis": diagnosis})
        self._changed()

    def _changed(self) -> None:
        lines = [f"- **{row.name}** ({row.kind}): {row.state} {row.detail}".rstrip() for row in self._board.rows]
        retries = [attempts.retry for attempts in self._running if attempts.retry]
        lines += [f"- retrying to {retry.step}, attempt {retry.attempt}: {retry.diagnosis}" for retry in retries]
        if self._report.diagnosis:
            lines.append(f"\n{self._report.diagnosis}")
        workflow.set_current_details(
            "\n".join([f"Backend `{self._report.profile}`, mode {self._request.mode}", "", *lines])
        )


def _built_in(request: BackendInput, repo: str, circuit_dir: str) -> dict[str, str]:
    spec = request.spec
    return {
        "BACKEND_REPO": repo,
        "CIRCUIT": spec.circuit,
        "CIRCUIT_DIR": circuit_dir,
        "CLUSTER": spec.cluster,
        "CLUSTER_NS": spec.namespace,
        "COORDINATOR_EP": spec.coordinator.ip,
        "COORDINATOR_PORT": str(spec.coordinator.port),
        "COORDINATOR_SERV": spec.coordinator_serv,
    }
