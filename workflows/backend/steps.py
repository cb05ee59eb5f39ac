"""Steps of one profile, run by the host's worker with the retries of each step, or stopped."""

from collections.abc import Callable

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.diagnosis import Diagnosis, Severity
    from domain.messages.backend import BackendInput, LoadedProfile, StepRequest
    from domain.profile import Step, StepState, StepStatus
    from domain.spec import BackendMode
    from planning.backend.variables import built_in
    from workflows.backend.graph import StepTable
    from workflows.execution import activities, backoff
    from workflows.execution.activity_runner import ActivityRunner, Stopped


class StepRunner:
    """Runs the steps of one request with one profile, each by an activity runner of its own."""

    def __init__(
        self, request: BackendInput, loaded: LoadedProfile, table: StepTable, runner: Callable[[], ActivityRunner]
    ) -> None:
        """`runner` makes an activity runner, which its owner can interrupt.

        `unwanted` and `wanted` are the steps by mode, `done` those of the wanted ones that are not left out.
        """
        self._request = request
        self._loaded = loaded
        self._table = table
        self._new_runner = runner
        simulated = request.mode is BackendMode.SIMULATED
        self.unwanted = [step for step in loaded.profile.steps if step.simulated and not simulated]
        self.wanted = [step for step in loaded.profile.steps if step not in self.unwanted]
        self.done = [step for step in self.wanted if step.name not in loaded.left_out]

    async def run(self, step: Step) -> StepStatus:
        """Do it, and again after a failure as often as it wants; Stopped, Interrupted."""
        if step.name in self._loaded.left_out:  # here, so that what needs it waits for what it needs
            left_out = {"state": StepState.SKIPPED, "detail": self._loaded.left_out[step.name]}
            return self._table.row(step).model_copy(update=left_out)
        runner = self._new_runner()
        again = step.name in {*self._request.restart, *self._request.redo}
        failures = 0
        while True:
            try:
                return await self._once(step, runner, again=again)
            except Stopped as stop:
                failures += 1
                if failures > step.retries or stop.diagnosis.severity in {Severity.REFUSED, Severity.INVALID}:
                    raise
                pause = backoff.step_pause(failures)
                told = f"retry {failures} of {step.retries} in {pause:.0f} s: {stop.diagnosis}"
                self._table.mark(step, StepState.FAILED, told)
                await runner.rest(pause)
                self._table.mark(step, StepState.WORKING, f"retry {failures} of {step.retries}")

    async def cure(self, step: Step) -> StepStatus:
        """Do it once; what it left whole is left alone. Stopped, Interrupted."""
        return await self._once(step, self._new_runner(), again=False)

    async def stop(self, step: Step) -> StepStatus:
        """Stop what it started; Stopped, Interrupted."""
        request, spec = self._asked(step, again=False), self._request.spec
        return await self._new_runner().run(activities.STOP_STEPS, request, spec, summary=f"stop {step.name}")

    async def _once(self, step: Step, runner: ActivityRunner, *, again: bool) -> StepStatus:
        request, spec = self._asked(step, again=again), self._request.spec
        return await runner.run(activities.RUN_STEP, request, spec, summary=f"run {step.name}")

    def _asked(self, step: Step, *, again: bool) -> StepRequest:
        loaded, request = self._loaded, self._request
        profile = loaded.profile
        circuit_dir = request.backend.circuit_dir or profile.circuit_dir
        return StepRequest(
            backend=request.backend,
            profile=profile.name,
            repo=loaded.repo,
            step=step,
            variables=built_in(request.spec, circuit_dir, loaded.repo, profile.circuit),
            declared=profile.variables,
            functions=profile.functions,
            secrets=profile.secrets,
            again=again,
        )


def unknown(names: list[str], runner: StepRunner) -> Diagnosis | None:
    """Return the refusal to repeat steps that are not part of this set-up; None when all are."""
    known = [step.name for step in runner.done]
    strange = [name for name in names if name not in known]
    if not strange:
        return None
    return Diagnosis(
        code="REFUSED",
        what=f"there is no step {', '.join(strange)} to restart or redo",
        because=f"the steps are {', '.join(known)}",
        do="name one of these",
        severity=Severity.REFUSED,
    )
