"""The backend's host: runs the steps of a profile on this machine, so that what they start outlives this worker."""

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from clients.backend.job import Job, StepFiles
from clients.backend.logs import read_chunk, tail
from clients.backend.ports import check_free
from clients.backend.processes import runner
from clients.backend.processes.supervisor import Processes
from clients.backend.profile import load_profile, profile_facts
from clients.backend.purge import declared_data, delete, delete_folder
from clients.backend.records import (
    Started,
    all_started,
    check_owner,
    latest_first,
    note,
    own,
    owner_is_gone,
    read_started,
)
from clients.backend.secrets import resolved
from clients.backend.status import observed
from clients.backend.steps import compose, submodules
from clients.backend.steps.background import everything, remains
from clients.backend.steps.command import StepCommand, stop_command
from clients.backend.steps.file import write
from clients.backend.steps.function import run_function
from clients.backend.steps.process import Process
from clients.backend.steps.wait import await_condition
from clients.backend.stop import Stopping, projects
from clients.backend.values import recorded_values
from clients.system.environment import inherited
from domain.errors import PermanentError, ProverError, SettingsInvalid, StepFailed
from domain.messages.backend import (
    LoadedProfile,
    LogChunk,
    LogRequest,
    ProfileFacts,
    ProgramSearch,
    PurgeRequest,
    StepRequest,
)
from domain.ports import Beat
from domain.profile import Profile, StepState, StepStatus
from domain.spec import Backend
from planning.backend.expansion import expanded, foreseen, settled
from planning.backend.programs import searched
from planning.backend.steps import outlives_purge

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.stop)?")
_PASSING = {"wait", "file"}  # kinds that start nothing


