"""Reads a backend profile and says everything that is wrong with it at once, each with file, line and field."""

import copy
import functools
import operator
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from domain.errors import SettingsInvalid
from domain.profile import Profile, Step
from planning.steps import BUILT_IN, Fault, faults

_MAX_BYTES = 1 << 20
_MAX_ALIASES = 100  # aliases of aliases grow without bound
_NAME = "proverctl.yaml"
_SPOKEN = {"extra_forbidden": "there is no such field"}  # what pydantic says in words of its own


def load_profile(repo: Path, wanted: str, environ: Mapping[str, str]) -> Profile:
    """The profile at `wanted`, by default the repository's own; SettingsInvalid."""
    path = _path(repo, wanted)
    tree, content = _parsed(path)
    lines = _lines(tree)
    profile, problems = _judged(content)
    if profile is not None:
        problems += [*faults(profile), *_missing_variables(profile, environ), *_missing_programs(profile, environ)]
    if profile is None or problems:
        raise SettingsInvalid([_sentence(path, lines, problem) for problem in problems])
    return profile


def _judged(content: Any) -> tuple[Profile | None, list[Fault]]:
    """The profile, without fields that do not exist, so that the rest can be judged too; None when it has no form."""
    try:
        return Profile.model_validate(content), []
    except ValidationError as error:
        found = error.errors()
        problems = [Fault(tuple(one["loc"]), _SPOKEN.get(one["type"], one["msg"])) for one in found]
        if any(one["type"] != "extra_forbidden" for one in found):
            return None, problems
    known = copy.deepcopy(content)
    for problem in problems:
        *place, field = problem.path
        functools.reduce(operator.getitem, place, known).pop(field, None)  # an alias is one object in two places
    try:
        return Profile.model_validate(known), problems
    except ValidationError:
        return None, problems  # a misspelt field lacks under its right name too: no reason to say so twice


def _path(repo: Path, wanted: str) -> Path:
    if not wanted:
        path = repo / _NAME
        if not path.is_file():
            remedy = "write one or set BACKEND_PROFILE; for a coordinator that runs already, `proverctl deploy` with "
            remedy += "CIRCUIT_DIR set needs none"
            lack = "which says how the backend is set up and where its circuit files are"
            raise SettingsInvalid([f"BACKEND_REPO={repo} has no {_NAME}, {lack}: {remedy}"])
        return path
    path = (repo / Path(wanted).expanduser()).resolve()
    if not path.is_file():
        raise SettingsInvalid([f"BACKEND_PROFILE={wanted}: there is no file {path}"])
    return path


def _parsed(path: Path) -> tuple[yaml.Node | None, Any]:
    """The document as nodes, which know their lines, and as plain data."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SettingsInvalid([f"{path} is larger than {_MAX_BYTES >> 20} MiB"])
        text = path.read_text()
        if sum(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.SafeLoader)) > _MAX_ALIASES:
            raise SettingsInvalid([f"{path} holds more than {_MAX_ALIASES} YAML aliases"])
        return yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid([f"{path} cannot be read: {error}"]) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SettingsInvalid([f"{path}:{line}: not valid YAML: {error.problem}"]) from error
    except yaml.YAMLError as error:
        raise SettingsInvalid([f"{path}: not valid YAML: {error}"]) from error


def _lines(node: yaml.Node | None) -> dict[tuple[str | int, ...], int]:
    """The line of each field, by its path."""
    found: dict[tuple[str | int, ...], int] = {}

    def visit(node: yaml.Node, path: tuple[str | int, ...], depth: int) -> None:
        found.setdefault(path, node.start_mark.line + 1)
        if depth > 10:  # noqa: PLR2004 - a profile nests four deep; an alias may hold itself
            return
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                found[(*path, str(key.value))] = key.start_mark.line + 1
                visit(value, (*path, str(key.value)), depth + 1)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                visit(value, (*path, index), depth + 1)

    if node is not None:
        visit(node, (), 0)
    return found


def _sentence(path: Path, lines: Mapping[tuple[str | int, ...], int], fault: Fault) -> str:
    known = fault.path
    while known and known not in lines:
        known = known[:-1]
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault.path).lstrip(".")
    text = fault.text.removeprefix("Value error, ")
    return f"{path}:{lines.get(known, 1)}: {field or 'profile'}: {text}"


def _missing_variables(profile: Profile, environ: Mapping[str, str]) -> list[Fault]:
    return [
        Fault(("variables", name), f"variable {name} has no default: set {name} in the worker's environment")
        for name, default in profile.variables.items()
        if default is None and name not in BUILT_IN and not environ.get(name)
    ]


def _missing_programs(profile: Profile, environ: Mapping[str, str]) -> list[Fault]:
    found = []
    for index, step in enumerate(profile.steps):
        program = _program(step)
        if program and not shutil.which(program, path=environ.get("PATH")):
            path: tuple[Any, ...] = ("steps", index, step.kind)
            found.append(
                Fault(path, f"step {step.name} needs the program {program}, which is not on the worker's PATH")
            )
    return found


def _program(step: Step) -> str:
    """The program if it must be on PATH already; one with a directory may be made by an earlier step."""
    first = (step.command or step.process or [""])[0]
    return "" if "/" in first or "$" in first else first
