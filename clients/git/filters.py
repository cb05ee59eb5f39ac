"""Takes the filters away that a repository's own configuration defines: `git status` would run the programs they name.

Those of the worker's user or system, such as git-lfs, stay.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from clients.git.command import GitCommand

_PROGRAMS = ("clean", "smudge", "process")
_WORDS = (b"filter", b"include")
_MANY = 500  # files; each submodule has one or two


def without_filters(command: GitCommand, folders: Iterable[Path]) -> list[tuple[str, str]]:
    """Return settings that disable those filters; `folders` are git directories, those of submodules included."""
    drivers: set[str] = set()
    for folder in folders:
        for file in _files(folder):
            drivers.update(_drivers(command, file))
    programs = [(f"{driver}.{program}", "") for driver in sorted(drivers) for program in _PROGRAMS]
    return [*programs, *((f"{driver}.required", "false") for driver in sorted(drivers))]


def _files(folder: Path) -> Sequence[Path]:
    found = [folder / "config", folder / "config.worktree"]
    found += sorted((folder / "modules").glob("**/config*"))[:_MANY]
    return [file for file in found if file.is_file() and any(word in file.read_bytes().lower() for word in _WORDS)]


def _drivers(command: GitCommand, file: Path) -> set[str]:
    answer = command.run(
        "config", f"--file={file}", "--includes", "--null", "--name-only", "--get-regexp", r"^filter\."
    )
    return {name.rpartition(".")[0] for name in answer.text.split("\0") if name.count(".") > 1}
