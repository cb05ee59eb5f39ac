"""Deletes a stopped backend's data: what its profile declares, strictly inside its own directories."""

import glob
import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from clients.backend.job import StepFiles
from clients.backend.polling import PollingInterval
from domain.errors import PermanentError, Refused
from domain.ports import Beat
from domain.profile import Profile
from planning.backend.expansion import expand, names


def declared_data(profile: Profile, variables: Mapping[str, str], repo: Path, data: Path) -> list[Path]:
    """Return the declared paths that exist; Refused when one is not the backend's own."""
    handed_on = {name for step in profile.steps for name in step.values}
    patterns = [pattern for step in profile.steps for pattern in step.purge] + profile.purge
    found: dict[Path, None] = {}
    for pattern in patterns:
        if set(names(pattern)) - set(variables) <= handed_on and not set(names(pattern)) <= set(variables):
            continue  # no step ever handed that value on, so there is nothing of that name
        found.update(dict.fromkeys(_matches(expand(pattern, variables), repo, data)))
    return list(found)


def delete(paths: Iterable[Path], beat: Beat) -> list[str]:
    """Delete files and trees, never what a link leads to; those that were there."""
    pace, deleted = PollingInterval(beat), []
    for path in paths:
        pace.beat(lambda: f"deleting {path}")  # noqa: B023 - called at once
        try:
            if path.is_symlink() or path.is_file():
                path.unlink()
            elif path.is_dir():
                _delete_tree(path, pace)
            elif not os.path.lexists(path):
                continue
            else:
                path.unlink()  # a socket or pipe
        except FileNotFoundError:
            continue
        except PermissionError as error:
            raise PermanentError(
                f"{path} cannot be deleted",
                on=str(error.filename or path),
                because=str(error.strerror),
                do="files that containers made often belong to another user: delete them as that user or as root",
            ) from error
        deleted.append(str(path))
    return deleted


def _matches(pattern: str, repo: Path, data: Path) -> list[Path]:
    root = data if Path(pattern).is_absolute() else repo
    real, found = root.resolve(), []
    for match in glob.glob(str(root / pattern), recursive=True, include_hidden=True):  # noqa: PTH207 - hidden files, too
        path = Path(os.path.normpath(match))
        # The way to it counts as it is on disk, its own end does not: a link is deleted, not what it leads to.
        if path.name in {"", "..", "."} or not (path.parent.resolve() / path.name).is_relative_to(real):
            raise _outside(pattern, match, root)
        if path.parent.resolve() / path.name == real:
            raise _outside(pattern, match, root)
        found.append(path)
    return found


def _outside(pattern: str, match: str, root: Path) -> Refused:
    return Refused(
        f"purge {pattern!r} leads out of the backend's own directory",
        on=match,
        because=f"only what lies inside {root} may be deleted, and nothing behind a link that leaves it",
        do="mend purge in the profile; nothing was deleted",
        code="PURGE_OUTSIDE",
    )


def _delete_tree(path: Path, pace: PollingInterval) -> None:
    for folder, _, _ in os.walk(path):  # a tree of many files takes long: signs of life come from here
        pace.beat(lambda: f"deleting {folder}")  # noqa: B023 - called at once
        break
    shutil.rmtree(path)


def delete_folder(folder: Path, short: Path, keep: Collection[str]) -> bool:
    """Delete records and logs, but those of the steps to `keep`, and the socket's folder; whether any was there."""
    kept = [path for name in keep for path in (StepFiles(folder, name).ran, StepFiles(folder, name).log)]
    kept = [path for path in kept if path.is_file()]
    found = (folder, *folder.glob("*"), *folder.glob("*/*"))
    doomed = [path for path in found if not any(one.is_relative_to(path) for one in kept)]
    for path in doomed:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if short != folder:
        shutil.rmtree(short, ignore_errors=True)
    return bool(doomed)
