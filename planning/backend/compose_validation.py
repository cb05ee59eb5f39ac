"""Judges compose files before anything runs: nothing may come from another host."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from planning.text.sanitize import one_line

OLDEST = (2, 40, 2)  # before it a remote file could write outside of its cache (CVE-2025-62725)

_REMOTE = re.compile(r"[a-z0-9+.-]+://|[^/]*:|github\.com/", re.IGNORECASE)
_REMOTE_CONTEXT = re.compile(
    r"(?:https?|git|ssh|oci|git\+[a-z]+)://|[\w.-]+@[\w.-]+:|(?:^|=)github\.com/", re.IGNORECASE
)


class Local(NamedTuple):
    """Another file that a compose file refers to."""

    path: str  # relative to the referring file's directory
    included: bool  # its services belong to the project, too; else one of them is extended
    directory: str = ""  # that its own paths start at; empty: its own


class Judgement(NamedTuple):
    """Of one document of a compose file."""

    problems: list[str]
    files: list[Local]
    services: list[str]  # that are expected to have a container


def judge(document: object) -> Judgement:
    """Return what is refused in the parsed `document`, and which further files have to be judged."""
    if document is None:
        return Judgement([], [], [])
    if not isinstance(document, dict):
        return Judgement(["is no mapping"], [], [])
    services = document.get("services") or {}
    services = services if isinstance(services, dict) else {}
    found = Judgement([], [], [str(name) for name, service in services.items() if _expected(service)])
    for index, entry in enumerate(_list(document.get("include"))):
        long = entry if isinstance(entry, dict) else {"path": entry}
        for path in _list(long.get("path")):
            _note(found, f"include[{index}]", path, Local(str(path), True, str(long.get("project_directory") or "")))
    for name, service in services.items():
        if isinstance(service, dict):
            _judge_service(found, f"services.{name}", service)
    return found


def version_of(text: str) -> tuple[int, ...]:
    """Of compose's own answer, e.g. `2.40.3` or `v5.0.0-rc.1`; empty when there is none in it."""
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in match.groups()) if match else ()


def version_warnings(version: Sequence[int]) -> list[str]:
    """Return a warning about this version of compose; none from OLDEST on."""
    if tuple(version) >= OLDEST:
        return []
    shown = ".".join(map(str, version)) or "of unknown version"
    wanted = ".".join(map(str, OLDEST))
    return [f"docker compose {shown} is older than {wanted}, which is the oldest without known holes: update it"]


def _judge_service(found: Judgement, field: str, service: dict[str, Any]) -> None:
    extends = service.get("extends")
    if isinstance(extends, dict) and extends.get("file") is not None:
        _note(found, f"{field}.extends.file", extends["file"], Local(str(extends["file"]), False))
    build = service.get("build")
    build = build if isinstance(build, dict) else {"context": build}
    more = build.get("additional_contexts") or {}
    contexts = [build.get("context"), *(more.values() if isinstance(more, dict) else _list(more))]
    found.problems.extend(
        f"{field}.build: context {one_line(context, 200)!r} is not on this host"
        for context in contexts
        if _remote_context(context)
    )


def _note(found: Judgement, field: str, path: object, local: Local) -> None:
    if not isinstance(path, str) or not path:
        found.problems.append(f"{field} is no path")
    elif _REMOTE.match(path):
        found.problems.append(f"{field}: {one_line(path, 200)!r} is no file on this host")
    elif "$" in f"{path}{local.directory}":
        found.problems.append(f"{field}: {path!r} depends on variables, so it could lead anywhere")
    else:
        found.files.append(local)


def _remote_context(context: object) -> bool:
    return isinstance(context, str) and _REMOTE_CONTEXT.search(context) is not None


def _expected(service: object) -> bool:
    """Whether it always has a container: not only in some profile, not scaled to nothing, not a provider's."""
    if not isinstance(service, dict) or service.get("profiles") or service.get("provider"):
        return False
    deploy = service.get("deploy")
    scales = [service.get("scale", 1), (deploy.get("replicas", 1) if isinstance(deploy, dict) else 1)]
    return all(isinstance(scale, int) and scale > 0 for scale in scales)


def _list(value: object) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
