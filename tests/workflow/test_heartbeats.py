"""The progress of steps as the CLI reads it from the server, wherever the step runs."""

import asyncio
from typing import TYPE_CHECKING

import pytest

from domain.spec import BackendMode
from starter.heartbeats import Heartbeats

if TYPE_CHECKING:
    from tests.workflow.conftest import Stage, World

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def _latest(stage: "Stage", monkeypatch: pytest.MonkeyPatch) -> str:
    """The first thing that is said."""
    monkeypatch.setattr("starter.heartbeats.EVERY", 0.05)
    heartbeats = Heartbeats(stage.client, stage.id)
    async with asyncio.timeout(10):
        while not (text := await heartbeats.latest("a step")):  # noqa: ASYNC110 - the server cannot be subscribed to
            await asyncio.sleep(0.05)
    assert await heartbeats.latest("") == ""
    return text


@pytest.mark.parametrize("activity", ["ensure_image", "run_step"])
async def test_the_progress_of_a_step(
    stage: "Stage", world: "World", monkeypatch: pytest.MonkeyPatch, activity: str
) -> None:
    """Also of one that the backend's workflow does; a new step has said nothing yet."""
    world.faults[activity] = [world.hold]
    await stage.deploy(backend_mode=BackendMode.SIMULATED)
    assert await _latest(stage, monkeypatch) == "held"


async def test_the_progress_of_a_tear_down(stage: "Stage", world: "World", monkeypatch: pytest.MonkeyPatch) -> None:
    """A child workflow does it."""
    world.faults["remove_release"] = [world.hold]
    await stage.tear_down()
    assert await _latest(stage, monkeypatch) == "held"
