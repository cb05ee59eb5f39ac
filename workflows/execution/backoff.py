"""How long and how often a step is tried again; pure, so that tables can test it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from workflows.execution.failure import Failure, Fault

FIRST_PAUSE = 1.0  # seconds
LONGEST_PAUSE = 30.0
LONGEST_WAIT_PAUSE = 300.0  # of waits of days: each try is a few events, and a history holds 50,000
LONGEST_WISH = 300.0  # a peer's Retry-After beyond this is cut
FIRST_UNATTENDED = timedelta(seconds=15)  # before NO_WORKER is said; a free worker takes a step in milliseconds
LONGEST_UNATTENDED = timedelta(hours=1)
FIRST_STEP_PAUSE, LONGEST_STEP_PAUSE = 5.0, 300.0
MOST_CURES, CURES_WITHIN, FIRST_CURE_PAUSE = 3, timedelta(minutes=10), 2.0
MOST_WORKERS_LOST = 10  # in a row: the step itself kills them, e.g. by its hunger for memory


@dataclass
class Backoff:
    """Of one step: `retry_for` bounds the time spent failing; None is for ever."""

    retry_for: timedelta | None
    longest_pause: float = LONGEST_PAUSE
    attempt: int = 0
    unattended: timedelta = FIRST_UNATTENDED
    _failures: int = field(default=0, repr=False)
    _lost: int = field(default=0, repr=False)
    _failing_since: datetime | None = field(default=None, repr=False)

    def pause(self, failure: Failure, *, began: datetime, now: datetime) -> float | None:
        """Seconds to wait before the next attempt, None when it is to be given up."""
        self.attempt += 1
        if failure.fault is Fault.UNATTENDED:
            self.unattended = min(self.unattended * 2, LONGEST_UNATTENDED)
            return 0.0
        if failure.fault is Fault.LOST:
            self._lost += 1
            return None if self.retry_for is not None and self._lost >= MOST_WORKERS_LOST else 0.0
        return self._transient(failure, began, now)

    def _transient(self, failure: Failure, began: datetime, now: datetime) -> float | None:
        self._lost = 0
        worked_long = self.retry_for is not None and now - began >= self.retry_for
        if self._failing_since is None or worked_long:
            self._failing_since, self._failures = now, 0
        pause = min(FIRST_PAUSE * 2.0**self._failures, self.longest_pause)
        self._failures = min(self._failures + 1, 10)
        if failure.delay is not None:
            pause = min(max(failure.delay, 0.0), LONGEST_WISH)
        ends = now + timedelta(seconds=pause)
        if self.retry_for is not None and ends - self._failing_since > self.retry_for:
            return None
        return pause


def step_pause(failures: int) -> float:
    """Seconds before a step of the backend is tried again, as its `retries` allow."""
    return min(FIRST_STEP_PAUSE * 2.0 ** (failures - 1), LONGEST_STEP_PAUSE)


@dataclass
class RestartBudget:
    """Of one step that does not stay up: a few in a while, with growing pauses, then it takes a person."""

    _began: list[datetime] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many there were lately."""
        return len(self._began)

    def pause(self, now: datetime) -> float | None:
        """Seconds before the next one, None when there were too many."""
        self._began = [one for one in self._began if now - one < CURES_WITHIN]
        if len(self._began) >= MOST_CURES:
            return None
        return FIRST_CURE_PAUSE * 4.0 ** (len(self._began) - 1) if self._began else 0.0

    def begin(self, now: datetime) -> None:
        """Count one more restart."""
        self._began.append(now)
