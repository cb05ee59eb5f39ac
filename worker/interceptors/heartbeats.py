"""Heartbeats beside those of the activities, so that one slow answer of a peer never looks like a dead worker.

Every call of a client has a socket timeout of its own, about as long as the heartbeat timeout. What may block for
longer (a build, a step of the backend) beats for itself alone: there silence means that it hangs.
"""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio import activity
from temporalio.worker import (
    ActivityInboundInterceptor,
    ActivityOutboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
)

SHARE = 4  # beats per heartbeat timeout


class SteadyBeats(Interceptor):
    """For activities whose start-to-close timeout is at most `up_to`."""

    def __init__(self, up_to: timedelta) -> None:
        """Longer ones are left alone."""
        self._up_to = up_to

    def intercept_activity(
        self,
        next: ActivityInboundInterceptor,  # noqa: A002 - the SDK passes it by this name
    ) -> ActivityInboundInterceptor:
        """Return the activity's chain with heartbeats around it."""
        return _Inbound(super().intercept_activity(next), self._up_to)


class _Inbound(ActivityInboundInterceptor):
    def __init__(self, following: ActivityInboundInterceptor, up_to: timedelta) -> None:
        super().__init__(following)
        self._up_to = up_to
        self._outbound: _Outbound | None = None

    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        self._outbound = _Outbound(outbound)
        super().init(self._outbound)

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        info = activity.info()
        lasts = info.start_to_close_timeout
        if not info.heartbeat_timeout or lasts is None or lasts > self._up_to:
            return await super().execute_activity(input)
        beating = asyncio.create_task(self._beat(info.heartbeat_timeout.total_seconds() / SHARE))
        try:
            return await super().execute_activity(input)
        finally:
            beating.cancel()

    async def _beat(self, every: float) -> None:
        while self._outbound is not None:
            await asyncio.sleep(every)
            self._outbound.repeat()


class _Outbound(ActivityOutboundInterceptor):
    """Remembers what was said last, for a beat without it would wipe it out."""

    def __init__(self, following: ActivityOutboundInterceptor) -> None:
        super().__init__(following)
        self._last: tuple[Any, ...] = ()

    def heartbeat(self, *details: Any) -> None:
        self._last = details
        super().heartbeat(*details)

    def repeat(self) -> None:
        super().heartbeat(*self._last)
