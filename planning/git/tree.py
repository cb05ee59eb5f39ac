"""Judges what a commit of somebody else's repository would put on disk: links, and submodules that lead elsewhere."""

import re
from collections.abc import Iterable, Mapping
from posixpath import normpath
from typing import NamedTuple
from urllib.parse import urlsplit

from planning.settings import checks

LINK, SUBMODULE = "120000", "160000"
MODULES = ".gitmodules"

_FILES = {"100644", "100755", "100664"}
_SCP = re.compile(r"(?:([A-Za-z0-9._-]+)@)?([A-Za-z0-9][A-Za-z0-9.-]*):(?!//)([^:]+)", re.ASCII)
_ODD = re.compile(r"[\x00-\x1f\x7f]")


class TreeEntry(NamedTuple):
    """Line of a tree; `size` in bytes, 0 where git knows none."""

    mode: str
    object: str
    size: int
    path: str


class Submodule(NamedTuple):
    """Where a submodule is to be, what is to be there, and where it comes from."""

    path: str
    commit: str
    url: str  # of its own, or resolved against the repository's; a directory only where that is one


def entries(listing: str) -> list[TreeEntry]:
    """Of `git ls-tree -r -l -z`."""
    found = []
    for line in filter(None, listing.split("\0")):
        head, _, path = line.partition("\t")
        mode, _, name, size = head.split()
        found.append(TreeEntry(mode, name, int(size) if size.isdigit() else 0, path))
    return found


def pins(found: Iterable[TreeEntry]) -> dict[str, str]:
    """Commit by path of each submodule."""
    return {entry.path: entry.object for entry in found if entry.mode == SUBMODULE}


def link_fault(path: str, target: str) -> str:
    """Why this symbolic link must not be made; empty when it stays in the tree, through other such links, too.

    `..` may only lead the target: behind another link it would go up from wherever that one leads.
    """
    parts = [part for part in target.split("/") if part not in ("", ".")]
    ups = next((number for number, part in enumerate(parts) if part != ".."), len(parts))
    inside = not target.startswith("/") and ups <= path.count("/") and ".." not in parts[ups:]
    if not inside:
        return f"{path} is a link out of the repository, to {target}"
    if any(_is_git(part) for part in parts):
        return f"{path} is a link into git's own files, to {target}"
    return ""


def path_fault(path: str) -> str:
    """Why no submodule may be at this path; empty when it may."""
    parts = path.split("/")
    if _ODD.search(path) or any(part in ("", ".", "..") or part[0] == "-" or _is_git(part) for part in parts):
        return f"submodule path {path!r} leaves its place"
    return ""


def modules_fault(found: Iterable[TreeEntry]) -> str:
    """Why the list of submodules cannot be trusted; empty when it can, or there is none."""
    return next((f"{MODULES} is no plain file" for one in found if one.path == MODULES and one.mode not in _FILES), "")


def submodules(listed: Mapping[str, str], wanted: Mapping[str, str], parent: str) -> tuple[list[Submodule], list[str]]:
    """Return the submodules to check out, and a sentence for each that must not be.

    `listed` is what `.gitmodules` says (`name.path`, `name.url`), `wanted` the pins; a pin that is not listed there is
    left out, as git itself does. `parent` is the repository's own URL or directory.
    """
    urls = {
        path: listed.get(f"{key.removesuffix('.path')}.url", "")
        for key, path in listed.items()
        if key.endswith(".path")
    }
    good, faults = [], []
    for path, commit in wanted.items():
        if path not in urls:
            continue
        url = submodule_url(parent, urls[path])
        fault = path_fault(path) or ("" if url else f"submodule {path} names no repository that may be fetched from")
        faults += [fault] if fault else []
        good += [] if fault else [Submodule(path, commit, url)]
    return good, faults


def submodule_url(parent: str, url: str) -> str:
    """Where to fetch a submodule from; empty when it may not be: another transport, credentials, a local directory.

    A relative one is resolved as git does it; only a repository that is a directory itself leads to another directory.
    """
    remote = checks.is_url(parent)
    if url.startswith(("./", "../")):
        resolved = _beside(parent, url) if remote else normpath(f"{parent}/{url}")
        return resolved if not remote or not checks.git_repository(resolved) else ""
    match = _SCP.fullmatch(url)
    if match and not url.startswith("/"):
        user, host, path = match.groups()
        url = f"ssh://{f'{user}@' if user else ''}{host}/{path.lstrip('/')}"
    return url if checks.is_url(url) and not checks.git_repository(url) else ""


def _beside(parent: str, url: str) -> str:
    place = urlsplit(parent)
    path = normpath(f"{place.path.rstrip('/')}/{url}")
    climbs = len([part for part in url.split("/") if part == ".."])
    deep = len([part for part in place.path.split("/") if part])
    return f"{place.scheme}://{place.netloc}{path}" if climbs <= deep else ""


def _is_git(part: str) -> bool:
    """Names that some file system takes for `.git`."""
    return part.rstrip(" .").lower() in {".git", "git~1"}
