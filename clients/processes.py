"""Process steps: each backend has a supervisord of its own, so that its processes outlive worker and CLI.

A definition travels as a JSON file that a small starter reads; supervisord's own configuration syntax never sees
argv or environment of a step, so nothing in them needs escaping.
"""

import contextlib
import fcntl
import hashlib
import http.client
import os
import shlex
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from clients import runner
from clients.backend_log import last_line, tail
from domain.errors import PermanentError, StepFailed, Unavailable
from domain.ports import Beat

_SOCKET_LENGTH = 90  # the kernel takes 107; supervisord first binds to the name plus its pid
_ANSWER_SECONDS = 10.0
_START_SECONDS = 20.0
_STEADY_SECONDS = 1  # a process that lives this long counts as started
_ATTEMPTS = 2  # starts anew before it is given up; a taken port shows at the first
_STOP_SECONDS = 10
_LOOK_SECONDS = 0.1
_BEAT_SECONDS = 1.0
_STOPPED = {"STOPPED", "EXITED", "FATAL", "UNKNOWN"}
_RUNNING = {"STARTING", "RUNNING", "BACKOFF"}


class Definition(NamedTuple):
    """What to run; `content` changes when the program or its inputs did, and then it is restarted.

    Of the environment only `own`, the step's part, counts: a worker started from another shell restarts nothing.
    """

    name: str
    argv: list[str]
    inherited: Mapping[str, str]
    own: Mapping[str, str]
    directory: Path
    content: str


