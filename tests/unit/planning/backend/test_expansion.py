"""Variables of a profile: what `${NAME}` becomes, where, and what is never touched."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ConfigDict

from domain.errors import SettingsInvalid
from domain.model import Document
from domain.profile import Functions, Step
from planning.backend import expansion

_WHOLE: dict[str, Any] = {
    "name": "${V}",
    "needs": ["${V}"],
    "secrets": ["${V}"],
    "function": "${V}",
    "process": ["${V}"],
    "file": {"template": "${V}", "text": "${V}", "to": "${V}"},
    "submodules": {"paths": ["${V}"]},
    "compose": {"project": "p", "file": "${V}"},
    "wait": {"log": {"match": "${V}$", "step": "${V}", "file": "${V}"}, "http": "${V}", "sql": {"url": "${V}"}},
    "ready": {"tcp": "${V}", "grpc": "${V}", "command": ["${V}"]},
    "when": {"all_exist": ["${V}"], "equal": ["${V}", "x"]},
    "env": {"name": "${V}"},
    "programs": ["${V}"],
    "dir": "${V}",
    "inputs": ["${V}"],
    "outputs": ["${V}"],
    "values": {"name": {"variable": "${V}", "log": "(${V})$", "file": "${V}", "match": "(${V})"}},
    "ports": ["${V}"],
    "leaves": [{"program": "${V}", "arguments": "${V}$", "dir": "${V}", "compose": {"file": "${V}"}}],
    "stop": {"command": ["${V}"], "function": "${V}"},
    "purge": ["${V}"],
}


class _Loose(Document):
    """A step with more than a step may have."""

    model_config = ConfigDict(extra="allow")


def test_expansion_knows_only_its_variables() -> None:
    """`${NAME}` is replaced, `$$` is a dollar, anything else stays as it is."""
    assert expansion.expand("${A} $HOME $${X} $1", {"A": "v"}) == "v $HOME ${X} $1"
    with pytest.raises(SettingsInvalid, match="variable B is used"):
        expansion.expand("${A}${B}", {"A": "v"})


def test_values_are_not_expanded_again() -> None:
    """A value that looks like a reference stays text, so that data cannot pull in other variables."""
    assert expansion.expand("${A}", {"A": "${B}", "B": "leak"}) == "${B}"


def test_which_texts_may_hold_variables() -> None:
    """All of a step but the names of steps, functions, secrets and shell variables, whatever a key is called."""
    document = _Loose.model_validate(_WHOLE)
    found = {path for path, text in expansion.texts(document) if expansion.names(text)}
    untouched = {
        ("name",),
        ("needs", 0),
        ("secrets", 0),
        ("function",),
        ("wait", "log", "step"),
        ("stop", "function"),
        ("values", "name", "variable"),
    }
    assert found == _paths(_WHOLE) - untouched


def _paths(data: Any, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    if isinstance(data, dict):
        return set().union(*(_paths(value, (*path, key)) for key, value in data.items()))
    if isinstance(data, list):
        return set().union(*(_paths(value, (*path, index)) for index, value in enumerate(data)))
    return {path} if "${V}" in data else set()


def test_nested_texts_are_expanded() -> None:
    """In fields, lists and documents within documents."""
    step = Step.model_validate(
        {
            "name": "w",
            "function": "f",
            "ready": {"tcp": "${H}:1"},
            "env": {"A": "${H}"},
            "leaves": [{"program": "bin/${H}", "compose": None}],
            "stop": {"command": ["kill", "${H}"]},
            "purge": ["${H}/*"],
        }
    )
    done = expansion.expanded(step, {"H": "h"})
    assert done.ready is not None
    assert done.stop is not None
    assert (done.ready.tcp, done.env, done.leaves[0].program) == ("h:1", {"A": "h"}, "bin/h")
    assert (done.stop.command, done.purge, done.function) == (["kill", "h"], ["h/*"], "f")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_in_a_regular_expression_a_value_stands_for_itself(value: str) -> None:
    """A path with a dot or a bracket finds that path alone; the expression's own dollar stays its end."""
    step = Step.model_validate({"name": "w", "command": ["x"], "values": {"V": {"log": "^(${V})$"}}})
    pattern = expansion.expanded(step, {"V": value}).values["V"].log
    match = re.fullmatch(pattern, value)
    assert match is not None
    assert match[1] == value


def test_expansion_names_all_missing_variables() -> None:
    """A step with two unset variables names both."""
    with pytest.raises(SettingsInvalid) as caught:
        expansion.expanded(Step(name="a", command=["${X}", "${Y}"]), {})
    assert len(caught.value.problems) == 2


def test_an_empty_variable_may_not_hollow_a_step_out() -> None:
    """What must say something is judged again once its variables are filled in."""
    step = Step.model_validate({"name": "a", "wait": {"tcp": "${X}"}})
    with pytest.raises(SettingsInvalid, match="step a, with its variables filled in: wait needs exactly one"):
        expansion.expanded(step, {"X": ""})


def test_what_is_foreseen_keeps_later_values_as_written() -> None:
    """Known variables are filled in, a value that a step will hand on stays a reference."""
    step = Step(name="a", command=["${X}", "${LATER}/${X}"])
    assert expansion.foreseen(step, {"X": "x"}).command == ["x", "${LATER}/x"]


def test_functions_are_expanded_too() -> None:
    """Their file and their environment."""
    functions = Functions(file="${D}/run.sh", env={"A": "${D}"})
    assert expansion.expanded_functions(functions, {"D": "d"}) == Functions(file="d/run.sh", env={"A": "d"})


def test_settled_reads_only_declared_names() -> None:
    """The environment overrides a default, an empty value means unset, built-ins win, nothing undeclared appears."""
    declared = {"A": "default", "B": "default", "C": None}
    environ = {"A": "mine", "B": "", "SECRET": "x"}
    assert expansion.settled(declared, environ, {"EP": "1"}) == {"A": "mine", "B": "default", "EP": "1"}


def test_a_step_survives_a_payload() -> None:
    """A payload names every field with its default, also those that go with other kinds."""
    step = Step(name="a", command=["ls"])
    assert Step.model_validate_json(step.model_dump_json()) == step
