"""Awaits conditions: a wait step, or the readiness of what another step started."""

import time
from collections.abc import Callable

from clients.backend.job import Job
from clients.backend.polling import PollingInterval
from clients.backend.probes import probe
from domain.errors import StepFailed
from domain.ports import Beat
from domain.profile import StepState, StepStatus, Wait
from planning.text.sanitize import one_line

_FIRST_LOOK, _LAST_LOOK = 0.1, 1.0  # seconds between two looks, growing


def await_condition(job: Job, wait: Wait, beat: Beat, evidence: Callable[[], str]) -> StepStatus:
    """Return when the condition holds, by the step's timeout; StepFailed with what was seen last and `evidence`."""
    began, pace = time.monotonic(), PollingInterval(beat, _FIRST_LOOK, _LAST_LOOK)
    look = probe(job, wait, beat)
    while (lacking := look()) is not None:
        waited = time.monotonic() - began
        if waited >= job.step.timeout:
            raise StepFailed(
                f"step {job.step.name} awaited {subject(wait)} for {job.step.timeout} s",
                on=str(job.directory),
                because=one_line(lacking),
                evidence=evidence(),
                do="look at the step that should bring it about, or raise the step's timeout in the profile",
            )
        pace.rest(lambda: _told(job, wait, waited, lacking))  # noqa: B023 - told at once
    seconds = round(time.monotonic() - began, 3)
    return StepStatus(
        name=job.step.name, kind=job.step.kind, state=StepState.DONE, detail=subject(wait), seconds=seconds
    )


def _told(job: Job, wait: Wait, waited: float, lacking: str) -> str:
    return f"{job.step.name}: awaits {subject(wait)}, {waited:.0f} s: {one_line(lacking, 200)}"


def lacks(job: Job, wait: Wait) -> str | None:
    """Why the condition does not hold now, None when it does; takes a few seconds at most."""
    lacking = probe(job, wait, lambda _: None)()
    return None if lacking is None else one_line(lacking)


def subject(wait: Wait) -> str:
    """Return the condition in words, without credentials."""
    if wait.log is not None:
        where = f"file {wait.log.file}" if wait.log.file else f"the log of {wait.log.step or 'the step'}"
        words = f"a line with {wait.log.match!r} in {where}"
    elif wait.sql is not None:
        words = f"a row of {wait.sql.query!r} at {wait.sql.url}"
    elif wait.command:
        words = f"success of {' '.join(wait.command)}"
    else:
        words = f"{wait.kind} {getattr(wait, wait.kind)}"
    return one_line(words, 300)
