"""Follows an accepted change of a backend until its report: each settled step is a line, what works now overwrites."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from temporalio.client import WorkflowQueryFailedError
from temporalio.service import RPCError

from domain.messages.backend import BackendReport
from domain.profile import StepState
from starter.cli import terminal
from starter.cli.progress import Progress
from starter.temporal.follow import Detail, outage
from starter.views import backend

LOOK_EVERY = 0.25  # seconds
RPC = timedelta(seconds=5)

Ask = Callable[[], Awaitable[BackendReport]]


async def follow(
    result: Ask, status: Ask, progress: Progress, detail: Detail, *, every: float = LOOK_EVERY
) -> BackendReport:
    """What `result` returns in the end; `status` and `detail` are asked meanwhile."""
    steps = Steps(progress)
    ending = asyncio.ensure_future(result())
    try:
        while not ending.done():
            try:
                report = await status()
                said = await detail(",".join(row.name for row in backend.working(report)))
                steps.show(report, said.text)
            except (RPCError, WorkflowQueryFailedError) as error:
                progress.show(outage(error), "trouble")
            await asyncio.wait([ending], timeout=every)
        return ending.result()
    finally:
        ending.cancel()
        progress.end()


class Steps:
    """Remembers what was told of each step."""

    def __init__(self, progress: Progress) -> None:
        """Nothing told yet."""
        self._progress = progress
        self._known: dict[str, StepState] = {}

    def show(self, report: BackendReport, detail: str) -> None:
        """Tell what is new; a first look at a backend where nothing is done is of the time before."""
        line = backend.progress(report)
        if line or self._known:
            for head, text in backend.news(self._known, report.steps):
                self._progress.settle(text, head=head)
        self._known = {row.name: row.state for row in report.steps}
        if line and report.diagnosis:  # else it is told at the end
            found = report.diagnosis
            self._progress.trouble(f"{found.code} {found.on}", "", terminal.clean(str(found)))
        if line:
            self._progress.show(line, "steps", detail)
