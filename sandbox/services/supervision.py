"""Keeps the world's processes alive beyond its caller: one supervisord per world, spoken to over its socket."""

import http.client
import os
import resource
import shlex
import xmlrpc.client
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from sandbox.errors import WorldError
from sandbox.host import processes
from sandbox.host.command import run
from sandbox.host.readiness import wait_until
from sandbox.services.program import Program
from sandbox.settings import MARKER, Settings

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_STARTED = ("STARTING", "RUNNING", "BACKOFF")
_LOG_TAIL_CHARACTERS = 2000  # characters of a log shown in an error


class Supervisor:
    """supervisord of one world: its configuration, its processes and their logs."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.configuration = settings.state / "supervisord.conf"
        self._socket = settings.state / "supervisor.sock"
        self._transport = SupervisorTransport(None, None, f"unix://{self._socket}")
        self._rpc: Any = xmlrpc.client.ServerProxy("http://world", transport=self._transport).supervisor

    def is_running(self) -> bool:
        """Whether supervisord answers."""
        try:
            return bool(self._rpc.getState()["statename"] == "RUNNING")
        except (OSError, http.client.HTTPException, xmlrpc.client.Error):
            self._transport.close()  # it keeps one connection, also a broken one
            return False

    def apply(self, programs: Iterable[Program]) -> None:
        """Make supervisord run with exactly these programs; programs whose definition changed are stopped."""
        programs = list(programs)
        self._write(programs)
        if self.is_running():
            self._reload()
            return
        self._end_orphans(programs)
        daemon = self._settings.venv_bin / "supervisord"
        environment = {"PATH": SYSTEM_PATH, "HOME": os.environ.get("HOME", "/root"), "LANG": "C.UTF-8"}
        environment[MARKER] = f"{self._settings.state}/supervisord"
        _raise_open_files()
        run(str(daemon), "-c", str(self.configuration), env=environment)
        wait_until(lambda: None if self.is_running() else "no answer", seconds=20, what="supervisord")

    def start(self, name: str) -> None:
        """Start it unless it runs."""
        if self.state(name) not in _STARTED:
            self._rpc.startProcess(name, False)  # do not wait: the probe does

    def stop(self, name: str) -> None:
        """Stop it if it runs, and wait for its end."""
        if self.state(name) in _STARTED:
            self._rpc.stopProcess(name)

    def state(self, name: str) -> str:
        """Return the state that supervisord reports: RUNNING, STOPPED, FATAL, …"""
        return str(self._rpc.getProcessInfo(name)["statename"])

    def forget_log(self, name: str) -> None:
        """Empty the log of one program."""
        self._rpc.clearProcessLogs(name)

    def processes(self) -> list[dict[str, Any]]:
        """Everything supervisord knows, in its own shape."""
        return list(self._rpc.getAllProcessInfo())

    def close(self) -> None:
        """Let go of the connection; the next call makes another."""
        self._transport.close()

    def pid(self, name: str) -> int:
        """0 when it does not run."""
        return int(self._rpc.getProcessInfo(name)["pid"])

    def wait_ready(self, program: Program) -> None:
        """Wait until it serves; raise WorldError with the end of its log when it does not."""

        def probe() -> str | None:
            if (state := self.state(program.name)) not in _STARTED:
                raise WorldError(self._failure(program, f"is {state}"))
            return program.ready()

        try:
            wait_until(probe, seconds=program.patience, what=program.name)
        except WorldError as error:
            raise WorldError(self._failure(program, str(error))) from error

    def log(self, name: str) -> Path:
        """Output and complaints of one program."""
        return self._settings.state / "logs" / f"{name}.log"

    def _failure(self, program: Program, why: str) -> str:
        log = self.log(program.name)
        tail = log.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:] if log.exists() else "(no log)"
        return f"{program.name} of world {self._settings.name} does not serve: {why}\n--- {log}\n{tail}"

    def _end_orphans(self, programs: list[Program]) -> None:
        def none_left() -> str | None:
            left = processes.orphans(self._settings)
            processes.kill(left)
            return ", ".join(str(process.pid) for process in left) or None

        wait_until(none_left, seconds=20, what="end of processes without a supervisor")
        for path in (self._socket, *(path for program in programs for path in program.leftovers)):
            path.unlink(missing_ok=True)

    def _reload(self) -> None:
        added, changed, removed = self._rpc.reloadConfig()[0]
        for name in [*changed, *removed]:
            self._rpc.stopProcessGroup(name)
            self._rpc.removeProcessGroup(name)
        for name in [*added, *changed]:
            self._rpc.addProcessGroup(name)

    def _write(self, programs: list[Program]) -> None:
        (self._settings.state / "logs").mkdir(parents=True, exist_ok=True)
        state = self._settings.state
        head = f"""\
[unix_http_server]
file={self._socket}
chmod=0700
[supervisord]
logfile={state}/logs/supervisord.log
logfile_maxbytes=5MB
pidfile={state}/supervisord.pid
childlogdir={state}/logs
minfds=1024
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{self._socket}
"""
        text = head + "".join(self._section(program) for program in programs)
        # Environments hold the registry's password.
        with os.fdopen(os.open(self.configuration, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)

    def _section(self, program: Program) -> str:
        environment = program.environment | {MARKER: f"{self._settings.state}/{program.name}"}
        pairs = ",".join(f'{key}="{_escape(value)}"' for key, value in sorted(environment.items()))
        return f"""\
[program:{program.name}]
command={_escape(shlex.join(program.full_command))}
directory={program.directory}
environment={pairs}
autostart=false
autorestart=true
startsecs=1
startretries=10
stopwaitsecs={program.stop_seconds}
stdout_logfile={self.log(program.name)}
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=1
redirect_stderr=true
"""


def _raise_open_files() -> None:
    # Inherited by everything below; containerd and etcd run out of a soft limit of 1024.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _escape(text: str) -> str:
    return text.replace("%", "%%")
