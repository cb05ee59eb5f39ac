"""BackendWorkflow: the desired state of one backend on one host, shared by the deployments that need it."""

import asyncio

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain import names
    from domain.diagnosis import Diagnosis
    from domain.messages.backend import (
        BackendInput,
        BackendReport,
        LoadedProfile,
        ProfileRequest,
        ProgramSearch,
        PurgeRequest,
    )
    from domain.profile import StepState, StepStatus
    from domain.spec import BackendMode
    from planning.backend.steps import optional_warnings
    from planning.backend.variables import built_in
    from planning.status.markdown import backend_markdown
    from workflows.backend.graph import StepTable, inverted, needing, run_graph
    from workflows.backend.steps import StepRunner, unknown
    from workflows.backend.watch import BackendMonitor
    from workflows.execution import activities, rejection
    from workflows.execution.activity_runner import ActivityRunner, Interrupted, Stopped

BLANK = 5.0  # seconds that a run without any `converge` waits for one: its first was rejected


class ChangeRefused(Exception):
    """Nothing was changed, and what is up stays as it is."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        """`diagnosis` is for who asked, and not for the backend's status."""
        self.diagnosis = diagnosis
        super().__init__(str(diagnosis))


@workflow.defn
class BackendWorkflow:
    """Stays open while the backend is meant to be up; one `converge` at a time, and between them it is kept up."""

    @workflow.init
    def __init__(self, request: BackendInput) -> None:
        """Take up where the run before left off, or know nothing yet."""
        self._request = request
        self._loaded = request.loaded
        self._report = request.known or BackendReport(
            workflow_id=names.backend_id(request.backend.host, request.profile_name), profile=request.profile_name
        )
        self._table = StepTable(self._changed, self._report.steps)
        self._turn = asyncio.Lock()
        self._running: list[ActivityRunner] = []
        self._monitor: BackendMonitor | None = None
        self._stops = 0  # asked and not yet done
        self._asked = workflow.info().continued_run_id is not None
        self._stopped = False

    @workflow.run
    async def run(self, request: BackendInput) -> BackendReport:  # noqa: ARG002 - taken by __init__
        """Answer `converge` until the backend is stopped."""
        if not self._asked and not await self._is_asked():
            return self.status()
        if not self._turn.locked():
            self._keep()
        await workflow.wait_condition(self._at_rest)
        if not self._stopped:
            self._continue_as_new()
        return self.status()

    @workflow.update
    async def converge(self, request: BackendInput) -> BackendReport:
        """Bring the backend to the desired mode; a report that is not `ok` carries the reason."""
        self._asked = True
        stops = request.mode is BackendMode.NONE
        self._stops += stops
        if stops:
            for runner in self._running:
                runner.interrupt()
        async with self._turn:
            return (await self._take_turn(request)).model_copy(update={"busy": False})

    @converge.validator
    def _judge(self, request: BackendInput) -> None:
        stops = request.mode is BackendMode.NONE
        if stops and (request.restart or request.redo or request.force):
            raise rejection.rejection(
                rejection.invalid("a backend that is stopped restarts nothing", "ask for one only")
            )
        if request.purge and not stops:
            raise rejection.rejection(
                rejection.invalid("the data of a backend that is to run cannot be deleted", "stop it with --purge")
            )

    @workflow.query
    def status(self) -> BackendReport:
        """Return the present state of the steps and the finding about them."""
        down = self._monitor.diagnosis if self._monitor else None
        retry = next((runner.retry for runner in self._running if runner.retry), None)
        return self._report.model_copy(
            update={
                "mode": self._request.mode,
                "steps": self._table.rows,
                "ok": self._report.ok and down is None,
                "busy": self._turn.locked(),
                "warnings": optional_warnings(self._loaded.profile.steps if self._loaded else [], self._table.rows),
                "diagnosis": self._report.diagnosis or down or (retry.diagnosis if retry else None),
            }
        )

    # The story of one converge

    async def _take_turn(self, request: BackendInput) -> BackendReport:
        stops = request.mode is BackendMode.NONE
        if self._monitor:
            await self._monitor.stop()
            self._monitor = None
        self._stopped = False
        try:
            await (self._stop(request) if stops else self._bring_up(request))
        except ChangeRefused as refused:
            self._running = []
            self._keep()
            return self.status().model_copy(update={"ok": False, "diagnosis": refused.diagnosis})
        except Stopped as stop:
            self._conclude(stop.diagnosis)
        except Interrupted:
            self._conclude(Diagnosis(code="BACKEND_STOPPED", what="the backend is being stopped by another command"))
        else:
            self._stopped = stops
            self._conclude(None)
        finally:
            self._stops -= stops
        self._keep()
        return self.status()

    async def _bring_up(self, request: BackendInput) -> None:
        loaded = await self._load(request)
        runner = StepRunner(request, loaded, self._table, lambda: self._new_runner(request))
        if strange := unknown([*request.restart, *request.redo], runner):
            raise ChangeRefused(strange)
        self._begin(request, loaded)
        table, steps = self._table, loaded.profile.steps
        if request.force:
            await self._stop_all(request, loaded.profile.name)
        await run_graph([step.model_copy(update={"needs": []}) for step in runner.unwanted], runner.stop, table)
        behind = needing(steps, request.restart)
        ends = {
            step.name
            for step in runner.wanted
            if step.name in {*request.restart, *request.redo} or (step.stays and step.name in behind)
        }
        await run_graph(inverted(steps, ends), runner.stop, table)
        await run_graph(runner.wanted, runner.run, table)

    async def _load(self, request: BackendInput) -> LoadedProfile:
        variables = built_in(request.spec, request.backend.circuit_dir)
        programs = ProgramSearch(
            simulated=request.mode is BackendMode.SIMULATED, again=[*request.restart, *request.redo]
        )
        wanted = None if request.mode is BackendMode.NONE else programs
        asked = ProfileRequest(backend=request.backend, variables=variables, programs=wanted)
        try:
            return await self._new_runner(request).run(activities.LOAD_PROFILE, asked, request.spec)
        except Stopped as stop:
            if self._loaded is None:
                raise
            raise ChangeRefused(stop.diagnosis) from None

    def _begin(self, request: BackendInput, loaded: LoadedProfile) -> None:
        self._request, self._loaded = request, loaded
        self._report = BackendReport(
            workflow_id=self._report.workflow_id,
            profile=loaded.profile.name,
            circuit_dir=request.backend.circuit_dir or loaded.profile.circuit_dir,
            repo=loaded.repo,
        )
        self._table.begin(loaded.profile.steps, loaded.left_out)

    async def _stop(self, request: BackendInput) -> None:
        self._request = request
        kinds = {row.name: row.kind for row in self._table.rows}
        stopped = await self._stop_all(request, request.profile_name or self._report.profile)
        self._loaded = None
        self._table.show(
            [StepStatus(name=name, kind=kinds.get(name, "process"), state=StepState.STOPPED) for name in stopped]
        )
        if request.purge:
            loaded = await self._load(request)
            asked = PurgeRequest(
                backend=request.backend,
                profile=loaded.profile,
                repo=loaded.repo,
                variables=built_in(request.spec, self._report.circuit_dir, loaded.repo, loaded.profile.circuit),
            )
            purged = await self._new_runner(request).run(activities.PURGE_BACKEND, asked, request.spec)
            self._report = self._report.model_copy(update={"purged": purged})

    async def _stop_all(self, request: BackendInput, profile: str) -> list[str]:
        asked = ProfileRequest(
            backend=request.backend, profile=profile, variables=built_in(request.spec, request.backend.circuit_dir)
        )
        return await self._new_runner(request).run(activities.STOP_BACKEND, asked, request.spec)

    def _new_runner(self, request: BackendInput) -> ActivityRunner:
        runner = ActivityRunner(request.spec.retry_for, self._changed)
        self._running.append(runner)
        if self._stops and request.mode is not BackendMode.NONE:
            runner.interrupt()
        return runner

    # Between two converges

    def _keep(self) -> None:
        if self._loaded and self._request.mode is not BackendMode.NONE:
            self._monitor = BackendMonitor(self._request, self._loaded, self._table, self._changed)

    def _at_rest(self) -> bool:
        curing = self._monitor is not None and self._monitor.busy
        if curing or not workflow.all_handlers_finished():
            return False
        return self._stopped or workflow.info().is_continue_as_new_suggested()

    def _continue_as_new(self) -> None:
        known = self._report.model_copy(update={"steps": self._table.rows})
        done = {"force": False, "restart": [], "redo": [], "purge": False}
        workflow.continue_as_new(self._request.model_copy(update={"known": known, "loaded": self._loaded, **done}))

    async def _is_asked(self) -> bool:
        try:
            await workflow.wait_condition(lambda: self._asked, timeout=BLANK)
        except TimeoutError:
            return False
        return True

    def _conclude(self, diagnosis: Diagnosis | None) -> None:
        self._running = []
        self._report = self._report.model_copy(update={"ok": diagnosis is None, "diagnosis": diagnosis})
        self._changed()

    def _changed(self) -> None:
        retries = [runner.retry for runner in self._running if runner.retry]
        if self._monitor and self._monitor.retry:
            retries.append(self._monitor.retry)
        workflow.set_current_details(backend_markdown(self.status(), retries))
