"""Following a command through progress, outages and the end of the run, with a workflow handle of our own."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError, WorkflowQueryFailedError
from temporalio.exceptions import TerminatedError
from temporalio.service import RPCError, RPCStatusCode

from domain.commands import Kind, Outcome, Verdict
from domain.diagnosis import Diagnosis
from domain.images import TransferProgress
from domain.status import Phase, Status
from planning.status import question
from starter.cli.exits import Exit
from starter.cli.progress import Progress
from starter.temporal import follow
from starter.temporal.heartbeats import StepProgress
from starter.views.outcome import CommandEnd

MINE = Outcome(command_id="mine", kind=Kind.UPGRADE, title="deploy", verdict=Verdict.DONE)
OTHER = Outcome(command_id="other", kind=Kind.SCALE, title="scale to 3", verdict=Verdict.DONE)
BUSY = Status(phase=Phase.ROLLING_OUT, step="roll out")
DONE = Status(phase=Phase.SERVING, outcomes=[OTHER, MINE])


def _rpc(status: RPCStatusCode) -> RPCError:
    return RPCError("as told", status, b"")


class FakeHandle:
    """Answers queries from a list, the last one for ever; and says how the run stands."""

    def __init__(
        self,
        answers: list[Status | Exception],
        run: WorkflowExecutionStatus | Exception = WorkflowExecutionStatus.RUNNING,
        result: Outcome | Exception | None = None,
    ) -> None:
        """Answer for a run that is open, unless told otherwise."""
        self.asked = 0
        self._answers = self._endless(answers)
        self._run = run
        self._result = result

    @staticmethod
    def _endless(answers: list[Status | Exception]) -> Iterator[Status | Exception]:
        yield from answers
        while True:
            yield answers[-1]

    async def query(self, query: Any, *, rpc_timeout: Any) -> Status:
        """Return the next answer."""
        assert query
        assert rpc_timeout == follow.RPC_TIMEOUT
        self.asked += 1
        status: Status = self._told(next(self._answers))
        return status

    async def describe(self, *, rpc_timeout: Any) -> Any:
        """How the run stands."""
        assert rpc_timeout == follow.RPC_TIMEOUT
        return SimpleNamespace(status=self._told(self._run))

    async def result(self) -> Outcome | None:
        """Return the end of the run."""
        outcome: Outcome | None = self._told(self._result)
        return outcome

    @staticmethod
    def _told(value: Any) -> Any:
        if isinstance(value, Exception):
            raise value
        return value


async def _follow(handle: FakeHandle) -> CommandEnd:
    return await follow.follow_command(handle, "mine", Progress(), every=0)


async def test_it_ends_with_the_outcome_of_its_own_command(capsys: pytest.CaptureFixture[str]) -> None:
    """Others' outcomes do not count; each change of the status is one line on stderr."""
    handle = FakeHandle([BUSY, BUSY, Status(phase=Phase.SERVING, outcomes=[OTHER], step="settle"), DONE])
    assert await _follow(handle) == (MINE, DONE)
    said = capsys.readouterr()
    assert said.out == ""
    assert [line.split()[0] for line in said.err.splitlines()] == ["rolling-out", "serving"]


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (_rpc(RPCStatusCode.UNAVAILABLE), "Temporal does not answer; reconnecting"),
        (_rpc(RPCStatusCode.DEADLINE_EXCEEDED), "no answer from a worker; reconnecting"),
        (_rpc(RPCStatusCode.FAILED_PRECONDITION), "no answer from a worker; reconnecting"),
        (_rpc(RPCStatusCode.RESOURCE_EXHAUSTED), "RESOURCE_EXHAUSTED"),
        (WorkflowQueryFailedError("nondeterminism"), "cannot answer: nondeterminism"),
    ],
)
async def test_an_outage_is_waited_for_and_said_once(
    trouble: Exception, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The deployment goes on by itself meanwhile, so the CLI must not give up."""
    assert (await _follow(FakeHandle([BUSY, *[trouble] * 10, DONE]))).outcome == MINE
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert words in lines[1]


async def test_bytes_on_their_way_are_not_a_line_a_look(capsys: pytest.CaptureFixture[str]) -> None:
    """Asked for by the step; without a terminal each tenth of them is a line."""
    busy = Status(phase=Phase.IMAGE, step="push")
    parts = iter((0, 4, 9, 10, 55, 56))

    async def detail(step: str) -> StepProgress:
        done = next(parts)
        told = TransferProgress(verb="pushing", count=1, done=done, total=100)
        return StepProgress(f"{step}ing {done}", told)

    await follow.follow_command(FakeHandle([*[busy] * 6, DONE]), "mine", Progress(), detail, every=0)
    said = [line.split(": ")[1] for line in capsys.readouterr().err.splitlines()]
    assert said == ["pushing 0", "pushing 10", "pushing 55"]


async def test_a_question_of_its_own_command_ends_it() -> None:
    """Following ends so that the user can answer; another command's question does not end it."""
    found = Diagnosis(code="SCHED_CORDON", what="no node")
    asked = question.question_about("mine#1", "mine", found, "2026-01-01T00:00:00Z", wanted=3, fits=2, back=False)
    waits = Status(phase=Phase.PARKED, step="wait for an answer", question=asked)
    others = waits.model_copy(update={"question": asked.model_copy(update={"command_id": "other"})})
    assert await _follow(FakeHandle([BUSY, others, waits])) == (None, waits)


async def test_the_server_being_away_for_describe_too_is_no_end() -> None:
    """Failures of query and describe together are still only an outage."""
    away = _rpc(RPCStatusCode.UNAVAILABLE)
    assert (await _follow(FakeHandle([*[away] * 8, DONE], run=away))).outcome == MINE


async def test_a_closed_run_that_nobody_can_query_gives_its_result() -> None:
    """The worker died after the end."""
    closed = FakeHandle([_rpc(RPCStatusCode.DEADLINE_EXCEEDED)], run=WorkflowExecutionStatus.COMPLETED, result=MINE)
    assert await _follow(closed) == (MINE, None)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (OTHER, "ended with scale to 3"),
        (None, "the deployment ended"),
        (WorkflowFailureError(cause=TerminatedError("by hand")), "by hand"),
        (_rpc(RPCStatusCode.NOT_FOUND), "gone from Temporal's database"),
    ],
)
async def test_a_run_that_ends_without_our_outcome_is_a_failure(result: Any, words: str) -> None:
    """Terminated by hand, or ended by another's command; nothing is waited for that can never come."""
    idle = Status(phase=Phase.REMOVED)
    with pytest.raises(Exit) as caught:
        await _follow(FakeHandle([idle], run=WorkflowExecutionStatus.TERMINATED, result=result))
    assert caught.value.exit_code == 1
    assert words in caught.value.message
