"""File steps: a template with the profile's variables filled in, written at once or not at all."""

import contextlib
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from clients.backend.job import Job
from clients.system import file_lock
from domain.errors import SettingsInvalid, StepFailed
from domain.profile import Rendered, StepState, StepStatus

_REFERENCE = re.compile(rb"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_DATA = "BACKEND_DATA"


def write(job: Job) -> StepStatus:
    """Write the file with content and mode; SKIPPED when it was so before; SettingsInvalid, StepFailed."""
    wanted = job.step.file
    if wanted is None:
        raise TypeError(f"step {job.step.name} writes no file")
    began = time.monotonic()
    target = _inside(job, "to", wanted.to)
    try:
        content = _content(job, wanted)
        with _locked(job), _folder(job, target.parent) as folder:
            changed = _replace(folder, target.name, content, int(wanted.mode, 8), f".{target.name}.{job.step.name}.new")
    except OSError as error:
        raise StepFailed(
            f"step {job.step.name} cannot write {wanted.to}",
            on=str(error.filename or target),
            because=error.strerror or str(error),
            do="mend that on the backend host and run the command again",
        ) from error
    state, detail = (StepState.DONE, str(target)) if changed else (StepState.SKIPPED, "unchanged")
    seconds = round(time.monotonic() - began, 3)
    return StepStatus(name=job.step.name, kind=job.step.kind, state=state, detail=detail, seconds=seconds)


def rendered(template: bytes, variables: Mapping[str, str]) -> tuple[bytes, list[tuple[int, str]]]:
    """Return the template with `${NAME}` replaced and `$$` as `$`, and line and name of each unset variable."""
    unknown = [
        (template.count(b"\n", 0, match.start()) + 1, match[1].decode())
        for match in _REFERENCE.finditer(template)
        if match[1] is not None and match[1].decode() not in variables
    ]

    def value(match: re.Match[bytes]) -> bytes:
        return b"$" if match[1] is None else variables.get(match[1].decode(), "").encode()

    return _REFERENCE.sub(value, template), unknown


def _content(job: Job, wanted: Rendered) -> bytes:
    if wanted.text:
        return wanted.text.encode()  # filled in already, with all other texts of the step
    template = _inside(job, "template", wanted.template)
    content, unknown = rendered(template.read_bytes(), job.variables)
    if unknown:
        lines = ", ".join(f"line {line} uses ${{{name}}}" for line, name in unknown)
        raise StepFailed(
            f"step {job.step.name} has no value for every variable of its template",
            on=str(template),
            because=f"{lines}, which no variable of the profile declares and no earlier step hands on",
            do="declare it under `variables` in the profile, or write $$ where a dollar sign is meant",
        )
    return content


def _inside(job: Job, field: str, path: str) -> Path:
    """Return the real path behind links, which is inside the repository or the backend's data."""
    named = job.directory / path
    real = named.parent.resolve() / named.name
    real = real.resolve() if field == "template" else real  # a link in place of the target itself is replaced
    if real.name in {"", ".", ".."} or not any(real.parent.is_relative_to(top) for top in _tops(job)):
        raise SettingsInvalid([f"file.{field} {path!r} of step {job.step.name} leads out of the repository, to {real}"])
    return real


def _tops(job: Job) -> list[Path]:
    data = job.variables.get(_DATA)
    return [job.repo.resolve(), *([Path(data).resolve()] if data else [])]


@contextlib.contextmanager
def _locked(job: Job) -> Iterator[None]:
    """Admit one writer at a time, so that a draft that a killed writer left may be overwritten."""
    job.place.lock.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with file_lock.held(job.place.lock, lambda: None):
        yield


@contextlib.contextmanager
def _folder(job: Job, path: Path) -> Iterator[int]:
    """Return the folder, created where it is missing; no part of the path may be a link."""
    top = next(top for top in _tops(job) if path.is_relative_to(top))
    top.mkdir(parents=True, exist_ok=True)
    at = os.open(top, _FOLDER)
    try:
        for part in path.relative_to(top).parts:
            try:
                below = os.open(part, _FOLDER, dir_fd=at)
            except FileNotFoundError:
                with contextlib.suppress(FileExistsError):  # another step made it just now
                    os.mkdir(part, dir_fd=at)
                below = os.open(part, _FOLDER, dir_fd=at)
            os.close(at)
            at = below
        yield at
    finally:
        os.close(at)


def _replace(folder: int, name: str, content: bytes, mode: int, draft: str) -> bool:
    """Whether anything changed."""
    if _same(folder, name, content, mode):
        return False
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600, dir_fd=folder)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
            os.fchmod(fd, mode)
            file.flush()
            os.fsync(fd)
        os.replace(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError:
        os.unlink(draft, dir_fd=folder)
        raise
    return True


def _same(folder: int, name: str, content: bytes, mode: int) -> bool:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:  # absent, a link, or unreadable
        return False
    try:
        found = os.fstat(fd)
        if (found.st_mode, found.st_size) != (stat.S_IFREG | mode, len(content)):
            return False
        with os.fdopen(fd, "rb", closefd=False) as file:
            return file.read() == content
    finally:
        os.close(fd)
