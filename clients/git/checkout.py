"""Checks a repository out at a ref, apart from any work tree of people: what is deployed is what was asked for.

Each repository and ref has a directory of its own under the worker's state, `sources/<name>-<hash>/`: `tree` is the
work tree, `lock` keeps two at once apart. Keys that a set-up made in it stay from one checkout to the next.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from clients.git.errors import Asked
from clients.git.fetch import bring
from clients.git.repository import Broken, Clone, Limits, Slot
from clients.system import file_lock
from domain.errors import NotARepository, SettingsInvalid, Unavailable
from domain.messages.source import Checkout
from domain.ports import Beat
from planning.settings import checks


class Checkouts:
    """All of them under one folder."""

    def __init__(self, folder: Path, limits: Limits | None = None) -> None:
        """`folder` is made when needed, for this user alone."""
        self._folder = folder.absolute()
        self._limits = limits or Limits()

    def holds(self, directory: Path) -> bool:
        """Whether this work tree is one of ours."""
        return directory.absolute().is_relative_to(self._folder)

    def located(self, repo: str, ref: str) -> str:
        """Where it was checked out; NotARepository when it never was."""
        tree = self._place(_judged(repo, ref), ref) / "tree"
        if not (tree / ".git" / "HEAD").is_file():
            raise NotARepository(
                "the repository was never checked out on this worker",
                on=Asked(repo, ref).on,
                do="bring the backend up first: `proverctl backend up`, or run-all or setup-all with these settings",
            )
        return str(tree)

    def checkout(self, repo: str, ref: str, beat: Beat) -> Checkout:
        """Check out the commit that the ref names now, in a tree without tracked changes.

        SettingsInvalid, NotARepository, CredentialsRejected, Refused (SOURCE_UNSAFE, SOURCE_TOO_LARGE), Unavailable,
        and what `beat` raises, after which no git of ours runs any more.
        """
        source = _judged(repo, ref)
        place, asked = self._place(source, ref), Asked(repo, ref)
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        with file_lock.held(place / "lock", lambda: beat(f"waiting for another checkout of {asked.on}")) as lock:
            config = place / "config"
            # In place of ~/.gitconfig, also for the git that serves a local repository, perhaps another user's.
            config.write_text("" if checks.is_url(source) else "[safe]\n\tdirectory = *\n")
            slot = Slot(config, lock, place / "trash", self._limits, beat)
            clone = Clone(place / "tree", source, slot, asked)
            commit = _mended(clone, asked, lambda: bring(clone, slot, asked))
        return Checkout(directory=str(clone.tree), commit=commit)

    def _place(self, source: str, ref: str) -> Path:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", source.rstrip("/").rsplit("/", 1)[-1].removesuffix(".git"))[:40]
        digest = hashlib.sha256(f"{source}\0{ref}".encode(errors="surrogateescape")).hexdigest()[:16]
        return self._folder / f"{name.strip('.-') or 'source'}-{digest}"


def _judged(repo: str, ref: str) -> str:
    """URL, or absolute directory; SettingsInvalid, for what comes here may not have passed the settings."""
    wrong = {"BACKEND_REPO": checks.printable(repo) or checks.git_repository(repo)}
    wrong["BACKEND_REF"] = (checks.printable(ref) or checks.git_ref(ref)) if ref else ""
    problems = [f"{name} {why}." for name, why in wrong.items() if why]
    if not repo:
        problems = ["BACKEND_REPO is not set: give the repository's URL, or its directory on the worker's host."]
    if problems:
        raise SettingsInvalid(problems)
    if checks.is_url(repo):
        return repo
    directory = Path(repo).expanduser().absolute()
    if not directory.is_dir():
        raise NotARepository(
            f"directory {directory} does not exist on this worker",
            on=Asked(repo, ref).on,
            do="set BACKEND_REPO to the repository's URL, or to its directory on the worker's host",
        )
    return str(directory)


def _mended(clone: Clone, asked: Asked, work: Callable[[], str]) -> str:
    """Once more from an empty repository, when the one on disk cannot be used."""
    try:
        return work()
    except Broken:
        clone.discard()
    try:
        return work()
    except Broken as error:
        raise Unavailable("git cannot check the repository out", on=asked.on, evidence=str(error)) from error