class Processes:
    """The processes of one backend, under `folder`."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        """`env` is what supervisord itself gets; each process brings its own."""
        self._folder = folder
        self._env = dict(env)
        self._socket = _socket_path(folder)

    def start(self, wanted: Definition, beat: Beat) -> str:
        """The process runs as defined afterwards, once; a line about it. StepFailed with the end of its log."""
        with self._locked(beat):
            before = self.states().get(wanted.name, "")
            changed = self._define(wanted)
            self._ensure_supervisor()
            self._reload()
            if self.states().get(wanted.name) in _STOPPED:
                with contextlib.suppress(xmlrpc.client.Fault):  # somebody else started it just now
                    self._call("startProcess", wanted.name, False)
        self._await_steady(wanted, beat)
        again = before == "RUNNING"
        return "restarted with a new definition" if again and changed else "running already" if again else "started"

    def stop(self, names: list[str] | None) -> list[str]:
        """Stop these (None: all), and supervisord when none is left; the names of those that ran."""
        with self._locked(lambda _: None):
            known = sorted(path.stem for path in self._configurations.glob("*.conf"))
            chosen = [name for name in known if names is None or name in names]
            states = self.states()
            ran = [name for name in chosen if states.get(name) in _RUNNING or self._orphan(name)]
            for name in chosen:
                (self._configurations / f"{name}.conf").unlink(missing_ok=True)
            if self._answers():
                self._reload()
                if len(chosen) == len(known):
                    self._shut_down()
            for name in chosen:
                self._end_orphan(name)
            return ran

    def running(self) -> list[str]:
        """Names of the processes that run."""
        return sorted(name for name, state in self.states().items() if state in _RUNNING)

    def states(self) -> dict[str, str]:
        """The state of each process in supervisord's words; empty when it does not run."""
        if not self._answers():
            return {}
        return {str(info["name"]): str(info["statename"]) for info in self._call("getAllProcessInfo")}

    def log(self, name: str) -> Path:
        """Output of a process, both streams."""
        return self._folder / "logs" / f"{name}.log"

    @property
    def _configurations(self) -> Path:
        return self._folder / "conf.d"

    def _identity(self, name: str) -> Path:
        return self._folder / "run" / f"{name}.process.json"

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
        with (self._folder / "supervisor.lock").open("w") as file:
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    beat("waiting for another change of the backend's processes")
                    time.sleep(_LOOK_SECONDS)
            yield

    def _define(self, wanted: Definition) -> bool:
        """Write the definition; whether it differs from the last one."""
        order = {"argv": wanted.argv, "env": {**wanted.inherited, **wanted.own}, "cwd": str(wanted.directory)}
        meaning = repr([wanted.argv, sorted(wanted.own.items()), str(wanted.directory), wanted.content])
        mark = hashlib.sha256(meaning.encode()).hexdigest()[:12]
        file = self._folder / "run" / f"{wanted.name}.definition.json"
        runner.write(file, order)
        command = [sys.executable, "-I", runner.__file__, "process", str(file), str(self._identity(wanted.name)), mark]
        text = _PROGRAM.format(
            name=wanted.name,
            command=_escaped(shlex.join(command)),
            log=_escaped(str(self.log(wanted.name))),
            steady=_STEADY_SECONDS,
            attempts=_ATTEMPTS,
            stop=_STOP_SECONDS,
        )
        path = self._configurations / f"{wanted.name}.conf"
        if path.exists() and path.read_text() == text:
            return False
        path.write_text(text)
        return True

    def _ensure_supervisor(self) -> None:
        if self._answers():
            return
        configuration = self._folder / "supervisord.conf"
        configuration.write_text(
            _SUPERVISORD.format(
                socket=_escaped(str(self._socket)),
                folder=_escaped(str(self._folder)),
                user="user=root" if os.getuid() == 0 else "",
            )
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

    def _reload(self) -> None:
        """Make supervisord's programs equal to the files: new ones start, changed ones restart, others stay."""
        added, changed, removed = self._call("reloadConfig")[0]
        for name in (*changed, *removed):
            self._halt(name)
            self._call("removeProcessGroup", name)
        for name in (*added, *changed):
            self._call("addProcessGroup", name)

    def _halt(self, name: str) -> None:
        with contextlib.suppress(xmlrpc.client.Fault):  # it does not run
            self._call("stopProcess", name, False)
        deadline = time.monotonic() + _STOP_SECONDS + _ANSWER_SECONDS
        while self.states().get(name, "STOPPED") not in _STOPPED and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)

    def _shut_down(self) -> None:
        pid = int(self._call("getPID"))
        who = runner.identity(pid)
        with contextlib.suppress(OSError, http.client.HTTPException, xmlrpc.client.Error):
            self._call("shutdown")
        deadline = time.monotonic() + _STOP_SECONDS + _ANSWER_SECONDS
        while runner.alive(who) and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)

    def _orphan(self, name: str) -> bool:
        return runner.alive(runner.read(self._identity(name)))

    def _end_orphan(self, name: str) -> None:
        """A process whose supervisord was killed is known by its identity only."""
        who = runner.read(self._identity(name))
        if who and runner.alive(who):
            runner.end(who, _STOP_SECONDS)
        self._identity(name).unlink(missing_ok=True)

    def _await_steady(self, wanted: Definition, beat: Beat) -> None:
        next_beat = 0.0
        while True:
            state = self.states().get(wanted.name, "UNKNOWN")
            if state == "RUNNING":
                return
            if state in _STOPPED:
                raise self._failure(wanted, state)
            if time.monotonic() >= next_beat:
                beat(f"{wanted.name}: {state.lower()} {last_line(self.log(wanted.name))}".rstrip())
                next_beat = time.monotonic() + _BEAT_SECONDS
            time.sleep(_LOOK_SECONDS)

    def _failure(self, wanted: Definition, state: str) -> StepFailed:
        log = self.log(wanted.name)
        return StepFailed(
            f"process {wanted.name} does not stay up ({state.lower()})",
            on=str(wanted.directory),
            because=f"it ended within {_STEADY_SECONDS} s, {_ATTEMPTS + 1} times"
            if state == "FATAL"
            else "it was stopped",
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
        with xmlrpc.client.ServerProxy("http://localhost", transport=_Transport(self._socket)) as server:
            try:
                return getattr(server.supervisor, method)(*arguments)
            except TimeoutError as error:
                raise Unavailable(
                    "the supervisor of the backend's processes does not answer",
                    on=str(self._folder),
                    do=f"look at the process named in {self._folder}/supervisord.pid",
                ) from error


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_ANSWER_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        self._made = _Connection(self._path)
        self._connection = host, self._made
        return self._made


def _socket_path(folder: Path) -> Path:
    path = folder / "supervisor.sock"
    if len(os.fsencode(path)) <= _SOCKET_LENGTH:
        return path
    short = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    return Path("/tmp") / f"proverctl-{os.getuid()}-{short}" / "supervisor.sock"  # noqa: S108 - checked when made


def _escaped(text: str) -> str:
    return text.replace("%", "%%")


_SUPERVISORD = """\
[unix_http_server]
file={socket}
chmod=0700

[supervisord]
logfile={folder}/supervisord.log
logfile_maxbytes=5MB
logfile_backups=1
pidfile={folder}/supervisord.pid
childlogdir={folder}/logs
{user}

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[include]
files=conf.d/*.conf
"""
_PROGRAM = """\
[program:{name}]
command={command}
redirect_stderr=true
stdout_logfile={log}
stdout_logfile_maxbytes=50MB
stdout_logfile_backups=2
autorestart=true
startsecs={steady}
startretries={attempts}
stopwaitsecs={stop}
stopasgroup=true
killasgroup=true
"""
