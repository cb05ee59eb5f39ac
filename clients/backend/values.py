"""Values that a step hands on: found once it is done, kept with its record, used in the texts of later steps."""

import glob
import re
from pathlib import Path

from clients.backend.job import Job
from clients.backend.processes import runner
from domain.errors import SettingsInvalid, StepFailed
from domain.profile import Value
from planning.text.sanitize import printable


def found_values(job: Job) -> dict[str, str]:
    """Each value of the step; StepFailed says of all that cannot be found where they were looked for."""
    found: dict[str, str] = {}
    lacking = []
    for name, value in job.step.values.items():
        text, place = _look(job, value)
        if text is None:
            lacking.append(f"{name}: not found in {place}")
        elif not text or text != printable(text):
            lacking.append(f"{name}: {'empty' if not text else 'not printable'} in {place}")
        else:
            found[name] = text
    if lacking:
        raise StepFailed(
            f"step {job.step.name} does not hand on {', '.join(line.partition(':')[0] for line in lacking)}",
            on=str(job.directory),
            because="; ".join(lacking),
            do=f"read {job.place.log}, and check the step's values in the profile",
        )
    return found


def recorded_values(folder: Path) -> dict[str, str]:
    """All values that the backend's steps handed on; of two steps that hand on the same, the later one's."""
    paths = sorted((folder / "steps").glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
    records = [runner.read(path) for path in paths]
    return {name: value for record in records if record for name, value in record.get("values", {}).items()}


def _look(job: Job, value: Value) -> tuple[str | None, str]:
    """Return the text, and where it was searched."""
    if value.variable:
        return _content(job.place.handed / value.variable), f"the shell of function {job.step.function}"
    if value.log:
        where = f"the log {job.place.log} by {value.log!r}"
        return _last_match(job, value.log, _content(job.place.log)), where
    paths = [Path(path) for path in glob.glob(str(job.directory / value.file))] or [job.directory / value.file]  # noqa: PTH207 - an absolute pattern
    path = max(paths, key=lambda path: path.stat().st_mtime if path.exists() else 0.0)  # logs carry dates
    text = _content(path)
    if not value.match:
        return text.strip() if text is not None else None, str(path)
    return _last_match(job, value.match, text), f"{path} by {value.match!r}"


def _content(path: Path) -> str | None:
    try:
        return path.read_bytes().decode(errors="replace")
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        return None


def _last_match(job: Job, pattern: str, text: str | None) -> str | None:
    try:
        expression = re.compile(pattern, re.MULTILINE)
    except re.error as error:
        problem = f"step {job.step.name} looks for a value by {pattern!r}, which is no regular expression: {error}"
        raise SettingsInvalid([problem]) from error
    if expression.groups != 1:
        raise SettingsInvalid([f"step {job.step.name} looks for a value by {pattern!r}, which needs exactly one group"])
    matches = expression.findall(printable(text or ""))
    return str(matches[-1]).strip() if matches else None
