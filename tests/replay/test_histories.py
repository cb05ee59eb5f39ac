"""Every recorded history replays on the present code, so that live deployments survive an upgrade of the worker."""

import json
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from worker.queues import WORKFLOWS

HISTORIES = Path(__file__).parent / "histories"
KINDS = [
    *("answer-abort", "answer-cleared", "answer-default", "answer-fewer", "answer-retry", "answer-rollback"),
    *("as-many-as-fit", "backend", "backend-kept", "deploy", "expect-autoscaler", "log", "pre-pull"),
    *(
        "pre-pull-hopeless",
        "profile",
        "reset",
        "scale",
        "service-first",
        "teardown",
        "teardown-child",
        "teardown-purge",
        "upgrade",
    ),
    "wait-for-nodes",
]
SINGLE = {"log", "profile", "teardown", "teardown-purge"}  # of one kind of activity, or hardly two


def replayer() -> Replayer:
    """All workflows of the worker, and its converter."""
    return Replayer(
        workflows=WORKFLOWS,
        data_converter=pydantic_data_converter,
    )


def recorded(kind: str) -> dict[str, Any]:
    """The history as JSON."""
    history: dict[str, Any] = json.loads((HISTORIES / f"{kind}.json").read_text())
    return history


def as_history(history: dict[str, Any]) -> WorkflowHistory:
    """Under the id it was recorded under, for ids of children derive from it."""
    started = history["events"][0]["workflowExecutionStartedEventAttributes"]
    return WorkflowHistory.from_json(started["workflowId"], history)


def activities(history: dict[str, Any]) -> list[dict[str, Any]]:
    """The attributes of each scheduled activity, in order."""
    key = "activityTaskScheduledEventAttributes"
    return [event[key] for event in history["events"] if key in event]


def test_every_kind_of_operation_is_recorded() -> None:
    """A kind whose file is missing would silently go untested."""
    assert sorted(path.stem for path in HISTORIES.glob("*.json")) == KINDS


@pytest.mark.parametrize("kind", KINDS)
async def test_a_recorded_history_replays(kind: str) -> None:
    """The same commands in the same order."""
    result = await replayer().replay_workflow(as_history(recorded(kind)))
    assert result.replay_failure is None


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in SINGLE])
async def test_a_swapped_activity_is_rejected(kind: str) -> None:
    """The gate closes: a story that does its steps in another order does not pass."""
    history = recorded(kind)
    steps = activities(history)
    others = (step for step in steps[1:] if step["activityType"] != steps[0]["activityType"])
    other = next(others, {"activityType": {"name": "apply_release"}})
    steps[0]["activityType"], other["activityType"] = other["activityType"], steps[0]["activityType"]
    with pytest.raises(NondeterminismError):
        await replayer().replay_workflow(as_history(history))
