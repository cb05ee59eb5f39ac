"""The watch over what is deployed: it runs beside the commands and never holds them up."""

import asyncio
from collections.abc import Callable

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.messages.release import WatchRequest
    from domain.status import Observation, Retry
    from workflows.deployment.state import SETTLED, Deployment
    from workflows.execution import activities
    from workflows.execution.activity_runner import ActivityRunner, Interrupted, Stopped
    from workflows.execution.failure import WORKER_LOST


class Watch:
    """At most one watch activity at a time; it is stopped before each apply, since it judges by the old release."""

    def __init__(self, deployment: Deployment, changed: Callable[[], None]) -> None:
        """Watch nothing yet; `changed` is called after each observation."""
        self._deployment = deployment
        self._changed = changed
        self._runner: ActivityRunner | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def retry(self) -> Retry | None:
        """Why the picture may be old; the end of a worker is no reason, for the next one begins with a look."""
        retry = self._runner.retry if self._runner else None
        return None if retry and retry.diagnosis.code == WORKER_LOST else retry

    def start(self) -> None:
        """Begin; one that runs goes on."""
        if self._task is None and self._deployment.release is not None:
            self._runner = ActivityRunner(None, self._changed)
            self._task = asyncio.create_task(self._follow(self._runner))

    async def stop(self) -> None:
        """End it; the activity is abandoned, for it changes nothing."""
        if self._task is not None and self._runner is not None:
            self._runner.interrupt()
            await self._task
        self._task = self._runner = None

    def _fills_history(self) -> bool:
        """Return whether observations would grow the history of a command that runs for days."""
        busy = self._deployment.inbox.running is not None
        return busy and workflow.info().is_continue_as_new_suggested()

    async def _follow(self, runner: ActivityRunner) -> None:
        deployment = self._deployment
        while deployment.release is not None:
            request = WatchRequest(spec=deployment.spec, release=deployment.release, known=deployment.observed)
            afresh = request.model_copy(update={"known": Observation()})  # answers at once, which ends the retry
            try:
                seen = await runner.run(activities.WATCH_RELEASE, request, deployment.spec, again=afresh)
            except Interrupted:
                return
            except Stopped as stop:
                deployment.warn([f"not watched any more: {stop.diagnosis}"])
                self._changed()
                return
            deployment.observe(seen)
            if self._fills_history():
                self._changed()
                return
            if deployment.phase in SETTLED:
                deployment.settle()
            else:
                self._changed()
