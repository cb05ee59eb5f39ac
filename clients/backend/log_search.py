"""Looks for a line in a log, and only in what the present run of a step wrote."""

import contextlib
import os
import re
from pathlib import Path
from typing import IO

from clients.backend.job import Job, StepFiles
from clients.backend.processes.runner import read, write
from domain.errors import SettingsInvalid
from domain.profile import LogLine, Wait
from planning.text.sanitize import printable

_LINE = 1 << 16  # bytes; a longer line is searched in pieces


def mark(job: Job, wait: Wait) -> None:
    """Note how long the logs are that `wait` reads, right before the step is started: only what follows counts.

    Recorded commands begin their own log anew and so need no mark; processes and files of their own go on.
    """
    if wait.log is None or wait.log.step:
        return
    own = [job.place.log] if job.step.process else []
    paths = _newest_last(job.directory, wait.log.file) if wait.log.file else own
    file = _marks(job.place)
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write(file, {str(path): [path.stat().st_ino, path.stat().st_size] for path in paths if path.is_file()})


class LogSearch:
    """Reads nothing twice, however often it is asked."""

    def __init__(self, job: Job, line: LogLine) -> None:
        """SettingsInvalid for an expression that is none."""
        try:
            self._pattern = re.compile(line.match)
        except re.error as error:
            problem = f"step {job.step.name} awaits {line.match!r}, which is no regular expression: {error}"
            raise SettingsInvalid([problem]) from error
        self._line = line
        self._directory = job.directory
        self._place = StepFiles(job.place.folder, line.step) if line.step else job.place
        self._path: Path | None = None
        self._inode = 0
        self._offset = 0  # all before it is searched

    def lacks(self) -> str | None:
        """Why there is no such line yet."""
        path = self._log()
        try:
            with path.open("rb") as file:
                found = os.fstat(file.fileno())
                if (path, found.st_ino) != (self._path, self._inode) or found.st_size < self._offset:
                    self._path, self._inode, self._offset = path, found.st_ino, self._start(path, found)
                file.seek(self._offset)
                if self._found(file):
                    return None
                self._offset = file.tell()
        except FileNotFoundError:
            return f"{path} does not exist"
        return f"not among the {found.st_size} bytes of {path}"

    def _log(self) -> Path:
        if not self._line.file:
            return self._place.log
        return next(reversed(_newest_last(self._directory, self._line.file)), self._directory / self._line.file)

    def _start(self, path: Path, found: os.stat_result) -> int:
        inode, size = (read(_marks(self._place)) or {}).get(str(path), (0, 0))
        return int(size) if inode == found.st_ino and size <= found.st_size else 0

    def _found(self, file: IO[bytes]) -> bool:
        """Leaves the file at a last line that may still grow."""
        while line := file.readline(_LINE):
            if any(self._pattern.search(part) for part in printable(line.decode(errors="replace")).splitlines()):
                return True
            if not line.endswith(b"\n") and len(line) < _LINE:
                file.seek(-len(line), os.SEEK_CUR)
                break
        return False


def _marks(place: StepFiles) -> Path:
    return place.folder / "run" / f"{place.name}.marks.json"


def _newest_last(directory: Path, pattern: str) -> list[Path]:
    """Return the files that the pattern names, the newest last; a plain path is a pattern, too."""
    absolute = pattern.startswith("/")
    top, inner = (Path("/"), pattern.lstrip("/")) if absolute else (directory, pattern)
    found: list[tuple[int, Path]] = []
    for path in top.glob(inner):
        with contextlib.suppress(FileNotFoundError):  # rotated away just now
            found.append((path.stat().st_mtime_ns, path))
    return [path for _, path in sorted(found)]
