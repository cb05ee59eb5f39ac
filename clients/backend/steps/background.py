"""Processes that functions leave behind: found by the step's cookie, by their identity, or by what they run where."""

import re
from pathlib import Path
from typing import Any, NamedTuple

from clients.backend.job import Job, StepFiles
from clients.backend.polling import PollingInterval
from clients.backend.processes import runner
from clients.backend.steps.compose import rising, state
from domain.errors import Unavailable
from domain.ports import Beat
from domain.profile import BackgroundProcess, Step

Who = dict[str, Any]


class Seen(NamedTuple):
    """Process of this host."""

    who: Who
    parent: int
    cookie: str
    program: str
    argv: list[str]
    cwd: str


class BackgroundStatus(NamedTuple):
    """Declared processes and projects of a step that run now."""

    running: list[list[Who]]  # by what is declared, the oldest first
    lacking: list[str]  # those of which nothing runs
    rising: list[str]  # those of them, compose projects, that are on their way
    ours: list[Who]  # all that carries the step's cookie, declared or not
    known: list[Who]  # those recorded before

    @property
    def pids(self) -> list[int]:
        """The first process of each."""
        return [int(whos[0]["pid"]) for whos in self.running if whos]

    @property
    def adopted(self) -> list[int]:
        """The first process of each that somebody else started."""
        ours = [*self.ours, *self.known]
        return [int(whos[0]["pid"]) for whos in self.running if whos and not any(who in ours for who in whos)]


def everything() -> list[Seen]:
    """All processes that may be looked at."""
    found = [_seen(pid) for pid in runner.pids()]
    return [seen for seen in found if seen is not None]


def look(job: Job, table: list[Seen] | None = None) -> BackgroundStatus:
    """Return the running ones of the processes and projects that the step leaves."""
    table = everything() if table is None else table
    running, lacking, on_their_way = [], [], []
    for left in job.step.leaves:
        if left.compose is not None:
            up, why = state(left.compose, job.repo, job.env)
            whos: list[Who] = []
            lack = "" if up else f"{name(left)} ({why})"
            if not up and rising(left.compose, job.repo, job.env):
                on_their_way.append(lack)
        else:
            whos = _of(left, job.place, job.repo, table)
            lack = "" if whos else name(left)
        running.append(whos)
        if lack:
            lacking.append(lack)
    ours = [seen.who for seen in table if seen.cookie == job.place.cookie]
    return BackgroundStatus(running, lacking, on_their_way, ours, recorded(job.place))


def record(place: StepFiles, found: BackgroundStatus) -> None:
    """Remember who runs, for one who loses the cookie."""
    whos = [who for whos in found.running for who in whos]
    if whos != found.known:
        runner.write(place.left, {"left": whos})


def recorded(place: StepFiles) -> list[Who]:
    """Return the recorded processes that still run."""
    return [who for who in (runner.read(place.left) or {}).get("left", []) if runner.alive(who)]


def remains(place: StepFiles, step: Step, repo: Path) -> list[Who]:
    """Every process of the step: by cookie, by identity, by declaration, and the children of those."""
    table = everything()
    first = [seen.who for seen in table if seen.cookie == place.cookie]
    first += recorded(place)
    first += [who for left in step.leaves if left.program for who in _of(left, place, repo, table)]
    pids = {int(who["pid"]) for who in first}
    size = 0
    while size != len(pids):
        size = len(pids)
        pids |= {seen.who["pid"] for seen in table if seen.parent in pids and seen.cookie in {"", place.cookie}}
    return [seen.who for seen in table if seen.who["pid"] in pids]


def sweep(place: StepFiles, step: Step, repo: Path, beat: Beat) -> bool:
    """End every process of the step; whether there was one. Unavailable when one cannot be ended."""
    found = remains(place, step, repo)
    if not found:
        return False
    pace = PollingInterval(beat)

    def tell() -> None:
        pace.beat(lambda: f"{place.name}: ending {len(found)} processes")

    if rest := runner.end_all(lambda: remains(place, step, repo), step.grace, tell):
        pids = ", ".join(str(who["pid"]) for who in rest)
        raise Unavailable(
            f"processes {pids} of step {place.name} do not end, not even killed",
            on=str(repo),
            do="look at what they wait for (ps -o stat,wchan), often a disk or network file system that hangs",
        )
    place.left.unlink(missing_ok=True)
    return True


def name(left: BackgroundProcess) -> str:
    """Return the declaration in a few words."""
    return f"compose project {left.compose.project}" if left.compose else f"{left.program} {left.arguments}".strip()


def _of(left: BackgroundProcess, place: StepFiles, repo: Path, table: list[Seen]) -> list[Who]:
    found = [seen.who for seen in table if _is(left, place, repo, seen)]
    return sorted(found, key=lambda who: int(who["start"]))


def _is(left: BackgroundProcess, place: StepFiles, repo: Path, seen: Seen) -> bool:
    if seen.cookie not in {"", place.cookie} or (left.arguments and not re.search(left.arguments, " ".join(seen.argv))):
        return False  # another step's, or another backend's
    if "/" in left.program:
        right = _runs((repo / left.program).resolve(), seen)
    else:
        names = {Path(seen.program).name, Path(seen.argv[0]).name}
        right = left.program in names
    if seen.cookie and not left.dir:
        return right  # it is ours, wherever it went
    return right and Path(seen.cwd).is_relative_to((repo / left.dir).resolve())


def _runs(program: Path, seen: Seen) -> bool:
    """Whether the process runs this program, also a script by its interpreter."""
    if Path(seen.program) == program:
        return True
    words = [word for word in seen.argv[1:3] if not word.startswith("-")]
    if not words or Path(seen.cwd, words[0]).resolve() != program:
        return False
    try:
        with program.open("rb") as file:
            first = file.readline(256).decode(errors="replace").split()
    except OSError:
        return False
    interpreters = {Path(word.removeprefix("#!")).name for word in first}
    return bool(first) and first[0].startswith("#!") and Path(seen.argv[0]).name in interpreters


def _seen(pid: int) -> Seen | None:
    try:
        who = runner.identity(pid)
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
        program = str(Path(f"/proc/{pid}/exe").readlink()).removesuffix(" (deleted)")  # built anew since it started
        cwd = str(Path(f"/proc/{pid}/cwd").readlink()).removesuffix(" (deleted)")
    except OSError:
        return None  # it has just ended, or belongs to the kernel or to another user
    return Seen(who, int(stat[1]), runner.cookie(pid), program, argv, cwd) if who else None
