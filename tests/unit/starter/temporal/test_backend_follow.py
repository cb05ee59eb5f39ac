"""Following a change of a backend: steps as they settle, outages, and the report at the end."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from temporalio.service import RPCError, RPCStatusCode

from domain.diagnosis import Diagnosis
from domain.messages.backend import BackendReport
from domain.profile import StepState, StepStatus
from starter.cli.exits import Exit
from starter.cli.progress import Progress
from starter.temporal.follow import follow_backend
from starter.temporal.heartbeats import StepProgress

Reply = BackendReport | Exception


def _report(setup: StepState, node: StepState, diagnosis: Diagnosis | None = None) -> BackendReport:
    steps = [
        StepStatus(name="setup", kind="command", state=setup),
        StepStatus(name="node", kind="process", state=node),
    ]
    return BackendReport(workflow_id="w", profile="example", steps=steps, diagnosis=diagnosis)


BEFORE = _report(StepState.DONE, StepState.RUNNING)
FIRST = _report(StepState.WORKING, StepState.PENDING)
SECOND = _report(StepState.DONE, StepState.WORKING)
END = _report(StepState.DONE, StepState.RUNNING)


class Backend:
    """Answers `status` from a list; the change ends when all was asked."""

    def __init__(self, *answers: Reply, end: Reply = END) -> None:
        """`end` is the report, or is raised in its place."""
        self._answers = list(answers)
        self._end = end
        self._asked = asyncio.Event()

    async def status(self) -> BackendReport:
        """Return the next answer."""
        answer = self._answers.pop(0)
        if not self._answers:
            self._asked.set()
            self._answers.append(answer)
        return _told(answer)

    async def result(self) -> BackendReport:
        """Return the end."""
        await self._asked.wait()
        return _told(self._end)


def _told(answer: Reply) -> BackendReport:
    if isinstance(answer, Exception):
        raise answer
    return answer


async def _said(_step: str) -> StepProgress:
    return StepProgress()


async def _follow(backend: Backend, detail: Callable[[str], Awaitable[StepProgress]] = _said) -> BackendReport:
    return await follow_backend(backend.result, backend.status, Progress(), detail, every=0)


async def test_each_settled_step_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Steps under way share one line; states from before the change are not shown."""
    assert await _follow(Backend(BEFORE, FIRST, FIRST, SECOND)) == END
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "0 of 2 steps settled, working on setup",
        "setup: done",
        "1 of 2 steps settled, working on node",
    ]


async def test_the_last_words_of_what_works_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Asked for by the names of the steps, so that a new one begins with none."""
    asked = []

    async def detail(step: str) -> StepProgress:
        asked.append(step)
        return StepProgress(f"{step} compiles")

    await _follow(Backend(FIRST, SECOND), detail)
    assert set(asked) == {"setup", "node"}
    assert "working on setup: setup compiles" in capsys.readouterr().err


async def test_an_outage_is_waited_for_and_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """The workflow goes on by itself meanwhile."""
    away = RPCError("as told", RPCStatusCode.UNAVAILABLE, b"")
    assert await _follow(Backend(FIRST, away, away, FIRST)) == END
    assert capsys.readouterr().err.count("Temporal does not answer; reconnecting") == 1


async def test_a_retry_says_why_once(capsys: pytest.CaptureFixture[str]) -> None:
    """While something still works; the reason at the end is told at the end."""
    why = Diagnosis(code="UNAVAILABLE", what="the registry is away")
    busy = _report(StepState.WORKING, StepState.PENDING, why)
    failed = _report(StepState.FAILED, StepState.PENDING, Diagnosis(code="BACKEND_STEP", what="it failed"))
    assert await _follow(Backend(busy, busy, failed), _said) == END
    said = capsys.readouterr().err
    assert said.count("! UNAVAILABLE: the registry is away.") == 1
    assert "BACKEND_STEP" not in said


async def test_what_the_change_raises_ends_the_following() -> None:
    """A rejected update, or a run that is gone."""
    with pytest.raises(Exit, match="rejected"):
        await _follow(Backend(FIRST, end=Exit(3, "rejected")))
