"""Memory of processes as the kernel counts it, in KiB."""

import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_LOOK_SECONDS = 0.005


def resident(pid: int | str = "self") -> int:
    """Return the memory that a process holds now."""
    return _status(pid, "VmRSS")


def descendants(pid: int) -> list[int]:
    """Children and theirs, also those in sessions of their own."""
    try:
        threads = list(Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return []  # it ended meanwhile
    children = [int(child) for thread in threads for child in _text(thread / "children").split()]
    return [*children, *(below for child in children for below in descendants(child))]


class Peaks:
    """The most that a process and each of its descendants ever held, as long as this is entered."""

    def __init__(self, pid: int) -> None:
        """`pid` runs already."""
        self._pid = pid
        self._most: dict[int, int] = {}
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._look, name="peaks", daemon=True)

    def __enter__(self) -> Self:
        """Look from now on."""
        self._watch.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Look no more."""
        self._over.set()
        self._watch.join()

    @property
    def own(self) -> int:
        """Of the process itself."""
        return self._most.get(self._pid, 0)

    @property
    def others(self) -> int:
        """Of all descendants together, as though their peaks came at once."""
        return sum(most for pid, most in self._most.items() if pid != self._pid)

    def _look(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            program = _text(Path(f"/proc/{self._pid}/cmdline"))  # empty at its very start
            for pid in (self._pid, *descendants(self._pid)):
                # Until a child has begun its own program its memory is its parent's.
                if pid != self._pid and _text(Path(f"/proc/{pid}/cmdline")) == program:
                    continue
                # The kernel keeps the peak, so it is missed only if it comes in the last milliseconds of a process.
                self._most[pid] = max(self._most.get(pid, 0), _status(pid, "VmHWM"))


def _status(pid: int | str, field: str) -> int:
    lines = _text(Path(f"/proc/{pid}/status")).splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{field}:")), 0)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # it ended meanwhile
