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
    """What is said once the held activity has spoken."""
    monkeypatch.setattr("starter.heartbeats.EVERY", 0.05)
    heartbeats = Heartbeats(stage.client, stage.id)
    async with asyncio.timeout(10):
        while "held" not in (text := await heartbeats.latest("a step")):  # noqa: ASYNC110 - the server cannot be subscribed to
            await asyncio.sleep(0.05)
    assert await heartbeats.latest("") == ""
    return text


@pytest.mark.parametrize(
    ("activity", "words"),
    [("ensure_image", "held"), ("run_step", "0 of 3 steps settled, working on setup; held")],
)
async def test_the_progress_of_a_step(
    stage: "Stage", world: "World", monkeypatch: pytest.MonkeyPatch, activity: str, words: str
) -> None:
    """Also of one that the backend's workflow does, with its name; a new step has said nothing yet."""
    world.faults[activity] = [world.hold]
    await stage.deploy(backend_mode=BackendMode.SIMULATED)
    assert await _latest(stage, monkeypatch) == words


async def test_the_progress_of_a_tear_down(stage: "Stage", world: "World", monkeypatch: pytest.MonkeyPatch) -> None:
    """A child workflow does it."""
    world.faults["remove_release"] = [world.hold]
    await stage.tear_down()
    assert await _latest(stage, monkeypatch) == "held"
