"""The backend's host: runs the steps of a profile on this machine, so that what they start outlives this worker."""

import hashlib
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from clients.backend_command import Command, stop_command
from clients.backend_environment import inherited
from clients.backend_job import Place
from clients.backend_log import tail
from clients.backend_profile import load_profile
from clients.backend_wait import await_condition
from clients.processes import Definition, Processes
from domain.errors import SettingsInvalid, StepFailed
from domain.ports import Beat
from domain.profile import Profile, Step, StepState, StepStatus
from domain.spec import Backend
from planning.steps import expanded, settled

_KEY = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class LocalBackendHost:
    """Fulfils `domain.ports.BackendHost`; files of backend `key` are under `<state_dir>/backend/<key>/`."""

    def __init__(self, state_dir: Path, environ: Mapping[str, str]) -> None:
        """`environ` is the worker's environment, of which steps see the declared variables and the harmless part."""
        self._state_dir = state_dir.absolute()
        self._environ = environ
        self._inherited = inherited(environ)

    def load(self, backend: Backend) -> tuple[Profile, str]:
        """The profile and the repository's absolute path; SettingsInvalid names file, line and field."""
        if not backend.repo:
            raise SettingsInvalid(["BACKEND_REPO is not set: it names the backend's repository on the worker's host"])
        repo = Path(backend.repo).expanduser().absolute()
        if not repo.is_dir():
            raise SettingsInvalid([f"BACKEND_REPO={repo} is no directory on the worker's host"])
        return load_profile(repo, backend.profile, self._environ), str(repo)

    def run(
        self,
        key: str,
        repo: str,
        step: Step,
        variables: Mapping[str, str],
        beat: Beat,
        declared: Mapping[str, str | None] | None = None,
    ) -> StepStatus:
        """Run a command, start a process, or await a condition; safe to call twice at once.

        `declared` are the profile's own variables with their defaults, which the worker's environment overrides.
        StepFailed, SettingsInvalid, Unavailable. What `beat` raises leaves the work running: `stop` ends it.
        """
        step = expanded(step, self._variables(repo, variables, declared or {}))
        directory = self._directory(repo, step)
        env = {**self._inherited, **step.env}
        if step.command:
            return Command(self._place(key, step.name), step, directory, env).run(beat)
        if step.wait is not None:
            return await_condition(step, step.wait, directory, beat, lambda: self._failing(key))
        argv = [_program(step, directory, env["PATH"]), *step.process[1:]]
        wanted = Definition(
            step.name, argv, self._inherited, step.env, directory, _content(Path(argv[0]), directory, step)
        )
        detail = self._processes(key).start(wanted, beat)
        return StepStatus(name=step.name, kind="process", state=StepState.RUNNING, detail=detail)

    def stop(self, key: str, names: list[str] | None = None) -> list[str]:
        """Stop these processes and commands (None: all, and the supervisor); names of those that ran."""
        folder = self._folder(key)
        if not folder.is_dir():
            return []
        commands = sorted(path.name.removesuffix(".command.json") for path in (folder / "run").glob("*.command.json"))
        chosen = [name for name in commands if names is None or name in names]
        ended = [name for name in chosen if stop_command(self._place(key, name))]
        return sorted({*ended, *self._processes(key).stop(names)})

    def running(self, key: str) -> list[str]:
        """Names of the processes that run."""
        return self._processes(key).running() if self._folder(key).is_dir() else []

    def _variables(self, repo: str, built_in: Mapping[str, str], declared: Mapping[str, str | None]) -> dict[str, str]:
        own = {"PYTHON": sys.executable, "PROVER_STATE_DIR": str(self._state_dir), "BACKEND_REPO": repo}
        return settled(declared, self._environ, {**built_in, **own})

    def _folder(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise SettingsInvalid([f"profile name {key!r} is no lower-case name of letters, digits and dashes"])
        return self._state_dir / "backend" / key

    def _place(self, key: str, name: str) -> Place:
        return Place(self._folder(key), name)

    def _processes(self, key: str) -> Processes:
        return Processes(self._folder(key), self._inherited)

    def _directory(self, repo: str, step: Step) -> Path:
        top = Path(repo).resolve()
        directory = (top / step.dir).resolve()
        if not directory.is_relative_to(top):
            raise SettingsInvalid([f"dir {step.dir!r} of step {step.name} leads out of the repository {top}"])
        if not directory.is_dir():
            raise StepFailed(
                f"step {step.name} has no directory to run in",
                on=str(directory),
                do="check dir in the profile, and that submodules are checked out",
            )
        return directory

    def _failing(self, key: str) -> str:
        """The log ends of processes that should run and do not: why a wait may never end."""
        processes = self._processes(key)
        bad = sorted(name for name, state in processes.states().items() if state in {"FATAL", "BACKOFF", "EXITED"})
        return "\n".join(f"process {name} is down: {tail(processes.log(name))}" for name in bad)


def _program(step: Step, directory: Path, path: str) -> str:
    """The program's absolute path: a relative one starts at the step's directory."""
    name = step.process[0]
    found = str(directory / name) if "/" in name else shutil.which(name, path=path)
    if not found or not Path(found).is_file():
        raise StepFailed(
            f"process {step.name} has no program {name}",
            on=str(directory),
            do="check that the step which makes it is named in needs, or that it is on the worker's PATH",
        )
    return found


def _content(program: Path, directory: Path, step: Step) -> str:
    """Changes when the program (if it was made here) or an input did, so that a new build is a new process."""
    running = hashlib.sha256()
    own = [program] if program.resolve().is_relative_to(directory) else []
    inputs = sorted({path for pattern in step.inputs for path in directory.glob(pattern) if path.is_file()})
    for path in (*own, *inputs):
        with path.open("rb") as file:
            running.update(hashlib.file_digest(file, "sha256").digest())
    return running.hexdigest()
