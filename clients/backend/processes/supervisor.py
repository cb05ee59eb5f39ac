"""Process steps: each backend has a supervisord of its own, so that its processes outlive worker and CLI.

A definition travels as a JSON file that a small starter reads; supervisord's own configuration syntax never sees
argv or environment of a step, so nothing in them needs escaping.
"""

import contextlib
import hashlib
import http.client
import os
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from clients.backend.logs import last_line, tail
from clients.backend.polling import PollingInterval
from clients.backend.processes import runner
from clients.backend.processes.supervisord import (
    ANSWER_SECONDS,
    PROGRAM,
    SUPERVISORD,
    UnixSocketTransport,
    escaped,
    socket_path,
)
from clients.system import file_lock
from domain.errors import PermanentError, StepFailed, Unavailable
from domain.ports import Beat
from domain.profile import Restart

_START_SECONDS = 20.0
_STEADY_SECONDS = 1  # a process that lives this long counts as started
ATTEMPTS = 2  # starts anew before it is given up; a taken port shows at the first
_STOP_SECONDS = 10  # for a process whose definition is gone
_LOOK_SECONDS = 0.1
_AUTORESTART = {Restart.ALWAYS: "true", Restart.ON_FAILURE: "unexpected", Restart.NEVER: "false"}
ORPHAN = "ORPHAN"  # our word: it runs, its supervisor does not
_STOPPED = {"STOPPED", "EXITED", "FATAL", "UNKNOWN"}
_RUNNING = {"STARTING", "RUNNING", "BACKOFF"}


class Definition(NamedTuple):
    """Definition of a process; a changed `content` (of the program or its inputs) restarts it.

    Of the environment only `own`, the step's part, counts: a worker started from another shell restarts nothing.
    """

    name: str
    argv: list[str]
    inherited: Mapping[str, str]
    own: Mapping[str, str]
    directory: Path
    content: str
    secrets: Mapping[str, str] = {}  # variable → path of the file that holds it, read when the process starts
    restart: Restart = Restart.ALWAYS
    grace: int = _STOP_SECONDS

    @property
    def mark(self) -> str:
        """Another one is another process."""
        meaning = [self.argv, sorted(self.own.items()), str(self.directory), self.content, sorted(self.secrets.items())]
        return hashlib.sha256(repr(meaning).encode()).hexdigest()[:12]


class ProcessReport(NamedTuple):
    """How a process stands: supervisord's word for it, and who it is."""

    state: str
    pid: int = 0
    seconds: int = 0  # since it started
    exit: int = 0
    began: tuple[float, ...] = ()  # its last starts


