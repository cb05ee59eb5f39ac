"""Content of a checkout: the commit that a ref names, resolved once, and the submodules that it pins."""

import re
from pathlib import Path

from clients.git import errors
from clients.git.errors import Asked
from clients.git.repository import WANTED, Clone, Slot
from domain.errors import NotARepository, ProverError
from planning.git import tree
from planning.git.tree import Submodule, TreeEntry
from planning.settings import checks

_DEEP, _MANY = 5, 200  # levels and number of submodules; past that somebody is playing
_WHOLE = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_PART = re.compile(r"[0-9a-f]{7,63}")


def bring(clone: Clone, slot: Slot, asked: Asked) -> str:
    """Fetch what is asked for and check it out with its submodules; the commit."""
    clone.prepare()
    commit = _resolved(clone, asked)
    found = _check_out(clone, commit)
    _Submodules(slot).of(clone, commit, found, asked, clone.source)
    return commit


def _check_out(clone: Clone, commit: str) -> list[TreeEntry]:
    found = clone.tree_of(commit)
    clone.check_out(commit)
    return found


def _resolved(clone: Clone, asked: Asked) -> str:
    """By what was fetched and not by what was listed before, for a branch may move in between."""
    ref = asked.ref
    if _WHOLE.fullmatch(ref) and clone.commit(WANTED) == ref:
        return ref  # it cannot have changed: no network is needed
    there = clone.remote_refs(_candidates(ref))
    if there:
        clone.fetch(_one(there, asked))
        commit = clone.commit(WANTED)
    elif _WHOLE.fullmatch(ref) or _PART.fullmatch(ref):
        commit = _by_commit(clone, asked)
    elif ref in ("", "HEAD"):
        raise NotARepository(
            "the git repository has no commit yet",
            on=asked.on,
            do="push one, or give BACKEND_REF a branch that has one",
        )
    else:
        raise errors.no_ref(asked, f"the repository has neither a branch nor a tag {ref}")
    if not commit:
        raise errors.no_ref(asked, f"{ref or 'HEAD'} is no commit there")
    return commit


def _candidates(ref: str) -> list[str]:
    if ref in ("", "HEAD"):
        return ["HEAD"]
    return [ref] if ref.startswith("refs/") else [f"refs/heads/{ref}", f"refs/tags/{ref}"]


def _one(there: dict[str, str], asked: Asked) -> str:
    if len(there) > 1:
        raise errors.no_ref(asked, f"the repository has several of that name: {' and '.join(sorted(there))}")
    return next(iter(there))


def _by_commit(clone: Clone, asked: Asked) -> str:
    """Alone, where the server hands out what it is asked for; else with everything that branches and tags hold."""
    if _WHOLE.fullmatch(asked.ref) and _fetched(clone, asked.ref):
        return clone.commit(WANTED)
    clone.fetch_all()
    commit = clone.commit(asked.ref)
    if not commit:
        raise errors.no_ref(asked, f"no branch or tag of the repository holds one commit {asked.ref}")
    clone.want(commit)
    return commit


def _fetched(clone: Clone, commit: str) -> bool:
    try:
        clone.fetch(commit)
    except NotARepository:
        return False
    return True


class _Submodules:
    """Each at its pin, as a repository of its own inside the tree; what a commit does not list is left out."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._left = _MANY

    def of(
        self, parent: Clone, commit: str, entries: list[TreeEntry], asked: Asked, origin: str, *, depth: int = 1
    ) -> None:
        """Fetch the submodules of this commit and theirs; relative URLs are relative to `origin`."""
        pins = tree.pins(entries)
        if not pins:
            return
        found, faults = tree.submodules(parent.listed_submodules(commit), pins, origin)
        self._left -= len(found)
        if depth > _DEEP or self._left < 0:
            faults.append(f"it has submodules in more than {_DEEP} levels, or more than {_MANY}")
        if faults:
            raise errors.unsafe(asked, "; ".join(faults[:5]))
        for one in found:
            part = asked._replace(part=f"{asked.part}/{one.path}".lstrip("/"))
            clone, inner = self._check_out(parent, one, part)
            self.of(clone, one.commit, inner, part, one.url, depth=depth + 1)

    def _check_out(self, parent: Clone, one: Submodule, asked: Asked) -> tuple[Clone, list[TreeEntry]]:
        directory = parent.tree / one.path
        if directory.resolve() != parent.tree.resolve() / one.path:
            raise errors.unsafe(asked, f"something in the way makes {one.path} lead elsewhere")
        clone = self._fetch(directory, self._sources(parent, one), one.commit, asked)
        return clone, _check_out(clone, one.commit)

    def _sources(self, parent: Clone, one: Submodule) -> list[str]:
        """Return the sources of a submodule, a local checkout first: it needs no network and has unpushed commits."""
        own = Path(parent.source) / one.path
        local = not checks.is_url(parent.source) and own.resolve() == Path(parent.source).resolve() / one.path
        return [*([str(own)] if local and (own / ".git").exists() else []), one.url]

    def _fetch(self, directory: Path, sources: list[str], commit: str, asked: Asked) -> Clone:
        trouble: list[ProverError] = []
        for source in sources:
            clone = Clone(directory, source, self._slot, asked)
            clone.prepare()
            try:
                if clone.commit(WANTED) != commit:
                    _brought(clone, commit)
            except NotARepository as error:
                trouble.append(error)
            else:
                return clone
        raise NotARepository(
            f"the commit {commit[:12]} that the repository pins cannot be had",
            on=asked.on,
            evidence=str(trouble[-1].diagnosis.what),
            do="push it to the submodule's repository, or pin one that is there",
        ) from trouble[-1]


def _brought(clone: Clone, commit: str) -> None:
    if not _fetched(clone, commit):
        clone.fetch_all()
        if clone.commit(commit) != commit:
            raise errors.no_ref(Asked(clone.source, commit), "no branch or tag holds it")
        clone.want(commit)
