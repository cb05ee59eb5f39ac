"""Which processes `down` may kill: ours after any crash, and never somebody else's."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.host import processes
from sandbox.settings import MARKER, Settings

_SLEEP = [sys.executable, "-c", "import signal; signal.pause()"]
_SETTINGS = Settings(name="unittest")
_Start = Callable[..., int]


@pytest.fixture
def start() -> Iterator[_Start]:
    """Start a process that waits; all end with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start_one(*words: str, environment: dict[str, str] | None = None, directory: Path | None = None) -> int:
        process = subprocess.Popen([*_SLEEP, *words], env=os.environ | (environment or {}), cwd=directory)
        started.append(process)
        return process.pid

    yield start_one
    for process in started:
        process.kill()
        process.wait()


def _pids() -> set[int]:
    return {process.pid for process in processes.of_world(_SETTINGS)}


def test_supervised_process_is_ours(start: _Start) -> None:
    """The marker in its environment tells, also when its supervisor is gone."""
    pid = start(environment={MARKER: f"{_SETTINGS.state}/etcd"})

    assert pid in _pids()
    assert pid in {process.pid for process in processes.orphans(_SETTINGS)}


def test_process_of_another_world_is_not_ours(start: _Start) -> None:
    """A world whose name merely starts like ours is somebody else's."""
    assert start(environment={MARKER: f"{_SETTINGS.state}2/etcd"}) not in _pids()


def test_reader_of_our_files_is_not_ours(start: _Start) -> None:
    """A CLI that was given our world.env, or an editor of a log, must live on."""
    assert start(str(_SETTINGS.env_file)) not in _pids()


def test_backend_without_supervisor_is_ours(start: _Start) -> None:
    """What the product started in our state goes with us, also when nobody supervises it any more."""
    assert start("--config", f"{_SETTINGS.state}/prover/demo/coordinator.yaml") in _pids()


def test_nobody_who_called_us_is_ours() -> None:
    """Neither this process nor its parents, whatever their environment."""
    assert os.getpid() not in _pids()
    assert os.getppid() not in _pids()


def test_zombie_is_gone(start: _Start) -> None:
    """A PID 1 that does not reap must not keep `down` waiting."""
    pid = start(environment={MARKER: f"{_SETTINGS.state}/etcd"})
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # dead, not reaped

    assert pid not in _pids()


def test_kills_until_none_is_left(start: _Start) -> None:
    """Everything of the world ends, and nothing else."""
    ours = start(environment={MARKER: f"{_SETTINGS.state}/etcd"})
    other = start()

    assert processes.end_all(_SETTINGS) >= 1
    assert ours not in processes.living()
    assert other in processes.living()
