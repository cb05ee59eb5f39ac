"""The YAML text of a profile: whatever it is, it is read, or refused by file, line and field."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import SettingsInvalid
from planning.backend.graph_drawing import as_mermaid, as_text
from planning.backend.profile_parser import MAX_BYTES, read
from planning.backend.profile_validation import faults

_LANGUAGE = """name steps needs command process wait tcp values log ( ${A} $ a b &x *x << [ ] { } !!int !!bool 1 null
    !!timestamp true | ' " 2020-99-99 variables secrets purge .. / when equal ports leaves functions file"""
_WORDS = st.sampled_from([*_LANGUAGE.split(), ": ", "- ", "\n", "\n  ", "\n- ", ", "])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.sampled_from("ab/.*$(){}[]\\?+:0~-"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)


def _judge(text: str) -> list[str]:
    """As every reader does."""
    try:
        document = read(text, "p.yaml")
    except SettingsInvalid as error:
        return error.problems
    found = [*document.faults, *(faults(document.profile) if document.profile else [])]
    if document.profile and not found:
        as_text(document.profile)
        as_mermaid(document.profile)
    return document.sentences(found)


@given(st.text())
def test_no_text_is_too_strange(text: str) -> None:
    """Every text is a profile or has problems that begin with the file's name."""
    assert all(problem.startswith("p.yaml") for problem in _judge(text))


@given(st.lists(_WORDS, max_size=40).map("".join))
def test_no_yaml_is_too_strange(text: str) -> None:
    """Neither are tags, aliases, merges and words of the language in any order."""
    assert all(problem.startswith("p.yaml") for problem in _judge(text))


@given(st.sampled_from(["needs", "wait", "values", "leaves", "when", "ports", "purge", "env"]), _VALUES)
def test_no_field_is_too_strange(field: str, value: object) -> None:
    """Whatever a field of a step holds, the rest is judged, and the line is that of the field or the step."""
    text = f"name: b\nsteps:\n- name: a\n  command: [ls]\n  {field}: {json.dumps(value)}\n"
    assert all(problem.startswith(("p.yaml:3", "p.yaml:4", "p.yaml:5")) for problem in _judge(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: [", "p.yaml:1: not valid YAML"),
        ("name: b\nsteps: !!python/object/apply:os.system [ls]", "p.yaml:2: not valid YAML: could not determine"),
        ("name: b\nsteps: !!timestamp x", "p.yaml: not valid YAML"),
        ("", "p.yaml:1: profile: Input should be a mapping of fields"),
        ("- a", "p.yaml:1: profile: Input should be a mapping of fields"),
        ("a: 1\n---\nb: 1", "p.yaml:2: not valid YAML: but found another document"),
        ("a: &a [x]\nb: [" + "*a," * 101 + "]", "p.yaml holds more than 100 YAML aliases"),
        ("a: &a [*a]", "p.yaml:1: YAML aliases make it too large"),
        ("[" * 30, "p.yaml:1: nested deeper than 20"),
        ("#" * MAX_BYTES + "#", "p.yaml is larger than 1 MiB"),
        ("name: a\nsteps: []\nname: b", "p.yaml:1: name: is written twice, also in line 3"),
    ],
)
def test_what_is_no_profile(text: str, expected: str) -> None:
    """Broken YAML, tags that make objects, empty files, lists, doubles and alias bombs are refused by name."""
    assert _judge(text)[0].startswith(expected)


def test_an_alias_bomb_within_the_limits_is_refused() -> None:
    """Ten levels of ten aliases each would be ten thousand million fields."""
    levels = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert "YAML aliases make it too large" in _judge("\n".join(levels))[0]


def test_shape_problems_at_once() -> None:
    """Misspelt fields, wrong types and steps of two kinds each have their line."""
    text = """name: b
steps:
- name: a
  comand: [ls]
- name: c
  command: [ls]
  process: [ls]
- name: X
  timeout: no
  ports: [80]
- name: d
  command: {ls: la}
"""
    command = "Input should be a list of texts (numbers in quotes), or one text with `shell: true`"
    kinds = "function, command, file, submodules, compose, process, wait"
    assert _judge(text) == [
        "p.yaml:4: steps[0].comand: there is no such field",
        f"p.yaml:5: steps[1]: step c needs exactly one of {kinds}",
        "p.yaml:8: steps[2].name: String should match pattern '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'",
        "p.yaml:9: steps[2].timeout: Input should be a valid integer, unable to parse string as an integer",
        "p.yaml:10: steps[2].ports[0]: Input should be a text: put it in quotes",
        f"p.yaml:12: steps[3].command: {command}",
    ]


def test_an_unknown_field_hides_nothing() -> None:
    """What is wrong beside a field that does not exist is found in the same go."""
    text = """name: b
steps:
- {name: a, needs: [c], command: [ls], colour: red}
- {name: c, needs: [a], command: [ls]}
- {name: d, needs: [c], command: [ls]}
extra: 1
"""
    assert _judge(text) == [
        "p.yaml:3: steps[0].colour: there is no such field",
        "p.yaml:3: steps[0].needs: steps a, c need each other in a circle",
        "p.yaml:6: extra: there is no such field",
    ]


def test_dates_and_words_stay_text() -> None:
    """`no`, a date and a file mode in octal are what was written, not what YAML makes of them."""
    text = "name: b\nvariables: {A: no, B: 2020-01-01, C: 0644, D: }\nsteps: []\n"
    document = read(text, "p.yaml")
    assert document.profile is not None
    assert document.profile.variables == {"A": "no", "B": "2020-01-01", "C": "0644", "D": None}


def test_merged_fields_are_allowed() -> None:
    """A step may take fields over from another by an alias."""
    text = "name: b\nsteps:\n- &first {name: a, command: [ls]}\n- {<<: *first, name: c}\n"
    document = read(text, "p.yaml")
    assert document.profile is not None
    assert [(step.name, step.command) for step in document.profile.steps] == [("a", ["ls"]), ("c", ["ls"])]
