"""Wait steps: a port that accepts connections, or a file that exists, within a time."""

import socket
import time
from collections.abc import Callable
from pathlib import Path

from domain.errors import SettingsInvalid, StepFailed
from domain.ports import Beat
from domain.profile import Step, StepState, StepStatus, Wait

_LOOK_SECONDS = 0.1
_CONNECT_SECONDS = 1.0
_BEAT_SECONDS = 1.0


def await_condition(step: Step, wait: Wait, directory: Path, beat: Beat, evidence: Callable[[], str]) -> StepStatus:
    """Return when the condition holds; StepFailed names it, with `evidence` of why it may never hold."""
    began = time.monotonic()
    next_beat = 0.0
    while (lacks := _lacks(step, wait, directory)) is not None:
        waited = time.monotonic() - began
        if waited > step.timeout:
            raise StepFailed(
                f"{_subject(wait)} after {step.timeout} s",
                on=f"step {step.name}",
                because=lacks,
                evidence=evidence(),
                do="look at the process that should provide it, or raise the step's timeout in the profile",
            )
        if waited >= next_beat:
            beat(f"{step.name}: {_subject(wait)} yet, {waited:.0f} s")
            next_beat = waited + _BEAT_SECONDS
        time.sleep(_LOOK_SECONDS)
    seconds = round(time.monotonic() - began, 3)
    return StepStatus(name=step.name, kind="wait", state=StepState.DONE, detail=wait.tcp or wait.file, seconds=seconds)


def _subject(wait: Wait) -> str:
    return f"nothing accepts connections at {wait.tcp}" if wait.tcp else f"file {wait.file} does not exist"


def _lacks(step: Step, wait: Wait, directory: Path) -> str | None:
    """Why the condition does not hold, None when it does."""
    if wait.file:
        return None if (directory / wait.file).exists() else "nobody has written it"
    host, _, port = wait.tcp.rpartition(":")
    if not host or not port.isdecimal():
        raise SettingsInvalid([f"step {step.name} awaits tcp {wait.tcp!r}, which is not host:port"])
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS):
            return None
    except OSError as error:
        return str(error)
