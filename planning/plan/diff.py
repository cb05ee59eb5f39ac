"""The difference of two Kubernetes objects as lines that people read: a field a line, secrets never shown."""

import json
from collections import Counter
from typing import Any

from domain.kubernetes import Manifest
from planning.manifests.yaml_output import LAST_APPLIED
from planning.text.sanitize import MASK, scrub

MAX_LINES = 80  # of one object: a plan travels through Temporal
MAX_WIDTH = 240  # characters of a line
SERVER_OWNED = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
_UNSAID = {"apiVersion", "kind", "status"}
_BOOKKEEPING = {LAST_APPLIED, "deployment.kubernetes.io/revision"}
_NAMES = ("name", "key")
_SECRET_PARTS = ("data", "stringData")

Path = tuple[str, ...]


def fields(manifest: Manifest) -> dict[Path, Any]:
    """Every leaf by its path, without what the server alone writes; an empty map or list is a leaf, too."""
    found: dict[Path, Any] = {}
    for key, value in manifest.items():
        if key not in _UNSAID:
            _flatten(_said(value) if key == "metadata" else value, (key,), found)
    return found


def lines(before: Manifest | None, after: Manifest | None, *, secret: bool = False) -> list[str]:
    """`- path: value` as it is and `+ path: value` as it would be; empty when the two say the same.

    `secret` masks what a Secret holds: it says that a value changes, and never which.
    """
    old, new = fields(before or {}), fields(after or {})
    found: list[str] = []
    for path in [*new, *(path for path in old if path not in new)]:
        if path not in old or path not in new or old[path] != new[path]:
            hidden = secret and path[0] in _SECRET_PARTS
            found += _changed(path, old, new, hidden=hidden)
    return _bounded(found)


def as_wanted(live: Manifest, manifest: Manifest) -> Manifest:
    """The live object reduced to what the manifest says, for when the API server could not be asked to try it."""
    reduced: Manifest = _reduce(live, manifest)
    return reduced


def _said(metadata: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in metadata.items() if key not in SERVER_OWNED}
    marks = {key: value for key, value in (metadata.get("annotations") or {}).items() if key not in _BOOKKEEPING}
    return kept | {"annotations": marks} if marks else {key: kept[key] for key in kept if key != "annotations"}


def _flatten(value: Any, path: Path, found: dict[Path, Any]) -> None:
    if isinstance(value, dict) and value:
        for key, entry in value.items():
            _flatten(entry, (*path, _step(str(key))), found)
    elif isinstance(value, list) and value:
        for name, entry in zip(_names(value), value, strict=True):
            _flatten(_unnamed(entry, name), (*path, f"[{name}]"), found)
    else:
        found[path] = value


def _step(key: str) -> str:
    return f".{key}" if key.replace("_", "").isalnum() else f"[{key}]"


def _names(entries: list[Any]) -> list[str]:
    """What tells the entries of a list apart: their names where each has one of its own, else their numbers."""
    for key in _NAMES:
        named = [str(entry[key]) for entry in entries if isinstance(entry, dict) and entry.get(key)]
        if len(named) == len(entries) and max(Counter(named).values()) == 1:
            return named
    return [str(number) for number in range(len(entries))]


def _unnamed(entry: Any, name: str) -> Any:
    """An entry without the name that its path says already."""
    if not isinstance(entry, dict) or len(entry) == 1:
        return entry
    return {key: value for key, value in entry.items() if not (key in _NAMES and str(value) == name)}


def _changed(path: Path, old: dict[Path, Any], new: dict[Path, Any], *, hidden: bool) -> list[str]:
    where = "".join(path)
    if hidden:
        both = path in old and path in new
        said = [f"- {where}: {MASK}"] if path in old else []
        return [*said, *([f"+ {where}: {MASK}" + (" (another value)" if both else "")] if path in new else [])]
    gone, come = _texts(old[path]) if path in old else [], _texts(new[path]) if path in new else []
    if len(gone) > 1 or len(come) > 1:  # of a text of several lines only those that differ
        left, gone = gone, [line for line in gone if line not in come]
        come = [line for line in come if line not in left]
        if not gone and not come:
            return [f"+ {where}: (the same lines in another order)"]
    return [*(f"- {where}: {line}" for line in gone), *(f"+ {where}: {line}" for line in come)]


def _texts(value: Any) -> list[str]:
    if not isinstance(value, str):
        return [json.dumps(value, ensure_ascii=False)]
    plain = scrub(value)
    if "\n" in plain.rstrip("\n"):
        return plain.rstrip("\n").split("\n")
    return [plain if plain and plain == plain.strip() else json.dumps(plain, ensure_ascii=False)]


def _bounded(found: list[str]) -> list[str]:
    cut = [line if len(line) <= MAX_WIDTH else line[: MAX_WIDTH - 1] + "…" for line in found[:MAX_LINES]]
    more = len(found) - len(cut)
    return [*cut, f"  … and {more} more lines"] if more else cut


def _reduce(live: Any, wanted: Any) -> Any:
    if isinstance(wanted, dict) and isinstance(live, dict):
        return {key: _reduce(live[key], value) for key, value in wanted.items() if key in live}
    if isinstance(wanted, list) and isinstance(live, list) and wanted and live:
        found, asked = dict(zip(_names(live), live, strict=True)), dict(zip(_names(wanted), wanted, strict=True))
        return [_reduce(entry, asked[name]) if name in asked else entry for name, entry in found.items()]
    return live
