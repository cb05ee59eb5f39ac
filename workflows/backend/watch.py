"""Keeps a backend that is up: watches what stays, shows what changed, and runs again what ended, a few times."""

import asyncio
from collections import defaultdict
from collections.abc import Callable

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.diagnosis import Diagnosis, Severity
    from domain.messages.backend import BackendInput, BackendWatch, LoadedProfile
    from domain.profile import Step, StepState, StepStatus
    from domain.status import Retry
    from workflows.backend.graph import StepTable, needed_by
    from workflows.backend.steps import StepRunner
    from workflows.execution import activities
    from workflows.execution.activity_runner import ActivityRunner, Interrupted, Stopped
    from workflows.execution.backoff import RestartBudget
    from workflows.execution.failure import WORKER_LOST

DOWN = {StepState.FAILED, StepState.STOPPED}
NOT_UP = {StepState.PENDING, StepState.WORKING, *DOWN}


class BackendMonitor:
    """Monitor of a backend that is up: one watch activity, and one restart for each step that is down."""

    def __init__(
        self, request: BackendInput, loaded: LoadedProfile, table: StepTable, changed: Callable[[], None]
    ) -> None:
        """Monitor the steps that stay and were begun, not those that a failed set-up never reached."""
        self._request = request
        self._profile = loaded.profile
        self._table = table
        self._changed = changed
        self._runner = StepRunner(
            request.model_copy(update={"restart": [], "redo": []}), loaded, table, self._new_runner
        )
        begun = [step for step in self._runner.done if step.stays and table.row(step).state is not StepState.PENDING]
        self._kept = {step.name: step for step in begun}
        self._budgets: defaultdict[str, RestartBudget] = defaultdict(RestartBudget)
        self._curing: dict[str, asyncio.Task[None]] = {}
        self._working: list[ActivityRunner] = []
        self._watching = ActivityRunner(None, changed)
        self._ended = False
        self._blind: Diagnosis | None = None
        self._task = asyncio.create_task(self._watch())

    @property
    def busy(self) -> bool:
        """Whether something is being cured."""
        return bool(self._curing)

    @property
    def retry(self) -> Retry | None:
        """Why the picture may be old; the end of a worker is no reason, for the next one begins with a look."""
        retry = self._watching.retry
        return None if retry and retry.diagnosis.code == WORKER_LOST else retry

    @property
    def diagnosis(self) -> Diagnosis | None:
        """The first step that is down and not optional, and what is done about it."""
        needed = (step for step in self._kept.values() if not step.optional)
        down = (step for step in needed if step.name in self._curing or self._row(step).state in DOWN)
        return next((self._down(step) for step in down), self._blind)

    async def stop(self) -> None:
        """End the watch, which is abandoned, and all cures, which are cancelled."""
        self._ended = True
        for runner in (self._watching, *self._working):
            runner.interrupt()
        await asyncio.gather(self._task, *self._curing.values())

    async def _watch(self) -> None:
        while not self._ended:
            await workflow.wait_condition(lambda: self._ended or bool(self._known()))
            self._watching = ActivityRunner(None, self._changed)
            if self._ended:
                return
            asked = BackendWatch(profile=self._profile.name, known=self._known())
            afresh = asked.model_copy(update={"known": []})  # answers at once, which ends the retry
            try:
                seen = await self._watching.run(activities.WATCH_BACKEND, asked, self._request.spec, again=afresh)
            except Interrupted:
                continue  # it ends, or a cured step is to be watched again
            except Stopped as stop:
                self._blind = stop.diagnosis
                self._changed()
                return
            for row in seen:
                self._take(row)

    def _known(self) -> list[StepStatus]:
        """Return the rows of steps that are not being restarted; a skipped or done step is expected to run."""
        rows = [self._row(step) for step in self._kept.values() if step.name not in self._curing]
        up = {StepState.DONE, StepState.SKIPPED}
        return [row.model_copy(update={"state": StepState.RUNNING}) if row.state in up else row for row in rows]

    def _take(self, seen: StepStatus) -> None:
        known = next((row for row in self._known() if row.name == seen.name), None)
        if known is None or known.state is seen.state:
            return
        self._table.set(known.model_copy(update={"state": seen.state, "detail": seen.detail}))
        step = self._kept[seen.name]
        if seen.state in DOWN and _curable(step, seen.state):
            self._curing[step.name] = asyncio.create_task(self._cure(step))
            self._changed()

    async def _cure(self, step: Step) -> None:
        cures = self._budgets[step.name]
        try:
            while (pause := cures.pause(workflow.now())) is not None:
                await self._rest(step, pause)
                cures.begin(workflow.now())
                self._table.mark(step, StepState.WORKING, f"cure {cures.count} after: {self._row(step).detail}")
                if await self._cured(step):
                    return
        except Interrupted:
            return
        finally:
            del self._curing[step.name]
            self._watching.interrupt()  # the next one knows the step again
            self._changed()

    async def _cured(self, step: Step) -> bool:
        try:
            self._table.set(await self._runner.cure(step))
        except Stopped as stop:
            self._table.mark(step, StepState.FAILED, str(stop.diagnosis))
            return False
        return True

    async def _rest(self, step: Step, pause: float) -> None:
        """Until it is time, and all that the step needs is up again."""
        await self._new_runner().rest(pause)
        needs = needed_by(self._profile.steps, step.name)
        rows = [one for one in self._runner.wanted if one.name in needs]
        await workflow.wait_condition(lambda: self._ended or all(self._row(one).state not in NOT_UP for one in rows))
        if self._ended:
            raise Interrupted

    def _new_runner(self) -> ActivityRunner:
        runner = ActivityRunner(self._request.spec.retry_for, self._changed)
        self._working = [*(one for one in self._working if self._curing), runner]
        if self._ended:
            runner.interrupt()
        return runner

    def _row(self, step: Step) -> StepStatus:
        return self._table.row(step)

    def _down(self, step: Step) -> Diagnosis:
        name, count = step.name, self._budgets[step.name].count if step.name in self._budgets else 0
        because = f"it was run again {count} times and did not stay up" if count else "it ended, and is not run again"
        found = Diagnosis(
            code="BACKEND_DOWN",
            what=f"step {name} does not run any more",
            on=f"backend {self._profile.name}",
            evidence=self._row(step).detail,
            because=because,
            do=f"see `proverctl backend logs {name}`, mend the cause, then `proverctl backend restart {name}`",
        )
        if name not in self._curing:
            return found
        healing = {"because": "it ended, and is run again", "severity": Severity.TRANSIENT}
        return found.model_copy(update={**healing, "do": f"see `proverctl backend logs {name}` for why it ended"})


def _curable(step: Step, state: StepState) -> bool:
    """Return whether a step is run again: a process is restarted by its supervisor unless that died."""
    return not step.process or state is StepState.STOPPED
