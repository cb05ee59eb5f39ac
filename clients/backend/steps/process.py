"""Process steps: a program that stays, under the backend's supervisor, done once it listens and is ready."""

import shutil
import time
from collections.abc import Mapping
from pathlib import Path

from clients.backend.file_hash import content, files
from clients.backend.job import Job
from clients.backend.log_search import mark as mark_logs
from clients.backend.logs import tail
from clients.backend.polling import PollingInterval
from clients.backend.ports import check_free, silent
from clients.backend.processes import runner
from clients.backend.processes.supervisor import ATTEMPTS, Definition, Processes
from clients.backend.steps.wait import await_condition
from domain.errors import SettingsInvalid, StepFailed
from domain.ports import Beat
from domain.profile import StepState, StepStatus, Wait

_QUIET_STATES = {"STOPPED", "EXITED", "FATAL", "UNKNOWN"}


class Process:
    """Step of kind process."""

    def __init__(
        self, job: Job, processes: Processes, inherited: Mapping[str, str], secrets: Mapping[str, str]
    ) -> None:
        """`inherited` is the worker's harmless environment; `secrets` maps the step's variables to references."""
        self._job = job
        self._processes = processes
        self._inherited = inherited
        self._secrets = {name: _path(job, name, secrets[name]) for name in job.step.secrets}

    def run(self, beat: Beat, *, again: bool) -> StepStatus:
        """Run the process as defined until it listens and is ready; StepFailed with the end of its log."""
        began = time.monotonic()
        wanted = self._definition(beat)
        detail = self._processes.start(wanted, beat, again=again, first=lambda: self._first(beat))
        watching = self._watching(wanted, beat)
        pace = PollingInterval(watching, 0.1)
        while lacking := silent(self._job):
            watching("")
            if time.monotonic() - began > self._job.step.timeout:
                raise StepFailed(
                    f"process {wanted.name} does not listen on {', '.join(lacking)}",
                    on=str(wanted.directory),
                    because=f"{self._job.step.timeout} s have passed",
                    evidence=tail(self._job.place.log),
                    do=f"read {self._job.place.log}, and check the step's ports in the profile",
                )
            pace.rest(lambda: f"{wanted.name}: waits for {', '.join(lacking)}")
        check_free(self._job, (), watching)
        if self._job.step.ready:
            self._await_ready(self._job.step.ready, began, watching)
        seconds = round(time.monotonic() - began, 3)
        return StepStatus(name=wanted.name, kind="process", state=StepState.RUNNING, detail=detail, seconds=seconds)

    def _first(self, beat: Beat) -> None:
        check_free(self._job, self._processes.family(self._job.step.name), beat, starting=True)
        if self._job.step.ready:
            mark_logs(self._job, self._job.step.ready)

    def _await_ready(self, ready: Wait, began: float, beat: Beat) -> None:
        left = max(1, round(self._job.step.timeout - (time.monotonic() - began)))
        shorter = self._job._replace(step=self._job.step.model_copy(update={"timeout": left}))
        await_condition(shorter, ready, beat, lambda: tail(self._job.place.log))

    def _watching(self, wanted: Definition, beat: Beat) -> Beat:
        """Beats, and fails as soon as the process is down for good."""
        pids = set[int]()

        def watching(text: str) -> None:
            report = self._processes.reports().get(wanted.name)
            state = report.state if report else "UNKNOWN"
            if report and report.pid:
                pids.add(report.pid)
            if state in _QUIET_STATES or len(pids) > ATTEMPTS + 1:
                raise self._processes.failure(wanted, state)
            if text:
                beat(text)

        return watching

    def _definition(self, beat: Beat) -> Definition:
        job, step = self._job, self._job.step
        argv = [_program(job), *step.process[1:]]
        own = {**step.env, runner.COOKIE: job.place.cookie}
        inside = Path(argv[0]).resolve().is_relative_to(job.directory)
        made = [Path(argv[0]), *files(job.directory, step.inputs)] if inside else files(job.directory, step.inputs)
        mark = " ".join(content(path, beat) for path in made)
        return Definition(
            step.name, argv, self._inherited, own, job.directory, mark, self._secrets, step.restart, step.grace
        )


def _program(job: Job) -> str:
    """Return the program's absolute path; a relative one starts at the step's directory."""
    name = job.step.process[0]
    found = str(job.directory / name) if "/" in name else shutil.which(name, path=job.env["PATH"])
    if not found or not Path(found).is_file():
        raise StepFailed(
            f"process {job.step.name} has no program {name}",
            on=str(job.directory),
            do="check that the step which makes it is named in needs, or that it is on the worker's PATH",
        )
    return found


def _path(job: Job, name: str, reference: str) -> str:
    kind, _, path = reference.partition(":")
    if kind != "file":
        # It outlives the worker and is started again without it, so the worker's environment is out of reach.
        subject = f"process {job.step.name} takes secret {name} from {reference}"
        raise SettingsInvalid([f"{subject}: processes can take them from file:PATH only"])
    return str(Path(path).expanduser().absolute())
