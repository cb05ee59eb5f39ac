"""Recorded commands: started once whoever asks, found again after the worker died, skipped when nothing changed."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clients.backend.file_hash import content, files, tree
from clients.backend.job import Job, StepFiles
from clients.backend.logs import last_line, tail
from clients.backend.polling import PollingInterval
from clients.backend.processes import runner
from clients.backend.steps.programs import require_programs
from clients.backend.values import found_values
from domain.errors import StepFailed, Unavailable
from domain.ports import Beat
from domain.profile import StepState, StepStatus
from planning.backend.steps import Ran, fingerprint, keeps_outputs, may_adopt, may_skip

_START_SECONDS = 30
_FULL_TEXT = "No space left on device"


class StepCommand:
    """Command of a step, with its record."""

    def __init__(self, job: Job, argv: list[str], meaning: list[str] | None = None) -> None:
        """`argv` is an argument list; texts are expanded. `meaning` stands for it where it holds text of our own."""
        self._job = job
        self._place = job.place
        self._argv = argv
        self._meaning = meaning or argv
        record = runner.read(self._place.record)
        # An outcome that somebody took before we came is over; so is what left processes before the machine started.
        over = record and (record.get("taken") or (job.step.stays and record.get("boot") != runner.boot()))
        self._over = _who(record) if over else None

    def run(self, beat: Beat, *, again: bool = False, first: Callable[[], None] = lambda: None) -> StepStatus:
        """Skip it, or bring it to its end; StepFailed. What `beat` raises leaves the command running."""
        mark = self.mark(beat)
        if not again and self._skippable(mark):
            return self._status(StepState.SKIPPED, "inputs unchanged", 0.0)
        if not again and not self.pending and self._adoptable():
            return self._adopt(mark, beat)
        return self.conclude(mark, self.finish(mark, beat, first))

    def settled(self) -> bool:
        """Whether nothing will be run as far as is known beforehand: its inputs are not read."""
        known, step = self._known(), self._job.step
        if self._missing_outputs() or not (step.inputs or step.outputs):
            return False
        return self._adoptable() or bool(known and known.fingerprint)

    @property
    def pending(self) -> bool:
        """Whether a run is under way, or has ended with an outcome that nobody took."""
        record = runner.read(self._place.record)
        return record is not None and _who(record) != self._over

    def mark(self, beat: Beat) -> str:
        """Return a hash of arguments, environment (without secrets), directory and inputs."""
        beat(f"{self._job.step.name}: reading its inputs")
        paths = files(self._job.directory, self._job.step.inputs)
        inputs = {str(path.relative_to(self._job.directory)): content(path, beat) for path in paths}
        return fingerprint(self._meaning, self._job.step.env, str(self._job.directory), inputs)

    def finish(self, mark: str, beat: Beat, first: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Return the record of a successful run; `first` is called before the start, under the lock."""
        ended = self._ended(mark, beat, first)
        if ended["code"] != 0:
            self._take(ended)
            raise self._failure(ended)
        return ended

    def conclude(self, mark: str, ended: dict[str, Any], detail: str = "") -> StepStatus:
        """Record the success with the values that it hands on; StepFailed when outputs or values are not there."""
        try:
            self._check_outputs()
            values = found_values(self._job)
        except StepFailed:
            self._take(ended)
            raise
        seconds = float(ended.get("seconds", 0.0))
        self._record(Ran(fingerprint=mark, seconds=seconds, values=values))
        self._take(ended)
        told = ", ".join(f"{name}={value}" for name, value in values.items())
        return self._status(StepState.DONE, detail or told or last_line(self._place.log), seconds)

    def give_up(self, ended: dict[str, Any]) -> None:
        """Give up the outcome: the next call starts the command again."""
        self._take(ended)

    def _take(self, ended: dict[str, Any]) -> None:
        # Whoever asks from now on starts it anew; who waits already takes this outcome, too.
        runner.write(self._place.record, {**ended, "taken": True})

    def _ended(self, mark: str, beat: Beat, first: Callable[[], None]) -> dict[str, Any]:
        pace = PollingInterval(beat)
        while True:
            record = runner.read(self._place.record)
            if record and _who(record) != self._over:
                same = record["fingerprint"] == mark
                after = self._wait(record, beat, "" if same else "waiting for an earlier run to end")
                if same and "code" in after:
                    return after
                self._over = _who(record)
            if not self._start(mark, first):
                pace.rest(lambda: f"{self._job.step.name}: waiting for another start of it")

    def _wait(self, record: dict[str, Any], beat: Beat, instead: str) -> dict[str, Any]:
        """Return the record of this run once it has ended; without a code when its recorder was killed."""
        pace = PollingInterval(beat)
        while True:
            # Liveness first: a run that ends between the two looks has its code in the record by then.
            running = runner.alive(record) or runner.held(self._place.lock)
            now = runner.read(self._place.record) or record
            if _who(now) != _who(record):
                return record
            if "code" in now or not running:
                return now
            pace.rest(lambda: f"{self._job.step.name}: {instead or last_line(self._place.log) or 'running'}")

    def _start(self, mark: str, first: Callable[[], None]) -> bool:
        """Start it unless somebody else does; the lock goes on to the recorder, which keeps it until the end."""
        self._place.prepare()
        lock = os.open(self._place.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            record = runner.read(self._place.record)
            if record and _who(record) != self._over:
                return False
            require_programs(self._job)
            first()
            if keeps_outputs(self._job.step):
                known = self._known()
                self._record(Ran(fingerprint="", values=known.values if known else {}))
            self._spawn(mark, lock)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
        return True

    def _spawn(self, mark: str, lock: int) -> None:
        order = {
            "argv": self._argv,
            "env": {**self._job.env, runner.COOKIE: self._job.place.cookie},
            "cwd": str(self._job.directory),
            "timeout": self._job.step.timeout,
            "log": str(self._place.log),
            "record": str(self._place.record),
            "lock": lock,
            "fingerprint": mark,
        }
        # By file name and isolated: the room's own module names must not shadow the standard library's.
        command = [sys.executable, "-I", runner.__file__, "command"]
        subject = f"step {self._job.step.name} could not be started"
        try:
            done = subprocess.run(  # noqa: S603 - our own recorder; the order goes by standard input
                command,
                input=json.dumps(order).encode(),
                env={"PATH": self._job.env["PATH"]},
                start_new_session=True,
                capture_output=True,
                pass_fds=[lock],
                timeout=_START_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(subject, on=str(self._job.directory)) from error
        if done.returncode == runner.FULL:
            raise OSError(next(iter(runner.NO_SPACE)), _FULL_TEXT, str(self._place.record))
        if done.returncode != 0:
            raise Unavailable(
                subject,
                on=str(self._job.directory),
                evidence=done.stderr.decode(errors="replace")[-300:],
                do="check that PROVER_STATE_DIR can be written and the disk is not full",
            )

    def _check_outputs(self) -> None:
        if missing := self._missing_outputs():
            raise StepFailed(
                f"step {self._job.step.name} ended well but did not make {', '.join(missing)}",
                on=str(self._job.directory),
                evidence=tail(self._place.log),
                do=f"read {self._place.log}, and check the step's outputs in the profile",
            )

    def _skippable(self, mark: str) -> bool:
        return may_skip(self._job.step, self._known(), mark, self._missing_outputs())

    def _known(self) -> Ran | None:
        found = runner.read(self._place.ran)
        known = Ran.model_validate(found) if found else None
        return known if known and known.directory in {"", str(self._job.directory)} else None

    def _record(self, ran: Ran) -> None:
        runner.write(self._place.ran, ran.model_copy(update={"directory": str(self._job.directory)}).model_dump())

    def _adoptable(self) -> bool:
        missing, record, newer = self._missing_outputs(), runner.read(self._place.record), False
        if record and ("code" in record or record.get("taken")) and not missing:
            over = self._place.record.stat().st_mtime_ns
            newer = all((self._job.directory / one).stat().st_ctime_ns > over for one in self._job.step.outputs)
        return may_adopt(self._job.step, self._known(), missing, began=record is not None, newer=newer)

    def _adopt(self, mark: str, beat: Beat) -> StepStatus:
        """Record the outputs as they are, with the present inputs as those that they were made from."""
        step = self._job.step
        try:
            values = found_values(self._job)
        except StepFailed as error:
            raise StepFailed(
                f"the outputs of step {step.name} exist, but it cannot be done without running it",
                on=", ".join(step.outputs),
                because=f"no run of it is recorded here that handed on its values: {error.diagnosis.because}",
                do=f"`proverctl backend up --redo {step.name}` runs it, which may delete and make its outputs again; "
                "or move them away",
                code="OUTPUTS_EXIST",
            ) from error
        digests = {output: tree(self._job.directory / output, beat) for output in step.outputs}
        self._record(Ran(fingerprint=mark, values=values, adopted=digests))
        told = ", ".join(f"{Path(output).name} (sha256 {digest[:12]})" for output, digest in digests.items())
        return self._status(StepState.SKIPPED, f"adopted {told}", 0.0)

    def _missing_outputs(self) -> list[str]:
        return [output for output in self._job.step.outputs if not (self._job.directory / output).exists()]

    def _failure(self, ended: dict[str, Any]) -> StepFailed:
        code = int(ended["code"])
        how = f"was ended after its timeout of {self._job.step.timeout} s" if ended.get("timed_out") else _how(code)
        evidence = tail(self._place.log)
        return StepFailed(
            f"step {self._job.step.name} {how}",
            on=str(self._job.directory),
            evidence=evidence,
            do=f"read {self._place.log} on the backend host, mend the cause and run the command again",
            code="DISK_FULL" if _FULL_TEXT in evidence else "",
        )

    def _status(self, state: StepState, detail: str, seconds: float) -> StepStatus:
        step = self._job.step
        return StepStatus(name=step.name, kind=step.kind, state=state, detail=detail, seconds=seconds)


def stop_command(place: StepFiles, grace: float, beat: Beat) -> bool:
    """End a command that runs, also one that is just starting; False when none does."""
    pace, stopped = PollingInterval(beat), False
    while True:
        record = runner.read(place.record)
        if record and "code" not in record and runner.alive(record):
            runner.end(record, grace)
            stopped = True
        elif not runner.held(place.lock):
            break
        pace.rest(lambda: f"{place.name}: ending its command")
    if stopped:
        discard(place)
    return stopped


def discard(place: StepFiles) -> None:
    """Discard the outcome of the last run, since it or its effect was stopped: the next start runs the step."""
    if record := runner.read(place.record):
        runner.write(place.record, {**record, "taken": True})


def forget(place: StepFiles) -> None:
    """Forget that the step ran, since its effect was stopped; the values that it handed on stay."""
    if ran := runner.read(place.ran):
        runner.write(place.ran, {**ran, "fingerprint": ""})


def _who(record: dict[str, Any] | None) -> tuple[Any, ...]:
    return tuple((record or {}).get(key) for key in ("pid", "start", "boot"))


def _how(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"exited with {code}"
