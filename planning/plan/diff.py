"""The difference of two Kubernetes objects as a unified diff of their YAML, with secrets masked."""

from collections import Counter
from collections.abc import Iterator
from difflib import unified_diff
from typing import Any

from domain.kubernetes import Manifest
from planning.manifests.yaml_output import LAST_APPLIED, dump
from planning.text.sanitize import MASK, scrub

MAX_LINES = 120  # of one object: a plan travels through Temporal
MAX_WIDTH = 200  # characters of a line
_CONTEXT_LINES = 2
SERVER_OWNED = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")
_IDENTITY_KEYS = {"apiVersion", "kind", "status"}
_BOOKKEEPING_ANNOTATIONS = {LAST_APPLIED, "deployment.kubernetes.io/revision"}
_NAME_KEYS = ("name", "key")
_SECRET_PARTS = ("data", "stringData")
_CHANGED = f"{MASK} (another value)"
_ABSENT = object()


def lines(before: Manifest | None, after: Manifest | None, *, secret: bool = False) -> list[str]:
    """Return a unified diff of the YAML, each hunk headed by the path of its first line; empty without a difference.

    Lists are compared by the names of their entries. `secret` masks the values of a Secret: the diff shows that a
    value changes, and never which. Credentials elsewhere are masked, too.
    """
    old, new = _wanted_parts(before), _wanted_parts(after)
    if secret:
        pairs = [_hidden(old.get(part), new.get(part)) for part in _SECRET_PARTS]
        old |= {part: pair[0] for part, pair in zip(_SECRET_PARTS, pairs, strict=True) if part in old}
        new |= {part: pair[1] for part, pair in zip(_SECRET_PARTS, pairs, strict=True) if part in new}
    return _bounded(list(_headed(*(_text(part) for part in _masked(old, new)))))


def as_wanted(live: Manifest, manifest: Manifest) -> Manifest:
    """Return the live object reduced to the fields of the manifest, for when there is no result of a dry-run."""
    reduced: Manifest = _reduce(live, manifest)
    return reduced


def _wanted_parts(manifest: Manifest | None) -> Manifest:
    """Return the object without what only the API server and controllers write, and without what names it."""
    kept = {key: value for key, value in (manifest or {}).items() if key not in _IDENTITY_KEYS}
    if "metadata" in kept:
        metadata = {key: value for key, value in kept["metadata"].items() if key not in SERVER_OWNED}
        annotations = metadata.pop("annotations", None) or {}
        shown = {key: value for key, value in annotations.items() if key not in _BOOKKEEPING_ANNOTATIONS}
        kept["metadata"] = metadata | ({"annotations": shown} if shown else {})
    return kept


def _hidden(old: Any, new: Any) -> tuple[Any, Any]:
    before, after = old or {}, new or {}
    changed = {key for key in after if key in before and before[key] != after[key]}
    return dict.fromkeys(before, MASK), {key: _CHANGED if key in changed else MASK for key in after}


def _masked(old: Any, new: Any) -> tuple[Any, Any]:
    """Return both with credentials masked, `old` in the order of `new`, so that only values differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        order = [*(key for key in new if key in old), *(key for key in old if key not in new)]
        pairs = {key: _masked(old.get(key, _ABSENT), new.get(key, _ABSENT)) for key in [*order, *new]}
        return {key: pairs[key][0] for key in order}, {key: pairs[key][1] for key in new}
    if isinstance(old, list) and isinstance(new, list):
        first, second = _masked(*(dict(zip(_entry_names(part), part, strict=True)) for part in (old, new)))
        return list(first.values()), list(second.values())
    before, after = _scrubbed(old), _scrubbed(new)
    masked_alike = isinstance(after, str) and before == after and old != new
    return before, f"{after} (another value)" if masked_alike else after


def _scrubbed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _scrubbed(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_scrubbed(entry) for entry in value]
    return scrub(value) if isinstance(value, str) else value


def _text(content: Any) -> list[str]:
    return dump(content).splitlines() if content else []


def _headed(before: list[str], after: list[str]) -> Iterator[str]:
    """Yield the lines of the diff; a hunk is headed by the keys above its first change and not by line numbers."""
    found = list(unified_diff(before, after, n=_CONTEXT_LINES, lineterm=""))[2:]  # the first two name files
    for index, line in enumerate(found):
        if not line.startswith("@@"):
            yield line
        elif path := _path_of_hunk(line, found[index + 1 :], before, after):
            yield f"@@ {path} @@"


def _path_of_hunk(head: str, hunk: list[str], before: list[str], after: list[str]) -> str:
    """Return the path of a hunk's first change; `head` is `@@ -first,lines +first,lines @@`, counted from one."""
    unchanged = next(number for number, line in enumerate(hunk) if not line.startswith(" "))
    text, first = (before, head.split()[1]) if hunk[unchanged].startswith("-") else (after, head.split()[2])
    return _path(text, int(first[1:].partition(",")[0]) - 1 + unchanged)


def _path(text: list[str], index: int) -> str:
    """Return the keys above a line, such as `spec.containers[name: client]`."""
    path: list[str] = []
    depth = _depth(text[index])
    for line in reversed(text[:index]):
        if _depth(line) < depth:
            depth, key = _depth(line), line.strip()
            path.insert(0, f"[{key.removeprefix('- ')}]" if key.startswith("- ") else key.partition(":")[0])
    return ".".join(path).replace(".[", "[")


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _bounded(found: list[str]) -> list[str]:
    cut = [line if len(line) <= MAX_WIDTH else line[: MAX_WIDTH - 1] + "…" for line in found[:MAX_LINES]]
    more = len(found) - len(cut)
    return [*cut, f"  … and {more} more lines"] if more else cut


def _reduce(live: Any, wanted: Any) -> Any:
    if isinstance(wanted, dict) and isinstance(live, dict):
        return {key: _reduce(live[key], value) for key, value in wanted.items() if key in live}
    if isinstance(wanted, list) and isinstance(live, list) and wanted and live:
        found, asked = (dict(zip(_entry_names(entries), entries, strict=True)) for entries in (live, wanted))
        return [_reduce(entry, asked[name]) if name in asked else entry for name, entry in found.items()]
    return live


def _entry_names(entries: list[Any]) -> list[str]:
    """Return what tells the entries of a list apart: their names where each has one of its own, else their numbers."""
    for key in _NAME_KEYS:
        named = [str(entry[key]) for entry in entries if isinstance(entry, dict) and entry.get(key)]
        if len(named) == len(entries) and max(Counter(named).values(), default=0) == 1:
            return named
    return [str(number) for number in range(len(entries))]
