"""TCP ports of this host: who listens on them."""

import contextlib
import functools
import json
import subprocess
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

from clients.backend.job import Job
from clients.backend.polling import PollingInterval
from clients.backend.processes import runner
from domain.errors import SettingsInvalid, StepFailed
from domain.ports import Beat
from planning.text.sanitize import one_line

_DOCKER_SECONDS = 10
_HIGHEST = 65535
_RELEASE_SECONDS = 10.0  # for the end of what is left of the step's earlier process


class PortListener(NamedTuple):
    """Process that listens on a port; `pid` is 0 for a process of another user."""

    address: str
    port: int
    pid: int


def listeners(job: Job) -> dict[int, list[PortListener]]:
    """Return the processes that listen on each port that the step declares."""
    wanted = {_number(job, text) for text in job.step.ports}
    found: dict[int, list[PortListener]] = {port: [] for port in sorted(wanted)}
    if wanted:
        for one in psutil.net_connections(kind="tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port in wanted:
                found[one.laddr.port].append(PortListener(one.laddr.ip, one.laddr.port, one.pid or 0))
    return found


def check_free(job: Job, own: Collection[int], beat: Beat, *, starting: bool = False) -> None:
    """Return once only the step's own processes hold its ports; StepFailed (PORT_IN_USE) names any other holder.

    A foreign process is refused at once. What is left of an earlier process of the step gets 10 s to end. When
    `starting`, processes with the step's cookie count as left over, too, but for those in `own`.
    """
    polling = PollingInterval(beat, 0.05)
    deadline = time.monotonic() + _RELEASE_SECONDS
    while taken := _taken(job, own, starting=starting):
        if time.monotonic() >= deadline or not all(_is_left_over(job, one.pid) for one in taken):
            raise _in_use(job, taken)
        pids = ", ".join(str(pid) for pid in sorted({one.pid for one in taken}))
        polling.rest(functools.partial(str, f"{job.step.name}: waiting for the end of its earlier process {pids}"))


def silent(job: Job) -> list[str]:
    """Return the declared ports on which no process listens yet."""
    return [f"port {port}" for port, found in listeners(job).items() if not found]


def _taken(job: Job, own: Collection[int], *, starting: bool) -> list[PortListener]:
    found = [one for some in listeners(job).values() for one in some if one.pid not in own]
    others = [one for one in found if starting or runner.cookie(one.pid) != job.place.cookie]
    return [one for one in others if not _of_project(job, one.port)]


def _in_use(job: Job, taken: list[PortListener]) -> StepFailed:
    ports = ", ".join(str(port) for port in sorted({one.port for one in taken}))
    return StepFailed(
        f"step {job.step.name} needs port {ports}, which is taken",
        on=str(job.directory),
        because="; ".join(dict.fromkeys(_holder(job, one) for one in taken)),
        do="stop what holds it, or give the step another port, and run the command again",
        code="PORT_IN_USE",
    )


def _is_left_over(job: Job, pid: int) -> bool:
    """Return whether a process is what is left of an earlier process of the step.

    It carries the step's cookie; or it is an orphan that overwrote its environment (postgres's children do so to set
    their title) and works in a directory of the step. A process that just ended is left over, too.
    """
    if not pid:
        return False  # of another user
    if cookie := runner.cookie(pid):
        return cookie == job.place.cookie
    try:
        process = psutil.Process(pid)
        parent = process.parent()
        orphan = parent is None or parent.name() != process.name()  # exe of pid 1 is root's alone to read
        directory = Path(process.cwd())
        overwritten = b"=" not in Path(f"/proc/{pid}/environ").read_bytes()
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return True
    except (psutil.Error, OSError):
        return False
    places = (job.directory, job.repo, job.place.folder)
    return orphan and overwritten and any(directory.is_relative_to(place.resolve()) for place in places)


def _holder(job: Job, one: PortListener) -> str:
    where = f"{one.address}:{one.port} is held by"
    if container := _container(job.env, one.port):
        return f"{where} container {container['name']} of compose project {container['project'] or '(none)'}"
    if not one.pid:
        return f"{where} a process of another user"
    command = ""
    with contextlib.suppress(psutil.Error):
        command = one_line(" ".join(psutil.Process(one.pid).cmdline()), 200)
    key, _, rest = runner.cookie(one.pid).partition("/")
    whose = f", step {rest.partition('@')[0]} of backend {key}" if rest else ""
    return f"{where} process {one.pid} ({command or 'it has just ended'}){whose}"


def _of_project(job: Job, port: int) -> bool:
    """Whether a container of the step's own compose project publishes the port."""
    projects = {one.project for one in (job.step.compose, *(left.compose for left in job.step.leaves)) if one}
    return bool(projects) and (_container(job.env, port) or {}).get("project") in projects


def _container(env: Mapping[str, str], port: int) -> dict[str, str] | None:
    """Name and project of the container that publishes a port, as far as an Engine can say."""
    style = '{"name":{{json .Names}},"project":{{json (.Label "com.docker.compose.project")}}}'
    command = ["docker", "ps", "--filter", f"publish={port}", "--format", style]
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments and a number
            command, env=dict(env), capture_output=True, text=True, timeout=_DOCKER_SECONDS, check=False
        )
        found: dict[str, str] = json.loads(done.stdout.splitlines()[0])
    except (OSError, subprocess.TimeoutExpired, IndexError, ValueError):
        return None
    return found


def _number(job: Job, text: str) -> int:
    port = text.rpartition(":")[2]
    if not port.isdecimal() or not 0 < int(port) <= _HIGHEST:
        raise SettingsInvalid([f"step {job.step.name} names port {text!r}, which is none"])
    return int(port)