class LocalBackendHost:
    """Fulfils `domain.ports.BackendHost`; files of backend `key` are under `<state_dir>/backend/<key>/`."""

    def __init__(self, state_dir: Path, environ: Mapping[str, str]) -> None:
        """`environ` is the worker's environment, of which steps see the declared variables and the harmless part."""
        self._state_dir = state_dir.absolute()
        self._environ = environ
        self._inherited = inherited(environ)

    def load(
        self, backend: Backend, variables: Mapping[str, str], programs: ProgramSearch | None = None
    ) -> LoadedProfile:
        """Return the profile, judged on this host before anything runs; SettingsInvalid names file, line and field."""
        if not backend.repo:
            raise SettingsInvalid(["BACKEND_REPO is not set: it names the backend's repository on the worker's host"])
        repo = Path(backend.repo).expanduser().absolute()
        if not repo.is_dir():
            raise SettingsInvalid([f"BACKEND_REPO={repo} is no directory on the worker's host"])

        def wanted(profile: Profile, known: Mapping[str, str], left_out: Collection[str]) -> list[str]:
            settled = self._settled(profile, repo, known) if programs and not programs.every else set()
            return searched(profile, programs, left_out, settled) if programs else []

        built_in = {**variables, **self._built_in(str(repo))}
        return load_profile(repo, backend.profile, self._environ, built_in, wanted)

    def facts(self, backend: Backend, variables: Mapping[str, str]) -> ProfileFacts:
        """Return what a deploy of the clients needs of the profile, judged no further; SettingsInvalid."""
        repo = Path(backend.repo).expanduser().absolute() if backend.repo else None
        return profile_facts(repo, backend.profile, self._environ, {**variables, **self._built_in(str(repo or ""))})

    def step_at(self, key: str, moment: int) -> str:
        """Return the step started last before a moment, in nanoseconds of the epoch; empty when there is none."""
        started = [one for one in all_started(self._folder(key)) if one.order <= moment]
        return started[-1].step.name if started else ""

    def run(self, request: StepRequest, beat: Beat) -> StepStatus:
        """Do one step, whatever its kind; safe to call twice at once, and after a death at any line.

        StepFailed, SettingsInvalid, Refused, Unavailable. What `beat` raises leaves the work running: `stop` ends it.
        """
        folder = self._folder(request.profile)
        with _disk_full(folder, request.step.name):
            own(folder, request.repo)
            (folder / "data").mkdir(exist_ok=True, mode=0o700)
            job = self._job(folder, request)
            if job.step.kind not in _PASSING:
                note(
                    job.place,
                    Started(
                        step=job.step,
                        repo=request.repo,
                        directory=str(job.directory),
                        order=0,
                        secrets={name: request.secrets[name] for name in job.step.secrets},
                        functions=request.functions,
                    ),
                )
            return self._does(job, request, beat)[job.step.kind]()

    def stop(self, key: str, names: list[str] | None, beat: Beat) -> list[str]:
        """Stop what these steps started (None: all that is recorded); names of those that ran."""
        folder = self._folder(key)
        if not folder.is_dir():
            return []
        processes, ran, failures = self._processes(key), [], list[Exception]()
        stopping = Stopping(folder, processes, self._environ, beat)
        for started in latest_first(all_started(folder)):
            if names is None or started.step.name in names:
                try:
                    with _disk_full(folder, started.step.name):
                        ran += [started.step.name] if stopping.step(started) else []
                except ProverError as error:  # the others are stopped all the same
                    failures.append(error)
        if names is None:
            processes.stop(None, beat)
        if failures:
            raise failures[0]
        return ran

    def purge(self, request: PurgeRequest, beat: Beat) -> list[str]:
        """Delete data inside the backend's own directories and volumes; what was deleted. Nothing while it runs."""
        folder, repo = self._folder(request.profile.name), Path(request.repo)
        if not owner_is_gone(folder):
            check_owner(folder, request.repo)
        records = all_started(folder)
        self._check_stopped(folder, records)
        variables = self._variables(folder, request.repo, request.variables, request.profile.variables)
        paths = declared_data(request.profile, variables, repo, folder / "data")
        deleted = []
        for started in latest_first(records):
            env = {**self._inherited, **started.step.env}
            for project, directory in projects(started):
                if compose.down(project, directory, env, volumes=True, beat=beat):
                    deleted.append(f"containers and volumes of compose project {project.project}")
        deleted += delete(paths, beat)
        steps = [*request.profile.steps, *(started.step for started in records)]
        keep = {step.name for step in steps if outlives_purge(step) and StepFiles(folder, step.name).ran.exists()}
        keep = set() if owner_is_gone(folder) else keep
        if folder.exists() and delete_folder(folder, self._processes(request.profile.name).socket_folder, keep):
            but = f" (but the records of {', '.join(sorted(keep))}, whose outputs stay)" if keep else ""
            deleted.append(f"{folder}{but}")
        return deleted

    def observe(self, key: str) -> list[StepStatus]:
        """Return the present state of the steps that stay; quick."""
        folder = self._folder(key)
        records = [started for started in all_started(folder) if started.step.stays]
        reports = self._processes(key).reports() if records else {}
        table = everything() if any(started.step.leaves for started in records) else []
        found = []
        for started in records:
            name, env = started.step.name, {**self._inherited, **started.step.env}
            try:
                found.append(observed(started, StepFiles(folder, name), reports.get(name), table, env))
            except ProverError as error:  # the Engine does not answer: the others are seen all the same
                kind, text = started.step.kind, str(error.diagnosis)
                found.append(StepStatus(name=name, kind=kind, state=StepState.FAILED, detail=text))
        return found

    def read_log(self, request: LogRequest, beat: Beat) -> LogChunk:
        """Return a piece of a log without control characters; SettingsInvalid names the steps that have a log."""
        folder = self._folder(request.profile)
        logs = sorted(path.stem for path in (folder / "logs").glob("*.log"))
        known = _NAME.fullmatch(request.step) is not None
        if not known or (request.step not in logs and read_started(StepFiles(folder, request.step)) is None):
            have = f"steps with a log: {', '.join(logs)}" if logs else "no step of it has run here"
            raise SettingsInvalid([f"backend {request.profile} has no log of a step {request.step!r}; {have}"])
        return read_chunk(StepFiles(folder, request.step).log, request, beat)

    def _settled(self, profile: Profile, repo: Path, variables: Mapping[str, str]) -> set[str]:
        """Return the steps that a set-up would find done or running, or whose outputs it would adopt."""
        folder = self._folder(profile.name)
        known, found = {**recorded_values(folder), **variables}, set[str]()
        running = {row.name for row in self.observe(profile.name) if row.state is StepState.RUNNING}
        for written in profile.steps:
            with contextlib.suppress(SettingsInvalid):  # said where the step itself is judged
                step = foreseen(written, known)
                job = Job(StepFiles(folder, step.name), step, repo, (repo / step.dir).resolve(), self._inherited, known)
                done = step.kind in {"function", "command", "submodules"} and not step.leaves
                if step.name in running or (done and StepCommand(job, []).settled()):
                    found.add(step.name)
        return found

    def _does(self, job: Job, request: StepRequest, beat: Beat) -> dict[str, Callable[[], StepStatus]]:
        again, file = request.again, request.functions.file if request.functions else ""
        step, processes = job.step, self._processes(request.profile)
        argv = ["bash", "-c", step.command] if isinstance(step.command, str) else step.command

        def process() -> StepStatus:
            return Process(job, processes, self._inherited, request.secrets).run(beat, again=again)

        def wait() -> StepStatus:
            if step.wait is None:
                raise TypeError(step.name)
            return await_condition(job, step.wait, beat, lambda: _down(processes))

        return {
            "command": lambda: StepCommand(job, argv).run(beat, again=again),
            "function": lambda: run_function(job, file, beat, again=again),
            "submodules": lambda: _submodules(job, beat, again=again),
            "compose": lambda: _compose(job, beat),
            "process": process,
            "file": lambda: write(job),
            "wait": wait,
        }

    def _job(self, folder: Path, request: StepRequest) -> Job:
        variables = self._variables(folder, request.repo, request.variables, request.declared)
        calls = request.step.function or (request.step.stop and request.step.stop.function)
        env = request.functions.env if request.functions and calls else {}
        step = expanded(request.step.model_copy(update={"env": {**env, **request.step.env}}), variables)
        directory = _directory(request.repo, step.dir, step.name)
        secrets = resolved(step.secrets, request.secrets, self._environ)
        place = StepFiles(folder, step.name)
        complete = {**self._inherited, **step.env, **secrets}
        return Job(place, step, Path(request.repo).resolve(), directory, complete, variables)

    def _variables(
        self, folder: Path, repo: str, built_in: Mapping[str, str], declared: Mapping[str, str | None]
    ) -> dict[str, str]:
        own = {**self._built_in(repo), "BACKEND_DATA": str(folder / "data")}
        return recorded_values(folder) | settled(declared, self._environ, {**built_in, **own})

    def _built_in(self, repo: str) -> dict[str, str]:
        return {"PYTHON": sys.executable, "PROVER_STATE_DIR": str(self._state_dir), "BACKEND_REPO": repo}

    def _folder(self, key: str) -> Path:
        if not _NAME.fullmatch(key) or "." in key:
            raise SettingsInvalid([f"profile name {key!r} is no lower-case name of letters, digits and dashes"])
        return self._state_dir / "backend" / key

    def _processes(self, key: str) -> Processes:
        return Processes(self._folder(key), self._inherited)

    def _check_stopped(self, folder: Path, records: list[Started]) -> None:
        running = self._processes(folder.name).running() if folder.exists() else []
        for started in records:
            step, place = started.step, StepFiles(folder, started.step.name)
            left = remains(place, step, Path(started.repo)) + remains(place.counterpart, step, Path(started.repo))
            env = {**self._inherited, **step.env}
            up = [project.project for project, at in projects(started) if compose.state(project, at, env)[0]]
            if left or up or runner.held(place.lock):
                running.append(step.name)
        if running:
            raise PermanentError(
                f"backend {folder.name} still runs, so its data is not deleted",
                on=str(folder),
                because=f"of these steps something runs: {', '.join(sorted(set(running)))}",
                do="stop it first: proverctl backend stop",
                code="BACKEND_RUNS",
            )


