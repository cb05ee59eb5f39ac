"""The progress of steps as the CLI reads it from the server, wherever the step runs."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from temporalio import activity

from domain.images import LayerProgress, TransferProgress
from domain.spec import BackendMode
from planning.image.transfer import sentence
from starter.cli.invocation import Invocation
from starter.temporal.deployments import show
from starter.temporal.heartbeats import Heartbeats, StepProgress

if TYPE_CHECKING:
    from tests.support.temporal.stage import Stage
    from tests.support.temporal.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")

MOVING = TransferProgress(
    verb="pushing",
    layers=[LayerProgress(title="mon.key", done=500, total=2000, rate=100)],
    count=3,
    settled=1,
    done=1000,
    total=4000,
    rate=200,
)
WORDS = "pushing 3 layers, 1 done: 1 of 4 kB, 200 B/s, about 15 s left; mon.key 25 %"


async def _latest(stage: "Stage", monkeypatch: pytest.MonkeyPatch, words: str = "held") -> StepProgress:
    """What is said once the held activity has spoken."""
    monkeypatch.setattr("starter.temporal.heartbeats.POLL_SECONDS", 0.05)
    heartbeats = Heartbeats(stage.client, stage.id)
    async with asyncio.timeout(10):
        while words not in (said := await heartbeats.latest("a step")).text:  # noqa: ASYNC110 - the server cannot be subscribed to
            await asyncio.sleep(0.05)
    assert await heartbeats.latest("") == StepProgress()
    return said


def _moving(world: "World") -> Any:
    """A fault that moves bytes for as long as the world holds it."""

    async def move(_request: Any) -> None:
        while not world.held.is_set():
            activity.heartbeat(sentence(MOVING), MOVING)
            await asyncio.sleep(0.02)

    return move


async def _status(stage: "Stage", form: str) -> None:
    """As `proverctl status` does it."""
    address = stage.client.service_client.config.target_host
    await show(Invocation(values={"CLUSTER_NS": stage.namespace, "TEMPORAL_ADDRESS": address}, output=form))


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
    assert await _latest(stage, monkeypatch) == (words, None)


async def test_the_progress_of_a_tear_down(stage: "Stage", world: "World", monkeypatch: pytest.MonkeyPatch) -> None:
    """A child workflow does it."""
    world.faults["remove_release"] = [world.hold]
    await stage.tear_down()
    assert await _latest(stage, monkeypatch) == ("held", None)


async def test_an_image_on_its_way(
    stage: "Stage", world: "World", monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In words and in figures, for those who follow and for `status`, as text and for programs."""
    world.faults["ensure_image"] = [_moving(world)]
    await stage.deploy()
    assert await _latest(stage, monkeypatch, "pushing") == (WORDS, MOVING)
    await _status(stage, "text")
    assert f"progress    {WORDS}\n" in capsys.readouterr().out
    await _status(stage, "json")
    layer = {"title": "mon.key", "done": 500, "total": 2000, "rate": 100.0, "seconds_left": 15.0}
    assert json.loads(capsys.readouterr().out)["progress"] == {
        "text": WORDS,
        "transfer": {
            "verb": "pushing",
            "layers": [layer],
            "count": 3,
            "settled": 1,
            "done": 1000,
            "total": 4000,
            "rate": 200.0,
            "seconds_left": 15.0,
        },
    }
    world.held.set()
    await stage.outcome("d1")
    await _status(stage, "json")
    assert json.loads(capsys.readouterr().out)["progress"] is None
