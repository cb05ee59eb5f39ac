"""Beats beside those of an activity, seen through a chain of our own."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ActivityOutboundInterceptor, ExecuteActivityInput

from worker.interceptors.heartbeats import SteadyBeats


class Out(ActivityOutboundInterceptor):
    """The end of the chain: what reaches the server."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.sent: list[tuple[Any, ...]] = []

    def heartbeat(self, *details: Any) -> None:
        """Remember it."""
        self.sent.append(details)


class Silent(ActivityInboundInterceptor):
    """An activity that says one thing and then waits for a slow peer."""

    def __init__(self) -> None:
        """No outbound yet."""
        self.outbound: ActivityOutboundInterceptor | None = None

    def init(self, outbound: ActivityOutboundInterceptor) -> None:
        """As the SDK gives it."""
        self.outbound = outbound

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002, ARG002 - the SDK's name
        """Wait for longer than the heartbeat timeout."""
        assert self.outbound is not None
        self.outbound.heartbeat("listing nodes")
        await asyncio.sleep(0.3)
        return "done"


@pytest.mark.parametrize(("lasts", "expected"), [(timedelta(minutes=1), True), (timedelta(hours=2), False)])
async def test_a_short_silent_activity_goes_on_beating(lasts: timedelta, expected: bool) -> None:
    """With its own last words; a long one is left to itself."""
    out = Out()
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, heartbeat_timeout=timedelta(seconds=0.2), start_to_close_timeout=lasts)
    chain = SteadyBeats(timedelta(minutes=30)).intercept_activity(Silent())
    chain.init(out)

    async def run() -> Any:
        assert activity.in_activity()
        return await chain.execute_activity(ExecuteActivityInput(fn=run, args=[], executor=None, headers={}))

    assert await environment.run(run) == "done"
    assert (len(out.sent) > 2) == expected
    assert set(out.sent) == {("listing nodes",)}
