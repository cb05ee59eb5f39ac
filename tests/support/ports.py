"""TCP ports for tests: free when drawn, and not drawn by another test process of this machine."""

import fcntl
import random
import socket
from pathlib import Path
from typing import IO

_LOCKS = Path("/run/lock/prover-test-ports")
_LOWEST, _HIGHEST = 21000, 31999  # above the ports of the worlds, below those that the kernel picks for connections
_reserved: dict[int, IO[str]] = {}


def free_port() -> int:
    """Reserve a free port until this process ends; raise AssertionError when there is none."""
    _LOCKS.mkdir(parents=True, exist_ok=True)
    for port in random.sample(range(_LOWEST, _HIGHEST + 1), _HIGHEST + 1 - _LOWEST):
        if port not in _reserved and _reserve(port):
            return port
    raise AssertionError(f"no port from {_LOWEST} to {_HIGHEST} is free")


def reserved_ports() -> list[int]:
    """Return the ports that this process has drawn."""
    return sorted(_reserved)


def listens(port: int) -> bool:
    """Return whether a process listens on this port at any address of this machine."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: ended connections do not count
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - bound for an instant, nothing is served
        except OSError:
            return True
    return False


def _reserve(port: int) -> bool:
    lock = (_LOCKS / str(port)).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return False
    if listens(port):
        lock.close()
        return False
    _reserved[port] = lock
    return True