def _submodules(job: Job, beat: Beat, *, again: bool) -> StepStatus:
    job = job._replace(env={**submodules.environment(), **job.env})
    try:
        return StepCommand(job, submodules.argv(job.step)).run(beat, again=again)
    except StepFailed as error:
        found = error.diagnosis
        advice = submodules.advice(tail(job.place.log)) or found.do
        raise StepFailed(
            found.what, on=found.on, because=found.because, evidence=found.evidence, do=advice, code=found.code
        ) from error


def _compose(job: Job, beat: Beat) -> StepStatus:
    def run(job: Job, argv: list[str], beat: Beat) -> None:
        try:
            StepCommand(job, argv).run(beat, again=True)
        except StepFailed:  # also what its beat found out: a container that can never be healthy
            stop_command(job.place, job.step.grace, lambda _: None)
            raise

    check_free(job, (), beat)
    status = compose.up(job, beat, run)
    if job.step.ready:
        await_condition(job, job.step.ready, beat, lambda: tail(job.place.log))
    return status


def _directory(repo: str, name: str, step: str) -> Path:
    top = Path(repo).resolve()
    directory = (top / name).resolve()
    if not directory.is_relative_to(top):
        raise SettingsInvalid([f"dir {name!r} of step {step} leads out of the repository {top}"])
    if not directory.is_dir():
        raise StepFailed(
            f"step {step} has no directory to run in",
            on=str(directory),
            do="check dir in the profile, and that submodules are checked out",
        )
    return directory


def _down(processes: Processes) -> str:
    """Return the log ends of processes that should run and do not: why a wait may never end."""
    bad = sorted(name for name, state in processes.states().items() if state in {"FATAL", "BACKOFF", "EXITED"})
    return "\n".join(f"process {name} is down: {tail(processes.log(name))}" for name in bad)


@contextlib.contextmanager
def _disk_full(folder: Path, step: str) -> Iterator[None]:
    """Where records, logs or files do not fit, that is what is said; the same command goes on once there is room."""
    try:
        yield
    except OSError as error:
        if error.errno not in runner.NO_SPACE:
            raise
        path = Path(str(error.filename or folder))
        there = next(one for one in (path, *path.parents) if one.exists())
        raise StepFailed(
            f"step {step} cannot go on: the disk is full",
            on=str(path),
            because=f"{os.strerror(error.errno or 0)}: {shutil.disk_usage(there).free} bytes are free there",
            do="make room and run the command again: nothing is done twice",
            code="DISK_FULL",
        ) from error
