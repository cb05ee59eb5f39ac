"""How long a step is tried again, by a clock of our own."""

from datetime import UTC, datetime, timedelta

import pytest
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    CancelledError,
    RetryState,
    TimeoutType,
)
from temporalio.exceptions import (
    TimeoutError as TemporalTimeout,
)

from domain.diagnosis import Diagnosis, Severity
from workflows.execution.backoff import LONGEST_PAUSE, MOST_WORKERS_LOST, Backoff, RestartBudget, step_pause
from workflows.execution.failure import Failure, Fault, Place, read

START = datetime(2026, 1, 1, tzinfo=UTC)
AWAY = Diagnosis(code="DOCKER_DOWN", what="docker does not answer", severity=Severity.TRANSIENT)
PLACE = Place("build the image", "prover-host.local", "host", START)


def failed(cause: BaseException) -> ActivityError:
    """As the SDK raises it."""
    error = ActivityError(
        "Activity task failed",
        scheduled_event_id=1,
        started_event_id=2,
        identity="w",
        activity_type="ensure_image",
        activity_id="1",
        retry_state=RetryState.MAXIMUM_ATTEMPTS_REACHED,
    )
    error.__cause__ = cause
    return error


def timeout(kind: TimeoutType) -> TemporalTimeout:
    """Of that kind."""
    return TemporalTimeout("timed out", type=kind, last_heartbeat_details=[])


def pauses(backoff: Backoff, failure: Failure) -> list[float]:
    """Every pause until it gives up, at most 200, each attempt lasting no time."""
    now, found = START, list[float]()
    while len(found) < 200:
        pause = backoff.pause(failure, began=now, now=now)
        if pause is None:
            break
        found.append(pause)
        now += timedelta(seconds=pause)
    return found


def test_pauses_double_up_to_half_a_minute_within_the_time_to_retry() -> None:
    """1, 2, 4, 8, 16, 30, 30 … and not a second beyond."""
    found = pauses(Backoff(timedelta(seconds=100)), Failure(Fault.TRANSIENT, AWAY))
    assert found == [1, 2, 4, 8, 16, 30, 30]


def test_a_peers_own_wish_is_honoured() -> None:
    """Retry-After beats the backoff, within reason."""
    found = pauses(Backoff(timedelta(seconds=20)), Failure(Fault.TRANSIENT, AWAY, delay=7))
    assert found == [7, 7]
    assert pauses(Backoff(None), Failure(Fault.TRANSIENT, AWAY, delay=9999))[0] < 9999


def test_an_attempt_that_worked_long_starts_the_clock_anew() -> None:
    """A push of hours that loses its registry near the end is not given up for the time it took."""
    backoff = Backoff(timedelta(seconds=60))
    now = START
    for _ in range(5):
        began, now = now, now + timedelta(hours=1)
        assert backoff.pause(Failure(Fault.TRANSIENT, AWAY), began=began, now=now) == 1


def test_dead_workers_cost_no_time_but_not_for_ever() -> None:
    """A step that kills every worker, e.g. by its hunger for memory, is given up."""
    found = pauses(Backoff(timedelta(seconds=1)), Failure(Fault.LOST, AWAY))
    assert found == [0.0] * (MOST_WORKERS_LOST - 1)


def test_no_worker_is_waited_for_without_end_and_ever_more_patiently() -> None:
    """Each wait is an event in history."""
    backoff = Backoff(timedelta(seconds=1))
    assert len(pauses(backoff, Failure(Fault.UNATTENDED, AWAY))) == 200
    assert timedelta(hours=1) == backoff.unattended


def test_the_watch_is_never_given_up() -> None:
    """Retry without an end."""
    assert pauses(Backoff(None), Failure(Fault.TRANSIENT, AWAY))[-1] == LONGEST_PAUSE
    assert len(pauses(Backoff(None), Failure(Fault.LOST, AWAY))) == 200


def test_a_permanent_error_carries_its_diagnosis() -> None:
    """As the interceptor packed it."""
    cause = ApplicationError("no", AWAY.model_dump(mode="json"), type="DOCKER_DOWN", non_retryable=True)
    assert Failure(Fault.PERMANENT, AWAY) == read(failed(cause), PLACE)


def test_a_transient_error_carries_its_delay() -> None:
    """In seconds."""
    cause = ApplicationError("no", AWAY.model_dump(mode="json"), next_retry_delay=timedelta(seconds=4))
    assert Failure(Fault.TRANSIENT, AWAY, 4.0) == read(failed(cause), PLACE)


@pytest.mark.parametrize(
    ("cause", "fault", "code"),
    [
        (timeout(TimeoutType.SCHEDULE_TO_START), Fault.UNATTENDED, "NO_WORKER"),
        (timeout(TimeoutType.HEARTBEAT), Fault.LOST, "WORKER_LOST"),
        (timeout(TimeoutType.START_TO_CLOSE), Fault.TRANSIENT, "TIMEOUT"),
        (CancelledError("worker shutdown"), Fault.LOST, "WORKER_LOST"),
        (ApplicationError("Worker is shutting down", type="WorkerShutdown"), Fault.LOST, "WORKER_LOST"),
        (ApplicationError("boom", type="KeyError"), Fault.TRANSIENT, "ERROR"),
        (ApplicationError("boom", "not a diagnosis", type="X"), Fault.TRANSIENT, "ERROR"),
        (RuntimeError("boom"), Fault.TRANSIENT, "ERROR"),
    ],
)
def test_every_other_failure_gets_a_diagnosis(cause: BaseException, fault: Fault, code: str) -> None:
    """Which names the queue and what to do."""
    failure = read(failed(cause), PLACE)
    assert (fault, code) == (failure.fault, failure.diagnosis.code)
    assert "prover-host.local" in str(failure.diagnosis)
    assert failure.diagnosis.do


def test_cures_come_with_growing_pauses_and_then_no_more() -> None:
    """Three in ten minutes; when the first of them is older there is room for one more."""
    cures, pauses = RestartBudget(), []
    for minute in (0, 1, 2, 3):
        pauses.append(cures.pause(START + timedelta(minutes=minute)))
        cures.begin(START + timedelta(minutes=minute))
    assert pauses == [0.0, 2.0, 8.0, None]
    assert cures.pause(START + timedelta(minutes=12)) == 2.0


@pytest.mark.parametrize(("failures", "pause"), [(1, 5.0), (2, 10.0), (6, 160.0), (7, 300.0), (20, 300.0)])
def test_a_step_pauses_longer_after_each_failure(failures: int, pause: float) -> None:
    """Up to five minutes."""
    assert step_pause(failures) == pause
