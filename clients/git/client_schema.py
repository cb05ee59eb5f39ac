"""Finds the prove-client's source in what a commit pins, by git's objects and not by files that may have changed."""

from collections.abc import Callable, Mapping
from pathlib import Path

from clients.git.command import GitResult
from domain.spec import ConfigSchema
from planning.git import tree
from planning.manifests import client_schema

_LIMIT = 1 << 20  # bytes; the real ones have under 2 KB
_LOOKED = 20  # directories; upstream has eight submodules
_PLAIN = {"100644", "100755", "100664"}
_NAMES = (*client_schema.SOURCES, *client_schema.TEMPLATES)

Ask = Callable[..., GitResult]  # git in a directory: the directory, then its arguments


def find_schema(ask: Ask, top: Path, commit: str, submodules: Mapping[str, str]) -> ConfigSchema | None:
    """Return the schema of the client at its pin; None where that is unknown, as of a missing submodule."""
    for place in client_schema.places(submodules)[:_LOOKED]:
        pin = submodules.get(place)
        if pin and not (top / place / ".git").exists():
            continue
        directory, within = (top / place, "") if pin else (top, f"{place}/" if place else "")
        found = client_schema.detected(_texts(ask, directory, pin or commit, within))
        if found:
            return found
    return None


def _texts(ask: Ask, directory: Path, commit: str, within: str) -> dict[str, str]:
    """Contents by name of those files that are there and plain."""
    paths = [f"{within}{name}" for name in _NAMES]
    listed = ask(directory, "ls-tree", "-l", "-z", "--full-tree", commit, "--", *paths)
    if listed.status != 0:
        return {}
    texts = {}
    for entry in tree.entries(listed.text):
        if entry.mode in _PLAIN and entry.size <= _LIMIT:
            blob = ask(directory, "cat-file", "blob", entry.object)
            texts[entry.path.removeprefix(within)] = blob.out.decode(errors="replace")
    return texts
