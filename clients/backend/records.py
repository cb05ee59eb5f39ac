"""Records of a backend, by which it is observed, stopped and purged without its profile. No secrets."""

import os
import time
from pathlib import Path

from clients.backend.job import StepFiles
from clients.backend.processes import runner
from domain.errors import Refused
from domain.model import Message
from domain.profile import Functions, Step
from planning.backend.steps import circle, in_order

_OWNER = "owner.json"


class Started(Message):
    """A step that was started, or is about to be; `step` has its texts expanded."""

    step: Step
    repo: str
    directory: str
    order: int  # of start
    secrets: dict[str, str] = {}  # name → reference
    functions: Functions | None = None
    stopped: bool = False


def own(folder: Path, repo: str) -> None:
    """Mark the folder as this repository's; Refused when it is another's."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = folder / f"{_OWNER}.{os.getpid()}.{time.monotonic_ns()}"
    if not (folder / _OWNER).exists():
        runner.write(draft, {"repo": repo})
        try:
            os.link(draft, folder / _OWNER)  # two at once: one wins
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    check_owner(folder, repo)


def check_owner(folder: Path, repo: str) -> None:
    """Refused when the folder belongs to another repository."""
    owner = str((runner.read(folder / _OWNER) or {}).get("repo", repo))
    if owner != repo:
        raise Refused(
            f"backend {folder.name} belongs to another repository",
            on=repo,
            because=f"its records, logs and data in {folder} are those of {owner}",
            do=f"stop and purge it there (BACKEND_REPO={owner}), or give the profile of {repo} another `name`",
            code="BACKEND_ELSEWHERE",
        )


def owner_is_gone(folder: Path) -> bool:
    """Whether the repository that the folder belongs to is no more."""
    owner = (runner.read(folder / _OWNER) or {}).get("repo")
    return bool(owner) and not Path(str(owner)).is_dir()


def note(place: StepFiles, started: Started) -> None:
    """Record a step before anything of it starts."""
    place.prepare()
    last = max((one.order for one in all_started(place.folder)), default=0)
    order = max(time.time_ns(), last + 1)  # a clock may be set back
    _write(place, started.model_copy(update={"order": order}))


def note_stopped(place: StepFiles) -> None:
    """Nothing of the step runs any more."""
    if started := read_started(place):
        _write(place, started.model_copy(update={"stopped": True}))


def read_started(place: StepFiles) -> Started | None:
    """Return the record of a step; None when it was never started."""
    found = runner.read(place.started)
    return Started.model_validate(found) if found else None


def all_started(folder: Path) -> list[Started]:
    """All that is recorded, in the order of start."""
    found = [runner.read(path) for path in (folder / "run").glob("*.started.json")]
    return sorted((Started.model_validate(one) for one in found if one), key=lambda one: one.order)


def latest_first(records: list[Started]) -> list[Started]:
    """Order the steps so that one that was started later, or needs another, comes before it."""
    by_name = {one.step.name: one for one in records}
    if circle([one.step for one in records]):  # records of two versions of the profile
        return records[::-1]
    return [by_name[step.name] for step in reversed(in_order([one.step for one in records]))]


def _write(place: StepFiles, started: Started) -> None:
    runner.write(place.started, started.model_dump(mode="json", exclude_defaults=True))
