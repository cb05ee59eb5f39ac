"""Reads the YAML text of a backend profile, so that whatever is wrong in it can be named by line and field."""

import copy
import functools
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import yaml
from pydantic import ValidationError

from domain.errors import SettingsInvalid
from domain.profile import Profile
from planning.backend.expansion import FieldPath

MAX_BYTES = 1 << 20
MAX_ALIASES = 100
MAX_DEPTH = 20  # a profile nests five deep
MAX_FIELDS = 100_000  # aliases of aliases grow without bound
_COMMAND = "Input should be a list of texts (numbers in quotes), or one text with `shell: true`"
_SPOKEN = {  # what pydantic says in words of its own
    "extra_forbidden": "there is no such field",
    "string_type": "Input should be a text: put it in quotes",
    "model_type": "Input should be a mapping of fields",
}
_MARKS = {yaml.SequenceStartEvent: 1, yaml.MappingStartEvent: 1, yaml.SequenceEndEvent: -1, yaml.MappingEndEvent: -1}


class ProfileFault(NamedTuple):
    """Something wrong with a profile: the path of the field, and a clause about it."""

    path: FieldPath
    text: str


@dataclass(frozen=True)
class ProfileText:
    """A profile as far as it has the right form (else None), what has not, and the line of each field."""

    source: str  # name of the file, for people
    profile: Profile | None
    faults: Sequence[ProfileFault]
    lines: Mapping[FieldPath, int]

    def sentences(self, faults: Sequence[ProfileFault]) -> list[str]:
        """`file:line: field: clause` for each, in the order of the file."""
        return [self._sentence(fault) for fault in sorted(faults, key=lambda fault: self._line(fault.path))]

    def _sentence(self, fault: ProfileFault) -> str:
        field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault.path).lstrip(".")
        return f"{self.source}:{self._line(fault.path)}: {field or 'profile'}: {fault.text}"

    def _line(self, path: FieldPath) -> int:
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


class _ProfileLoader(yaml.SafeLoader):
    """Knows numbers, true, false and null; a date, a version or `no` is the text that was written."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}


for _tag, _form, _first in (
    ("bool", r"^(?:true|false)$", "tf"),
    ("int", r"^(?:0|-?[1-9][0-9]{0,17})$", "-0123456789"),
    ("null", r"^(?:~|null|)$", ["~", "n", ""]),
    ("merge", r"^<<$", "<"),
):
    _ProfileLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_form), list(_first))


def read(text: str, source: str) -> ProfileText:
    """Return the profile in this text; SettingsInvalid when it is no YAML that could be one."""
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise SettingsInvalid([f"{source} is larger than {MAX_BYTES >> 20} MiB"])
    try:
        _check_events(text, source)
        loader = _ProfileLoader(text)
        node = loader.get_single_node()
        lines, doubles = _lines(node, source)
        content = loader.construct_document(node) if node is not None else None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SettingsInvalid([f"{source}:{line}: not valid YAML: {error.problem}"]) from error
    except (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError) as error:
        # A tag such as !!int on what is none.
        raise SettingsInvalid([f"{source}: not valid YAML: {error}"]) from error
    profile, faults = _judged(content)
    return ProfileText(source, profile, [*doubles, *faults], lines)


def _check_events(text: str, source: str) -> None:
    """Refuse what is small to write and large to read, before anything is built."""
    aliases = depth = 0
    for event in yaml.parse(text, _ProfileLoader):
        aliases += isinstance(event, yaml.AliasEvent)
        depth += _MARKS.get(type(event), 0)
        if depth > MAX_DEPTH:
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise SettingsInvalid([f"{source}:{line}: nested deeper than {MAX_DEPTH}"])
        if aliases > MAX_ALIASES:
            raise SettingsInvalid([f"{source} holds more than {MAX_ALIASES} YAML aliases"])


def _lines(node: yaml.Node | None, source: str) -> tuple[dict[FieldPath, int], list[ProfileFault]]:
    """Return the line of each field by its path, and fields that are written twice, of which YAML would drop one."""
    found: dict[FieldPath, int] = {}
    doubles: list[ProfileFault] = []

    def visit(node: yaml.Node, path: FieldPath) -> None:
        found.setdefault(path, node.start_mark.line + 1)
        if len(path) > MAX_DEPTH or len(found) > MAX_FIELDS:
            raise SettingsInvalid([f"{source}:{node.start_mark.line + 1}: YAML aliases make it too large"])
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = (*path, str(key.value))
                if here in found and key.value != "<<":
                    doubles.append(ProfileFault(here, f"is written twice, also in line {key.start_mark.line + 1}"))
                found.setdefault(here, key.start_mark.line + 1)
                visit(value, here)
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                visit(value, (*path, index))

    if node is not None:
        visit(node, ())
    return found, doubles


def _judged(content: Any) -> tuple[Profile | None, list[ProfileFault]]:
    """Return the profile without unknown fields, so that the rest can be judged; None when it has no form."""
    try:
        return Profile.model_validate(content), []
    except ValidationError as error:
        found = error.errors()
    problems = list(dict.fromkeys(_fault(one["type"], one["loc"], one["msg"]) for one in found))
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


def _fault(kind: str, path: FieldPath, text: str) -> ProfileFault:
    if path[:1] == ("steps",) and path[2:3] == ("command",):  # the only field of two forms: said once, of both
        return ProfileFault(path[:3], _COMMAND)
    return ProfileFault(
        tuple(part for part in path if part != "[key]"), _SPOKEN.get(kind, text.removeprefix("Value error, "))
    )
