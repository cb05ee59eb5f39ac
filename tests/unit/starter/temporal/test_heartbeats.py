"""Progress among the details of heartbeats, with a server of our own."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.api.common.v1 import Payloads
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.contrib.pydantic import pydantic_data_converter

from domain.images import TransferProgress
from starter.temporal import heartbeats
from starter.temporal.heartbeats import Heartbeats, StepProgress

STARTED = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
SCHEDULED = PendingActivityState.PENDING_ACTIVITY_STATE_SCHEDULED
MOVING = TransferProgress(verb="pushing", count=1, done=1, total=2)


class FakeServer:
    """Describes one workflow with its pending activities; `slow` answers never."""

    data_converter = pydantic_data_converter

    def __init__(self, *pending: PendingActivityInfo, slow: bool = False) -> None:
        """No children."""
        self._raw = SimpleNamespace(pending_activities=pending, pending_children=[])
        self._slow = slow

    def get_workflow_handle(self, _workflow_id: str) -> "FakeServer":
        """Return the only run."""
        return self

    async def describe(self, *, rpc_timeout: timedelta) -> Any:
        """Return the answers as given."""
        assert rpc_timeout == heartbeats.RPC_TIMEOUT
        if self._slow:
            await asyncio.Event().wait()
        return SimpleNamespace(raw_description=self._raw)


async def _pending(*details: Any, state: Any = STARTED, began: int = 100, spoke: int = 101) -> PendingActivityInfo:
    payloads = await pydantic_data_converter.encode(details) if details else []
    info = PendingActivityInfo(state=state, heartbeat_details=Payloads(payloads=payloads))
    info.last_started_time.seconds, info.last_heartbeat_time.seconds = began, spoke
    return info


async def _read(*pending: PendingActivityInfo) -> StepProgress:
    server: Any = FakeServer(*pending)
    return await Heartbeats(server, "prover-cluster/default/a").once("a step")


async def test_words_and_figures() -> None:
    """The figures of one activity, the words of all."""
    assert await _read(await _pending("building"), await _pending("pushing k", MOVING)) == (
        "building; pushing k",
        MOVING,
    )


@pytest.mark.parametrize("second", [{"resume": 7}, "more words", 12, None, {**MOVING.model_dump(), "done": "x"}])
async def test_another_second_detail_is_no_figure(second: Any) -> None:
    """The second detail may be of a newer worker, or for the activity's next attempt."""
    assert await _read(await _pending("pushing k", second)) == ("pushing k", None)


async def test_a_field_that_this_version_does_not_know_is_ignored() -> None:
    """A newer worker may say more."""
    assert await _read(await _pending("pushing k", {**MOVING.model_dump(), "colour": "red"})) == (
        "pushing k",
        MOVING,
    )


@pytest.mark.parametrize("details", [(), ({"resume": 7}, MOVING)])
async def test_details_without_words_say_nothing(details: tuple[Any, ...]) -> None:
    """Details without a text are for the activity's next attempt."""
    assert await _read(await _pending(*details)) == StepProgress()


@pytest.mark.parametrize("more", [{"state": SCHEDULED}, {"began": 102}])
async def test_words_of_an_attempt_that_failed_are_of_the_past(more: dict[str, Any]) -> None:
    """The server keeps them until the next attempt speaks."""
    assert await _read(await _pending("pushing k", MOVING, **more)) == StepProgress()


async def test_a_server_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """`status` shows what it knows without."""
    monkeypatch.setattr(heartbeats, "SINGLE_READ_SECONDS", 0.01)
    server: Any = FakeServer(slow=True)
    assert await Heartbeats(server, "a").once("a step") == StepProgress()


def test_nothing_said_is_null_for_programs() -> None:
    """A text without figures has no transfer."""
    assert StepProgress().data() is None
    assert StepProgress("building").data() == {"text": "building", "transfer": None}
