"""Judges single texts of a step, as far as their variables allow: paths, ports, targets and regular expressions."""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from domain.profile import Step
from planning.backend.expansion import FieldPath, expand, is_expression, names, texts
from planning.backend.profile_parser import ProfileFault

DATA = "${BACKEND_DATA}"
_WITHIN_REPOSITORY = (
    "dir",
    "inputs.*",
    "compose.file",
    "submodules.paths.*",
    "leaves.*.program",
    "leaves.*.dir",
    "leaves.*.compose.file",
)
_OR_UNDER_DATA = ("outputs.*", "file.template", "file.to", "purge.*")
_USED_FROM_REPOSITORY = ("dir", "purge.*", "leaves.*.dir", "leaves.*.compose.file", "submodules.paths.*")
_USED_FROM_DIRECTORY = ("compose.file", "file.template", "file.to")
_MAY_BE_EMPTY = ("dir", "leaves.*.dir", "leaves.*.program", "file.template")
_PASSWORD = re.compile(r"://[^/@\s]*:[^/@\s]+@")
_HIGHEST_PORT = 65535
# Without a host it is this machine's; an IPv6 address may stand bare, as COORDINATOR_EP holds it.
_ADDRESS = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f]+|[^\s:/\[\]]*):[0-9]{1,5}")


def form_faults(step: Step, data: str = DATA) -> Iterator[ProfileFault]:
    """Return faults that no value of an unknown variable can cure; `data` is BACKEND_DATA in these texts."""
    for path, text in texts(step):
        if clause := _clause(path, text, data):
            yield ProfileFault(path, f"step {step.name}: {clause}")


def used_places(step: Step) -> Iterator[tuple[FieldPath, str, bool]]:
    """Paths where something is run, written or deleted; True: it starts at the repository, else at the step's `dir`."""
    for path, text in texts(step):
        field = _field(path)
        if text and field in (*_USED_FROM_REPOSITORY, *_USED_FROM_DIRECTORY):
            yield path, text, field in _USED_FROM_REPOSITORY


def path_clause(text: str, *, data: str = "") -> str:
    """Why this path leads out of the repository (and of `data`, when given), empty when it does not."""
    if ".." in text.split("/"):
        return f"{text!r} must not lead upwards by `..`"
    if data and (text == data or text.startswith(f"{data}/")):
        return ""
    if text.startswith(("/", DATA)):
        return f"{text!r} must be relative" + (" or under ${BACKEND_DATA}" if data else "")
    return ""


def purge_clause(text: str, data: str = DATA) -> str:
    """Why this may not be deleted: it lies elsewhere, or would be the whole repository or its history."""
    if clause := path_clause(text, data=data):
        return clause
    if is_whole(text):
        return f"{text!r} would delete the whole repository"
    first = next(part for part in text.split("/") if part not in {"", "."})
    return f"{text!r} would delete the history of the repository" if fnmatchcase(".git", first) else ""


def is_whole(text: str) -> bool:
    """Whether the path or glob stands for the whole repository."""
    return all(not part.strip("*") for part in text.split("/") if part not in {"", "."})


def _clause(path: FieldPath, text: str, data: str) -> str:
    field = _field(path)
    if field in {"wait.sql.url", "ready.sql.url"} and _PASSWORD.search(text):
        return "its url holds a password, which would be recorded: set PGPASSFILE, or name PGPASSWORD in `secrets`"
    if "\0" in text:
        return "it holds a NUL character"
    if field in (*_WITHIN_REPOSITORY, *_OR_UNDER_DATA):
        return _place_clause(field, text, data)
    if is_expression(path):
        return _expression_clause(text, grouped=field.startswith("values.")) if text else ""
    return "" if names(text) or not text else _target_clause(field, text)


def _place_clause(field: str, text: str, data: str) -> str:
    if not text:
        return "" if field in _MAY_BE_EMPTY else "it is empty"
    if field == "purge.*":
        return purge_clause(text, data)
    return path_clause(text, data=data if field in _OR_UNDER_DATA else "")


def _expression_clause(text: str, *, grouped: bool) -> str:
    try:
        groups = re.compile(expand(text, dict.fromkeys(names(text), "x"))).groups
    except (re.error, OverflowError, RecursionError, Warning) as error:  # Warning: where those are errors
        return f"{text!r} is no regular expression: {error}"
    return f"{text!r} needs exactly one group (…), it has {groups}" if grouped and groups != 1 else ""


def _target_clause(field: str, text: str) -> str:
    if field == "ports.*":
        return "" if _is_port(text) else f"{text!r} is no port (1 to {_HIGHEST_PORT})"
    if field in {"wait.tcp", "ready.tcp", "wait.grpc", "ready.grpc"}:
        address = text.partition("/")[0] if field.endswith("grpc") else text
        good = _ADDRESS.fullmatch(address) and _is_port(address.rpartition(":")[2])
        return "" if good else f"{text!r} is not host:port"
    if field in {"wait.http", "ready.http"} and not text.startswith(("http://", "https://")):
        return f"{text!r} is no URL that begins with http:// or https://"
    return ""


def _is_port(text: str) -> bool:
    return (
        text.isascii() and text.isdecimal() and len(text) <= len(str(_HIGHEST_PORT)) and 0 < int(text) <= _HIGHEST_PORT
    )


def _field(path: FieldPath) -> str:
    return ".".join("*" if isinstance(part, int) else part for part in path)
