"""Runs the steps of a backend profile, each as soon as all that it needs is done."""

import asyncio
from collections.abc import Awaitable, Callable

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.profile import Step, StepState, StepStatus
    from workflows.attempt import Stopped

Run = Callable[[Step], Awaitable[StepStatus]]


class Board:
    """The rows that people see, in the order of the profile."""

    def __init__(self, changed: Callable[[], None]) -> None:
        """`changed` is called after each change of a row."""
        self._rows: dict[str, StepStatus] = {}
        self._changed = changed

    @property
    def rows(self) -> list[StepStatus]:
        """As they stand."""
        return list(self._rows.values())

    def begin(self, steps: list[Step]) -> None:
        """All steps are yet to be done."""
        self.show([StepStatus(name=step.name, kind=step.kind) for step in steps])

    def show(self, rows: list[StepStatus]) -> None:
        """These rows and no others."""
        self._rows = {row.name: row for row in rows}
        self._changed()

    def set(self, row: StepStatus) -> None:
        """One row changes."""
        self._rows[row.name] = row
        self._changed()


async def run_graph(steps: list[Step], run: Run, board: Board) -> None:
    """Returns when every step is done; after a failure nothing new is started, and the first one is raised.

    What a step needs beyond `steps` counts as done.
    """
    waiting = {step.name: step for step in steps}
    running: dict[asyncio.Task[StepStatus], Step] = {}
    failures: list[BaseException] = []
    while running or (waiting and not failures):
        for step in [] if failures else ready(waiting, [one.name for one in running.values()]):
            board.set(StepStatus(name=step.name, kind=step.kind, state=StepState.RUNNING))
            running[asyncio.create_task(_run(run, step))] = waiting.pop(step.name)
        done, _ = await workflow.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            step = running.pop(task)
            error = task.exception()
            if error is None:
                board.set(task.result())
            else:
                failures.append(error)
                board.set(StepStatus(name=step.name, kind=step.kind, state=StepState.FAILED, detail=_detail(error)))
    if failures:
        raise failures[0]


def ready(waiting: dict[str, Step], running: list[str]) -> list[Step]:
    """The steps that need nothing which still waits or runs."""
    unfinished = {*waiting, *running}
    return [step for step in waiting.values() if not unfinished.intersection(step.needs)]


async def _run(run: Run, step: Step) -> StepStatus:
    return await run(step)


def _detail(error: BaseException) -> str:
    return str(error.diagnosis) if isinstance(error, Stopped) else type(error).__name__