class Processes:
    """The processes of one backend, under `folder`."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        """`env` is what supervisord itself gets; each process brings its own."""
        self._folder = folder
        self._env = dict(env)
        self._socket = socket_path(folder)

    def start(
        self, wanted: Definition, beat: Beat, *, again: bool = False, first: Callable[[], None] = lambda: None
    ) -> str:
        """Start the process as defined, once, and return a line about it; StepFailed with the end of its log.

        `first` comes before a start or restart, and by raising prevents it.
        """
        with self._locked(beat):
            was_running = self.states().get(wanted.name, "") == "RUNNING"
            text = self._configuration(wanted)
            path = self._configurations / f"{wanted.name}.conf"
            changed = not path.exists() or path.read_text() != text
            if not was_running or changed or again:
                first()
                self._define(wanted, path, text)
            self._ensure_supervisor()
            self._reload(beat)
            if again and was_running and not changed:
                self._halt(wanted.name, beat)
            if self.states().get(wanted.name) in _STOPPED:
                with contextlib.suppress(xmlrpc.client.Fault):  # somebody else started it just now
                    self._call("startProcess", wanted.name, False)
        self._await_steady(wanted, beat)
        if not was_running:
            return "started"
        return "restarted with a new definition" if changed else "restarted" if again else "running already"

    def stop(self, names: list[str] | None, beat: Beat) -> list[str]:
        """Stop these (None: all), and supervisord when none is left; the names of those that ran."""
        with self._locked(beat):
            known = sorted(path.stem for path in self._configurations.glob("*.conf"))
            chosen = [name for name in known if names is None or name in names]
            states = self.states()
            ran = [name for name in chosen if states.get(name) in _RUNNING or self._orphan(name)]
            for name in chosen:
                (self._configurations / f"{name}.conf").unlink(missing_ok=True)
            if self._answers():
                self._reload(beat)
                if len(chosen) == len(known):
                    self._shut_down()
            for name in chosen:
                self._end_orphan(name)
            return ran

    def running(self) -> list[str]:
        """Names of the processes that run."""
        return sorted(name for name, state in self.states().items() if state in _RUNNING)

    def states(self) -> dict[str, str]:
        """Return the state of each process in supervisord's words; empty when supervisord does not run."""
        if not self._answers():
            return {}
        return {str(info["name"]): str(info["statename"]) for info in self._call("getAllProcessInfo")}

    def reports(self) -> dict[str, ProcessReport]:
        """How each process stands, also one whose supervisor was killed."""
        found = {
            path.name.removesuffix(".process.json"): path for path in (self._folder / "run").glob("*.process.json")
        }
        records = {name: runner.read(path) or {} for name, path in found.items()}
        orphans = {name: who for name, who in records.items() if runner.alive(who)}
        reports = {name: ProcessReport(ORPHAN, int(who["pid"])) for name, who in orphans.items()}
        for info in self._call("getAllProcessInfo") if self._answers() else []:
            name = str(info["name"])
            seconds = max(0, int(info["now"]) - int(info["start"]))
            began = tuple(records.get(name, {}).get("began", []))
            reports[name] = ProcessReport(
                str(info["statename"]), int(info["pid"]), seconds, int(info["exitstatus"]), began
            )
        return reports

    def family(self, name: str) -> set[int]:
        """Return the pids that a restart ends: a running process, its descendants and its process group."""
        report = self.reports().get(name)
        if not report or not report.pid:
            return set()
        try:
            descendants = {child.pid for child in psutil.Process(report.pid).children(recursive=True)}
        except psutil.NoSuchProcess:
            return set()
        return {report.pid, *descendants, *runner.group(report.pid)}

    @property
    def socket_folder(self) -> Path:
        """Where its socket is, apart from the rest when the path is long."""
        return self._socket.parent

    def log(self, name: str) -> Path:
        """Output of a process, both streams."""
        return self._folder / "logs" / f"{name}.log"

    @property
    def _configurations(self) -> Path:
        return self._folder / "conf.d"

    def _identity(self, name: str) -> Path:
        return self._folder / "run" / f"{name}.process.json"

    def _definition(self, name: str) -> Path:
        return self._folder / "run" / f"{name}.definition.json"

    def _grace(self, name: str) -> float:
        return float((runner.read(self._definition(name)) or {}).get("grace", _STOP_SECONDS))

    @contextlib.contextmanager
    def _locked(self, beat: Beat) -> Iterator[None]:
        for folder in (self._configurations, self._folder / "run", self._folder / "logs", self._socket.parent):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self._socket.parent.stat().st_uid != os.getuid():
            raise PermanentError(
                f"{self._socket.parent} belongs to another user",
                on=str(self._socket.parent),
                do="remove it, or set PROVER_STATE_DIR to a shorter path",
            )
        polling = PollingInterval(beat)
        text = "waiting for another change of the backend's processes"
        with file_lock.held(self._folder / "supervisor.lock", lambda: polling.beat(lambda: text)):
            yield

    def _configuration(self, wanted: Definition) -> str:
        order, record = str(self._definition(wanted.name)), str(self._identity(wanted.name))
        command = [sys.executable, "-I", runner.__file__, "process", order, record, wanted.mark]
        return PROGRAM.format(
            name=wanted.name,
            command=escaped(shlex.join(command)),
            log=escaped(str(self.log(wanted.name))),
            steady=_STEADY_SECONDS,
            attempts=ATTEMPTS,
            restart=_AUTORESTART[wanted.restart],
            stop=wanted.grace,
        )

    def _define(self, wanted: Definition, path: Path, text: str) -> None:
        order = {
            "argv": wanted.argv,
            "env": {**wanted.inherited, **wanted.own},
            "cwd": str(wanted.directory),
            "secrets": dict(wanted.secrets),
            "grace": wanted.grace,
        }
        runner.write(self._definition(wanted.name), order)
        runner.replace(path, text)

    def _ensure_supervisor(self) -> None:
        if self._answers():
            return
        configuration = self._folder / "supervisord.conf"
        runner.replace(
            configuration,
            SUPERVISORD.format(
                socket=escaped(str(self._socket)),
                folder=escaped(str(self._folder)),
                user="user=root" if os.getuid() == 0 else "",
            ),
        )
        subprocess.run(  # noqa: S603 - our own program on our own file
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)],
            env=self._env,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            start_new_session=True,
            timeout=_START_SECONDS,
            check=False,
        )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if time.monotonic() > deadline:
                raise Unavailable(
                    "the supervisor of the backend's processes does not start",
                    on=str(self._folder),
                    evidence=tail(self._folder / "supervisord.log"),
                    do="check that PROVER_STATE_DIR can be written and the disk is not full",
                )
            time.sleep(_LOOK_SECONDS)

    def _reload(self, beat: Beat) -> None:
        """Make supervisord's programs equal to the files: new ones start, changed ones restart, others stay."""
        added, changed, removed = self._call("reloadConfig")[0]
        for name in (*changed, *removed):
            self._halt(name, beat)
            self._call("removeProcessGroup", name)
        for name in (*added, *changed):
            self._call("addProcessGroup", name)

    def _halt(self, name: str, beat: Beat) -> None:
        with contextlib.suppress(xmlrpc.client.Fault):  # it does not run
            self._call("stopProcess", name, False)
        pace = PollingInterval(beat, _LOOK_SECONDS)
        deadline = time.monotonic() + self._grace(name) + ANSWER_SECONDS
        while self.states().get(name, "STOPPED") not in _STOPPED and time.monotonic() < deadline:
            pace.rest(lambda: f"stopping {name}")

    def _shut_down(self) -> None:
        pid = int(self._call("getPID"))
        who = runner.identity(pid)
        with contextlib.suppress(OSError, http.client.HTTPException, xmlrpc.client.Error):
            self._call("shutdown")
        deadline = time.monotonic() + _STOP_SECONDS + ANSWER_SECONDS
        while runner.alive(who) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)

    def _orphan(self, name: str) -> bool:
        return runner.alive(runner.read(self._identity(name)))

    def _end_orphan(self, name: str) -> None:
        """End a process whose supervisord was killed; only its identity is known."""
        who = runner.read(self._identity(name))
        if who and runner.alive(who):
            runner.end(who, self._grace(name))
        self._identity(name).unlink(missing_ok=True)

    def _await_steady(self, wanted: Definition, beat: Beat) -> None:
        pace = PollingInterval(beat, _LOOK_SECONDS)
        while (state := self.states().get(wanted.name, "UNKNOWN")) != "RUNNING":
            if state in _STOPPED:
                raise self.failure(wanted, state)
            pace.rest(lambda: f"{wanted.name}: starting; {last_line(self.log(wanted.name))}")

    def failure(self, wanted: Definition, state: str) -> StepFailed:
        """Return the diagnosis of a process that is down."""
        log = self.log(wanted.name)
        return StepFailed(
            f"process {wanted.name} does not stay up ({state.lower()})",
            on=str(wanted.directory),
            because={
                "FATAL": f"it ended within {_STEADY_SECONDS} s, {ATTEMPTS + 1} times",
                "EXITED": f"it exited with {self.reports().get(wanted.name, ProcessReport(state)).exit}",
                "STOPPED": "it was stopped",
            }.get(state, "it ends again and again"),
            evidence=tail(log),
            do=f"read {log} on the backend host, mend the cause and run the command again",
        )

    def _answers(self) -> bool:
        if not self._socket.exists():
            return False
        try:
            self._call("getSupervisorVersion")
        except Unavailable:
            raise
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            return False
        return True

    def _call(self, method: str, *arguments: Any) -> Any:
        with xmlrpc.client.ServerProxy("http://localhost", transport=UnixSocketTransport(self._socket)) as server:
            try:
                return getattr(server.supervisor, method)(*arguments)
            except TimeoutError as error:
                raise Unavailable(
                    "the supervisor of the backend's processes does not answer",
                    on=str(self._folder),
                    do=f"look at the process named in {self._folder}/supervisord.pid",
                ) from error
