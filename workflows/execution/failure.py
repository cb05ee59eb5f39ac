"""Reads what became of a failed activity: whose fault it was, what to tell people, and whether to try again."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from pydantic import ValidationError
from temporalio import exceptions
from temporalio.exceptions import ActivityError, ApplicationError, CancelledError, TimeoutType

from domain.diagnosis import Diagnosis, Severity

WORKER_LOST = "WORKER_LOST"
SHUTDOWN = "WorkerShutdown"  # the SDK's type for an activity that ended because its worker did


class Fault(Enum):
    """Kind of a failure, as far as a retry is concerned."""

    PERMANENT = auto()  # a person has to change something
    TRANSIENT = auto()  # a peer is away; counts against the time to retry
    LOST = auto()  # the worker died or was stopped; the step was innocent
    UNATTENDED = auto()  # no worker took it; waiting is all there is to do


@dataclass(frozen=True)
class Failure:
    """Failed attempt; `delay` in seconds is what the peer asked for, None leaves it to the backoff."""

    fault: Fault
    diagnosis: Diagnosis
    delay: float | None = None


@dataclass(frozen=True)
class Place:
    """Where the attempt was made, for the text of a diagnosis."""

    title: str
    queue: str
    role: str
    since: datetime


def read(error: ActivityError, place: Place) -> Failure:
    """Return the failure behind an ActivityError; an unknown one is shown verbatim and retried."""
    cause = error.cause
    if isinstance(cause, CancelledError) or (isinstance(cause, ApplicationError) and cause.type == SHUTDOWN):
        return Failure(Fault.LOST, worker_lost(place))  # of an activity that we did not cancel: a worker's shutdown
    if isinstance(cause, exceptions.TimeoutError):
        return _timed_out(cause, place)
    if isinstance(cause, ApplicationError):
        return _said_no(cause, place)
    return Failure(Fault.TRANSIENT, _unknown(place, str(cause or error)))


def _timed_out(cause: exceptions.TimeoutError, place: Place) -> Failure:
    if cause.type == TimeoutType.SCHEDULE_TO_START:
        return Failure(Fault.UNATTENDED, no_worker(place))
    if cause.type == TimeoutType.HEARTBEAT:
        return Failure(Fault.LOST, worker_lost(place))
    return Failure(
        Fault.TRANSIENT,
        Diagnosis(
            code="TIMEOUT",
            what=f"could not {place.title} in time",
            on=f"task queue {place.queue}",
            do="see the worker's log for what it waits for",
            severity=Severity.TRANSIENT,
        ),
    )


def _said_no(cause: ApplicationError, place: Place) -> Failure:
    diagnosis = _carried(cause) or _unknown(place, f"{cause.type}: {cause.message}")
    delay = cause.next_retry_delay.total_seconds() if cause.next_retry_delay else None
    return Failure(Fault.PERMANENT if cause.non_retryable else Fault.TRANSIENT, diagnosis, delay)


def _carried(cause: ApplicationError) -> Diagnosis | None:
    try:
        return Diagnosis.model_validate(cause.details[0]) if cause.details else None
    except ValidationError:
        return None  # details of somebody else's making: the message has to do


def _unknown(place: Place, evidence: str) -> Diagnosis:
    return Diagnosis(
        code="ERROR",
        what=f"could not {place.title}",
        on=f"task queue {place.queue}",
        evidence=evidence,
        do="see the worker's log",
        severity=Severity.TRANSIENT,
    )


def no_worker(place: Place) -> Diagnosis:
    """Nobody took the step from its task queue."""
    return Diagnosis(
        code="NO_WORKER",
        what=f"nobody took the step to {place.title}",
        on=f"task queue {place.queue}",
        because=f"no worker polls it since {place.since:%Y-%m-%dT%H:%M:%SZ}, or all that do are busy",
        do=f"start one with `proverctl worker --roles {place.role}`; this goes on by itself then",
        severity=Severity.TRANSIENT,
    )


def worker_lost(place: Place) -> Diagnosis:
    """Return the diagnosis of a worker that stopped heartbeating in the middle of a step."""
    return Diagnosis(
        code=WORKER_LOST,
        what=f"the worker went silent while it was to {place.title}",
        on=f"task queue {place.queue}",
        because="it was stopped or killed, hangs, or lost its connection",
        do="nothing; another worker goes on, or this one after its restart",
        severity=Severity.TRANSIENT,
    )
