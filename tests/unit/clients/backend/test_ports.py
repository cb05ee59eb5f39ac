"""How long a step waits for a port that somebody holds."""

import os
from pathlib import Path

import psutil
import pytest

from clients.backend import ports
from clients.backend.job import Job
from clients.backend.ports import PortListener, check_free
from clients.backend.processes import runner
from domain.errors import StepFailed
from tests.support.backend.jobs import job_in

_PORT = 29_777
_PID = 4_000_000_000  # above the kernel's highest pid


class _Holders:
    """Listeners on the step's port: one fewer look each time, as a process that ends."""

    def __init__(self, looks: int, pid: int) -> None:
        self.looks = looks
        self._pid = pid

    def __call__(self, _: Job) -> dict[int, list[PortListener]]:
        self.looks -= 1
        return {_PORT: [PortListener("127.0.0.1", _PORT, self._pid)] if self.looks >= 0 else []}


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Return a process step that declares the port."""
    return job_in(tmp_path, process=["serve"], ports=[str(_PORT)])


def _holds(monkeypatch: pytest.MonkeyPatch, holders: _Holders, cookie: str) -> None:
    monkeypatch.setattr(ports, "listeners", holders)
    monkeypatch.setattr(runner, "cookie", lambda _: cookie)
    monkeypatch.setattr(ports, "_container", lambda *_: None)


def test_an_own_earlier_process_is_waited_for(monkeypatch: pytest.MonkeyPatch, job: Job) -> None:
    """The check returns once the process with the step's cookie has ended, and reports the wait."""
    _holds(monkeypatch, _Holders(3, _PID), job.place.cookie)
    beats: list[str] = []
    check_free(job, (), beats.append, starting=True)
    assert beats == [f"{job.step.name}: waiting for the end of its earlier process {_PID}"]


def test_an_own_earlier_process_that_stays_is_refused(monkeypatch: pytest.MonkeyPatch, job: Job) -> None:
    """PORT_IN_USE names the holder once the time for its end has passed."""
    monkeypatch.setattr(ports, "_RELEASE_SECONDS", 0.2)
    _holds(monkeypatch, _Holders(1000, _PID), job.place.cookie)
    with pytest.raises(StepFailed, match=f"held by process {_PID}") as caught:
        check_free(job, (), lambda _: None, starting=True)
    assert caught.value.diagnosis.code == "PORT_IN_USE"


def test_a_started_process_holds_its_ports(monkeypatch: pytest.MonkeyPatch, job: Job) -> None:
    """After the start, the step's cookie marks the process that is meant to listen."""
    _holds(monkeypatch, _Holders(1000, _PID), job.place.cookie)
    check_free(job, (), lambda _: None)


@pytest.mark.parametrize("cookie", ["", "other/step@0"])
def test_a_foreign_process_is_refused_at_once(monkeypatch: pytest.MonkeyPatch, job: Job, cookie: str) -> None:
    """Refuse at once: this process has another cookie or none, and its environment can be read."""
    holders = _Holders(1000, os.getpid())
    _holds(monkeypatch, holders, cookie)
    with pytest.raises(StepFailed) as caught:
        check_free(job, (), lambda _: None, starting=True)
    assert (caught.value.diagnosis.code, holders.looks) == ("PORT_IN_USE", 999)


class _Orphan:
    """A process of the host whose parent runs another program."""

    def __init__(self, directory: Path, program: str = "postgres") -> None:
        self._directory = directory
        self._program = program

    def parent(self) -> "_Orphan":
        return _Orphan(self._directory, "init")

    def name(self) -> str:
        return self._program

    def cwd(self) -> str:
        return str(self._directory)


@pytest.mark.parametrize(
    ("inside", "environment", "waits"), [(True, b"\0\0", True), (True, b"A=b\0", False), (False, b"\0", False)]
)
def test_an_orphan_that_overwrote_its_environment(
    monkeypatch: pytest.MonkeyPatch, job: Job, *, inside: bool, environment: bytes, waits: bool
) -> None:
    """Postgres's children lose the cookie: in a directory of the step such an orphan is waited for, else refused."""
    read_bytes = Path.read_bytes
    orphan = _Orphan(job.directory if inside else Path("/"))
    _holds(monkeypatch, _Holders(2, _PID), "")
    monkeypatch.setattr(psutil, "Process", lambda _: orphan)
    monkeypatch.setattr(Path, "read_bytes", lambda path: environment if path.name == "environ" else read_bytes(path))
    monkeypatch.setattr(ports, "_holder", lambda *_: "held")
    if waits:
        check_free(job, (), lambda _: None)
    else:
        with pytest.raises(StepFailed, match="held"):
            check_free(job, (), lambda _: None)
