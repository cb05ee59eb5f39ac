"""Leftovers of a test: processes that use its directories, and listeners on the ports that it drew."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import psutil

from tests.support.ports import listens, reserved_ports

_END_SECONDS = 10.0  # for what was stopped already and is about to end


@contextmanager
def nothing_outlives(directories: Iterable[str]) -> Iterator[None]:
    """Assert after the block that nothing of it is left; what was there before it does not count."""
    prefixes = tuple(directories)
    before = set(_processes(prefixes)), {port for port in reserved_ports() if listens(port)}
    yield
    deadline = time.monotonic() + _END_SECONDS
    while (left := _left(prefixes, *before)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not left, "left running: " + "; ".join(left)


def _left(prefixes: tuple[str, ...], processes: set[tuple[int, float]], ports: set[int]) -> list[str]:
    found = [text for key, text in _processes(prefixes).items() if key not in processes]
    return found + [f"port {port}" for port in reserved_ports() if port not in ports and listens(port)]


def _processes(prefixes: tuple[str, ...]) -> dict[tuple[int, float], str]:
    """Process id and start time → description, for processes with a directory, program or argument below a prefix."""
    found = {}
    spared = {process.pid for process in (psutil.Process(), *psutil.Process().parents())}
    for process in psutil.process_iter():
        if process.pid in spared:
            continue
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            arguments = process.cmdline()
            used = (process.cwd(), process.exe(), *arguments)
            if any(prefix in text for text in used for prefix in prefixes):
                found[(process.pid, process.create_time())] = f"process {process.pid} {' '.join(arguments)[:200]}"
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found
