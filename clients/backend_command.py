"""Command steps: started once whoever asks, found again after the worker died, skipped when nothing changed."""

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clients import runner
from clients.backend_job import Place
from clients.backend_log import last_line, tail
from domain.errors import StepFailed, Unavailable
from domain.ports import Beat
from domain.profile import Step, StepState, StepStatus
from planning.steps import Ran, fingerprint, may_skip

_START_SECONDS = 30
_FIRST_LOOK, _LAST_LOOK = 0.02, 0.5  # seconds between two looks at the record, growing
_BEAT_SECONDS = 1.0
_STOP_SECONDS = 10.0
_CHUNK = 1 << 20


class Command:
    """One command step, with its texts expanded."""

    def __init__(self, place: Place, step: Step, directory: Path, env: Mapping[str, str]) -> None:
        """`env` is all that the command gets to see."""
        self._place = place
        self._step = step
        self._directory = directory
        self._env = dict(env)

    def run(self, beat: Beat) -> StepStatus:
        """Skip it, or bring it to its end; StepFailed. What `beat` raises leaves the command running."""
        beat(f"{self._step.name}: reading its inputs")
        mark = self._fingerprint(beat)
        if self._skippable(mark):
            return self._status(StepState.SKIPPED, "inputs unchanged", 0.0)
        ended = self._ended(mark, beat)
        seconds = float(ended.get("seconds", 0.0))
        if ended["code"] == 0:
            runner.write(self._place.ran, Ran(fingerprint=mark, seconds=seconds).model_dump())
        # Whoever asks from now on starts it anew; who waits already takes this outcome, too.
        runner.write(self._place.record, {**ended, "taken": True})
        if ended["code"] != 0:
            raise self._failure(ended)
        if missing := self._missing_outputs():
            raise StepFailed(
                f"step {self._step.name} ended well but did not make {', '.join(missing)}",
                on=str(self._directory),
                evidence=tail(self._place.log),
                do=f"read {self._place.log}, and check the step's outputs in the profile",
            )
        return self._status(StepState.DONE, last_line(self._place.log), seconds)

    def _ended(self, mark: str, beat: Beat) -> dict[str, Any]:
        record = runner.read(self._place.record)
        while True:
            if record and record["fingerprint"] != mark:
                self._wait(record, beat, "waiting for an earlier run to end")
            elif record and not record.get("taken"):
                after = self._wait(record, beat, "")
                if "code" in after:
                    return after
            self._start(mark)
            record = runner.read(self._place.record)

    def _wait(self, record: dict[str, Any], beat: Beat, instead: str) -> dict[str, Any]:
        """The record of this run once it has ended; without a code when its recorder was killed."""
        pause, next_beat = _FIRST_LOOK, 0.0
        while True:
            # Liveness first: a run that ends between the two looks has its code in the record by then.
            running = runner.alive(record)
            now = runner.read(self._place.record) or record
            if now.get("start") != record.get("start") or "code" in now:
                return now if "code" in now else record
            if not running and not self._recorder_lives():
                return runner.read(self._place.record) or record
            if time.monotonic() >= next_beat:
                beat(f"{self._step.name}: {instead or last_line(self._place.log) or 'running'}")
                next_beat = time.monotonic() + _BEAT_SECONDS
            time.sleep(pause)
            pause = min(pause * 1.5, _LAST_LOOK)

    def _recorder_lives(self) -> bool:
        """Whether the lock is held, which is until the end has been recorded."""
        return runner.held(self._place.lock)

    def _start(self, mark: str) -> None:
        for path in (self._place.log, self._place.record, self._place.ran):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        order = {
            "argv": self._step.command,
            "env": self._env,
            "cwd": str(self._directory),
            "timeout": self._step.timeout,
            "log": str(self._place.log),
            "record": str(self._place.record),
            "lock": str(self._place.lock),
            "fingerprint": mark,
        }
        # By file name and isolated: the room's own module names must not shadow the standard library's.
        command = [sys.executable, "-I", runner.__file__, "command"]
        try:
            done = subprocess.run(  # noqa: S603 - our own recorder; the order goes by standard input
                command,
                input=json.dumps(order).encode(),
                env=self._env,
                start_new_session=True,
                capture_output=True,
                timeout=_START_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"step {self._step.name} could not be started", on=str(self._directory)) from error
        if done.returncode == runner.BUSY:
            time.sleep(_FIRST_LOOK)  # another caller was faster: its record is about to appear
        elif done.returncode != 0:
            raise Unavailable(
                f"step {self._step.name} could not be started",
                on=str(self._directory),
                evidence=done.stderr.decode(errors="replace")[-300:],
                do="check that PROVER_STATE_DIR can be written and the disk is not full",
            )

    def _fingerprint(self, beat: Beat) -> str:
        inputs = {str(path.relative_to(self._directory)): _content(path, beat) for path in self._inputs()}
        return fingerprint(self._step.command, self._step.env, str(self._directory), inputs)

    def _inputs(self) -> list[Path]:
        found = {path for pattern in self._step.inputs for path in self._directory.glob(pattern) if path.is_file()}
        return sorted(found)

    def _skippable(self, mark: str) -> bool:
        ran = runner.read(self._place.ran)
        known = Ran.model_validate(ran) if ran else None
        return may_skip(self._step, known, mark, self._missing_outputs())

    def _missing_outputs(self) -> list[str]:
        return [output for output in self._step.outputs if not (self._directory / output).exists()]

    def _failure(self, ended: dict[str, Any]) -> StepFailed:
        code = int(ended["code"])
        how = f"was ended after its timeout of {self._step.timeout} s" if ended.get("timed_out") else _how(code)
        return StepFailed(
            f"step {self._step.name} {how}",
            on=str(self._directory),
            evidence=tail(self._place.log),
            do=f"read {self._place.log} on the backend host, mend the cause and run the command again",
        )

    def _status(self, state: StepState, detail: str, seconds: float) -> StepStatus:
        return StepStatus(name=self._step.name, kind="command", state=state, detail=detail, seconds=seconds)


def stop_command(place: Place) -> bool:
    """End a command that runs; False when none does."""
    record = runner.read(place.record)
    if not record or not runner.alive(record):
        return False
    runner.end(record, _STOP_SECONDS)
    return True


def _how(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"exited with {code}"


def _content(path: Path, beat: Beat) -> str:
    running = hashlib.sha256()
    last = time.monotonic()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            running.update(chunk)
            if time.monotonic() - last > _BEAT_SECONDS:
                beat(f"reading {path.name}")
                last = time.monotonic()
    return running.hexdigest()
