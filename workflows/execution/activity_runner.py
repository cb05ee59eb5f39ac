"""Runner of activities: retries each until it succeeds, cannot succeed or is interrupted, and shows each failure.

The retrying is done here and not by Temporal's retry policy, which would keep the reason of a failed attempt from
the workflow, and so from `status`, until the very last attempt.
"""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from domain.diagnosis import Diagnosis
    from domain.spec import ClusterSpec
    from domain.status import Retry
    from workflows.execution import failure
    from workflows.execution.activities import Answer, Asked, Work, start_to_close
    from workflows.execution.backoff import LONGEST_PAUSE, LONGEST_WAIT_PAUSE, Backoff
    from workflows.execution.failure import Failure, Fault, Place

ONCE = RetryPolicy(maximum_attempts=1)
BRIEFLY = 10.0  # seconds


class Stopped(Exception):
    """A step cannot succeed, or did not within the time to retry."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        """`diagnosis` is the last attempt's."""
        self.diagnosis = diagnosis
        super().__init__(str(diagnosis))


class Interrupted(Exception):
    """A newer command takes over."""


class ActivityRunner:
    """The steps of one command, one at a time; `retry` is what a person should see meanwhile."""

    def __init__(
        self, retry_for: float | None, changed: Callable[[], None], parent: "ActivityRunner | None" = None
    ) -> None:
        """`retry_for` in seconds, None for ever; `changed` is called whenever `retry` or `step` changed.

        With a `parent` these are part of its step: they end with it, and it shows their trouble.
        """
        self._retry_for = None if retry_for is None else timedelta(seconds=retry_for)
        self._changed = changed
        self._parent = parent
        self._cut = False
        self.step = ""
        self.retry: Retry | None = None

    def interrupt(self) -> None:
        """Cancel what runs, wait until it has really stopped, and raise Interrupted in the story."""
        self._cut = True

    @property
    def interrupted(self) -> bool:
        """Whether nothing more is to be done."""
        return self._cut or (self._parent is not None and self._parent.interrupted)

    def briefly(self) -> "ActivityRunner":
        """For a step that only helps: what does not work soon is left out."""
        return ActivityRunner(BRIEFLY, self._changed, self)

    async def run(
        self,
        work: Work[Asked, Answer],
        request: Asked,
        spec: ClusterSpec,
        *,
        summary: str = "",
        lacking: Callable[[Answer], Diagnosis | None] | None = None,
        again: Asked | None = None,
    ) -> Answer:
        """Run an activity and return its answer; Stopped or Interrupted.

        `lacking` may find a good answer wanting: then it is asked again as if it had failed. `again` is what is asked
        after a failure, `request` by default.
        """
        self.step = summary or work.title
        backoff = Backoff(self._retry_for, LONGEST_WAIT_PAUSE if self._parent else LONGEST_PAUSE)
        while True:
            began = workflow.now()
            got = await self._once(work, request, spec, backoff.unattended, lacking)
            if self.interrupted:
                raise Interrupted
            if not isinstance(got, Failure):
                self._show(None)
                return got
            pause = None if got.fault is Fault.PERMANENT else backoff.pause(got, began=began, now=workflow.now())
            if pause is None:
                self._show(None)
                raise Stopped(got.diagnosis)
            self._show(Retry(step=self.step, attempt=backoff.attempt, diagnosis=got.diagnosis))
            request = again or request
            await self.rest(pause)

    async def outlast(
        self,
        work: Work[Asked, Answer],
        request: Asked,
        spec: ClusterSpec,
        *,
        seconds: float,
        ended: Callable[[], bool] = lambda: False,
    ) -> Answer | None:
        """Run an activity that may take days; None when the time is over first, or `ended` is true.

        Failures that may pass are outlasted, too. Stopped or Interrupted.
        """
        waiter = ActivityRunner(None, self._changed, self)
        answer = asyncio.create_task(waiter.run(work, request, spec, summary=self.step))
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: answer.done() or ended() or self.interrupted, timeout=seconds, timeout_summary=self.step
            )
        waiter.interrupt()  # no more than a word to one that is done
        try:
            return await answer
        except Interrupted:
            if self.interrupted:
                raise
            return None
        finally:
            self.retry = None

    async def _once(
        self,
        work: Work[Asked, Answer],
        request: Asked,
        spec: ClusterSpec,
        unattended: timedelta,
        lacking: Callable[[Answer], Diagnosis | None] | None,
    ) -> Answer | Failure:
        place = Place(work.title, work.queue(spec), work.role, workflow.now())
        try:
            answer = await self._activity(work, request, spec, unattended)
        except ActivityError as error:
            return failure.read(error, place)
        finding = lacking(answer) if lacking else None
        return Failure(Fault.TRANSIENT, finding) if finding else answer

    async def _activity(
        self, work: Work[Asked, Answer], request: Asked, spec: ClusterSpec, unattended: timedelta
    ) -> Answer:
        cancellation = workflow.ActivityCancellationType
        handle: workflow.ActivityHandle[Answer] = workflow.start_activity_method(
            work.method,
            request,
            task_queue=work.queue(spec),
            schedule_to_start_timeout=unattended,
            start_to_close_timeout=start_to_close(work, spec, request),
            heartbeat_timeout=work.heartbeat,
            retry_policy=ONCE,
            cancellation_type=cancellation.WAIT_CANCELLATION_COMPLETED
            if work.wait_for_cancel
            else cancellation.TRY_CANCEL,
            summary=self.step,
        )
        await workflow.wait_condition(lambda: self.interrupted or handle.done())
        if not handle.done():
            handle.cancel()  # and go on waiting: two writers at once is what must not be
        return await handle

    async def rest(self, pause: float) -> None:
        """Wait so many seconds; Interrupted."""
        if pause > 0:
            try:
                await workflow.wait_condition(
                    lambda: self.interrupted, timeout=pause, timeout_summary=f"before the next try to {self.step}"
                )
            except TimeoutError:
                return
        if self.interrupted:
            raise Interrupted

    def _show(self, retry: Retry | None) -> None:
        if retry != self.retry:
            self.retry = retry
            if self._parent:
                self._parent.retry = retry
            self._changed()
