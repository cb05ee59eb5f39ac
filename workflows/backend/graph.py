"""Runs the steps of a backend profile, each as soon as all that it needs is done."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.profile import Step, StepState, StepStatus
    from workflows.execution.activity_runner import Interrupted, Stopped

Run = Callable[[Step], Awaitable[StepStatus]]


class StepTable:
    """Table of the steps as users see it, in the order of the profile."""

    def __init__(self, changed: Callable[[], None], rows: Sequence[StepStatus] = ()) -> None:
        """Take the rows of the run before; `changed` is called after each change of a row."""
        self._rows = {row.name: row for row in rows}
        self._changed = changed

    @property
    def rows(self) -> list[StepStatus]:
        """As they stand."""
        return list(self._rows.values())

    def row(self, step: Step) -> StepStatus:
        """Return the row of a step."""
        return self._rows.get(step.name) or StepStatus(name=step.name, kind=step.kind)

    def begin(self, steps: list[Step], left_out: Mapping[str, str]) -> None:
        """All steps are yet to be done but those left out, with the reason."""
        pending = [StepStatus(name=step.name, kind=step.kind) for step in steps]
        skipped = StepState.SKIPPED
        self.show(
            [
                row.model_copy(update={"state": skipped, "detail": left_out[row.name]}) if row.name in left_out else row
                for row in pending
            ]
        )

    def show(self, rows: list[StepStatus]) -> None:
        """Replace all rows."""
        self._rows = {row.name: row for row in rows}
        self._changed()

    def set(self, row: StepStatus) -> None:
        """Replace one row."""
        self._rows[row.name] = row
        self._changed()

    def mark(self, step: Step, state: StepState, detail: str = "") -> None:
        """Set the state of one row."""
        self.set(StepStatus(name=step.name, kind=step.kind, state=state, detail=detail))


async def run_graph(steps: list[Step], run: Run, table: StepTable) -> None:
    """Run the steps until every one is done; after a failure start nothing new and raise the first failure.

    What a step needs beyond `steps` counts as done. The failure of an optional step stops only those that need it.
    """
    waiting = {step.name: step for step in steps}
    running: dict[asyncio.Task[StepStatus], Step] = {}
    failures: list[BaseException] = []
    fallen: set[str] = set()  # optional steps that failed
    while running or (waiting and not failures):
        for step in [] if failures else ready(waiting, [one.name for one in running.values()]):
            if lost := sorted(fallen.intersection(step.needs)):
                fallen.add(waiting.pop(step.name).name)
                table.mark(step, StepState.FAILED, f"it needs {', '.join(lost)}, which failed")
                continue
            table.mark(step, StepState.WORKING)
            running[asyncio.create_task(_run(run, step))] = waiting.pop(step.name)
        if fallen and not running:
            continue  # what was ready needs one of these
        done, _ = await workflow.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            step = running.pop(task)
            error = task.exception()
            if error is None:
                table.set(task.result())
                continue
            table.mark(step, *_ended(error))
            if step.optional and isinstance(error, Stopped):
                fallen.add(step.name)
            else:
                failures.append(error)
    if failures:
        raise failures[0]


def ready(waiting: dict[str, Step], running: list[str]) -> list[Step]:
    """Return the steps whose needs are all done."""
    unfinished = {*waiting, *running}
    return [step for step in waiting.values() if not unfinished.intersection(step.needs)]


def inverted(steps: Sequence[Step], names: Collection[str]) -> list[Step]:
    """Return the named steps with inverted needs, also indirect ones: the order of stopping."""
    return [
        step.model_copy(update={"needs": sorted(needing(steps, [step.name]).intersection(names))})
        for step in steps
        if step.name in names
    ]


def needed_by(steps: Sequence[Step], name: str) -> set[str]:
    """All that this step needs, and what that needs."""
    return _reached({step.name: step.needs for step in steps}, [name])


def needing(steps: Sequence[Step], names: Collection[str]) -> set[str]:
    """All that need one of these, and what needs that."""
    edges = {step.name: [other.name for other in steps if step.name in other.needs] for step in steps}
    return _reached(edges, names)


def _reached(edges: Mapping[str, Sequence[str]], start: Collection[str]) -> set[str]:
    found: set[str] = set()
    front = list(start)
    while front:
        new = [name for name in edges.get(front.pop(), ()) if name not in found]
        found.update(new)
        front += new
    return found


async def _run(run: Run, step: Step) -> StepStatus:
    return await run(step)


def _ended(error: BaseException) -> tuple[StepState, str]:
    if isinstance(error, Interrupted):
        return StepState.STOPPED, "interrupted by a stop"
    return StepState.FAILED, str(error.diagnosis) if isinstance(error, Stopped) else type(error).__name__
