"""Processes of a world, read from /proc alone so that it works after any crash."""

import os
import re
import signal
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import WorldError
from sandbox.host.readiness import wait_until
from sandbox.settings import MARKER, Settings

_GONE = ("Z", "X")  # a PID 1 that does not reap leaves zombies behind; they hold nothing
_DAEMONS = ("supervisord", "containerd", "dockerd")  # known by their arguments; others may only read our files
_UPPER_DIR = re.compile(r"(?:upperdir|lowerdir)=([^,: ]+)")


@dataclass(frozen=True)
class Process:
    """Living process as /proc describes it."""

    pid: int
    parent: int
    state: str
    has_terminal: bool
    arguments: tuple[str, ...]
    environment: tuple[str, ...]
    directory: str
    executable: str
    root_layer: str  # directory on the host that holds the process's root file system, if that is an overlay


def living() -> dict[int, Process]:
    """Every process that is not a zombie."""
    found = (_read(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    return {process.pid: process for process in found if process and process.state not in _GONE}


def of_world(settings: Settings) -> list[Process]:
    """List the processes of this world: supervised ones, containers, shims, and those the product started here."""
    everyone = living()
    spared = _ancestors(os.getpid(), everyone)
    ours = {pid for pid, process in everyone.items() if pid not in spared and _belongs(process, settings)}
    grown = True
    while grown:
        children = {p.pid for p in everyone.values() if p.parent in ours} - ours - spared
        ours |= children
        grown = bool(children)
    return [everyone[pid] for pid in sorted(ours)]


def orphans(settings: Settings) -> list[Process]:
    """Supervised programs whose supervisord is gone; they hold the ports their successors need."""
    marker = f"{MARKER}={settings.state}/"
    spared = _ancestors(os.getpid(), living())
    return [
        process
        for process in living().values()
        if process.pid not in spared
        and any(entry.startswith(marker) for entry in process.environment)
        # A shim carries a running container over to the next containerd: that is what shims are for.
        and not _is_shim(process)
    ]


def kill(processes: list[Process]) -> None:
    """SIGKILL them; those that are gone already do not matter."""
    for process in processes:
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def end_all(settings: Settings) -> int:
    """Kill every process of the world until none is left; returns how many there were."""
    killed: set[int] = set()

    def none_left() -> str | None:
        remaining = of_world(settings)
        kill(remaining)
        killed.update(process.pid for process in remaining)
        return ", ".join(f"{p.pid} {' '.join(p.arguments)[:60]}" for p in remaining) or None

    try:
        wait_until(none_left, seconds=30, what=f"end of the processes of world {settings.name}")
    except WorldError as error:
        raise WorldError(
            f"{error}. They may hang in the kernel: see `ps -o stat,wchan`, then run down again"
        ) from error
    return len(killed)


def _belongs(process: Process, settings: Settings) -> bool:
    state = f"{settings.state}/"
    if any(entry.startswith(f"{MARKER}={state}") for entry in process.environment):
        return True
    if process.root_layer.startswith(state):
        return True
    if process.has_terminal:  # an operator's shell, editor or `tail -f`
        return False
    product = (f"{state}prover", f"{state}demo")  # backends of the product, also when their supervisor is dead
    if process.directory.startswith(product) or process.executable.startswith(state):
        return True
    if any(folder + "/" in word for word in process.arguments for folder in product):
        return True
    named = any(Path(word).name.startswith(_DAEMONS) for word in process.arguments[:2])
    return named and any(state in word for word in process.arguments)


def _is_shim(process: Process) -> bool:
    return bool(process.arguments) and Path(process.arguments[0]).name.startswith("containerd-shim")


def _ancestors(pid: int, everyone: dict[int, Process]) -> set[int]:
    line = {pid}
    while (process := everyone.get(pid)) and process.parent not in line:
        pid = process.parent
        line.add(pid)
    return line


def _read(pid: int) -> Process | None:
    directory = Path(f"/proc/{pid}")
    try:
        # The name in brackets may itself hold spaces and brackets: count from the last one.
        fields = (directory / "stat").read_text().rpartition(")")[2].split()
        return Process(
            pid=pid,
            parent=int(fields[1]),
            state=fields[0],
            has_terminal=fields[4] != "0",
            arguments=_strings(directory / "cmdline"),
            environment=_strings(directory / "environ"),
            directory=_link(directory / "cwd"),
            executable=_link(directory / "exe"),
            root_layer=_root_layer(directory / "mountinfo"),
        )
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None  # ended while we looked, or a kernel thread


def _strings(path: Path) -> tuple[str, ...]:
    try:
        return tuple(path.read_bytes().decode(errors="replace").rstrip("\0").split("\0"))
    except OSError:
        return ()


def _link(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def _root_layer(path: Path) -> str:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        fields = line.split()
        if fields[4] == "/" and (layer := _UPPER_DIR.search(line)):
            return layer.group(1)
    return ""
