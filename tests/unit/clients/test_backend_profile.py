"""Backend profiles are read with every problem named by file, line and field."""

from pathlib import Path

import pytest

from clients.backend import LocalBackendHost
from domain.errors import SettingsInvalid
from domain.spec import Backend

_ENVIRON = {"PATH": "/usr/bin:/bin", "SET": "x"}


def _problems(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "proverctl.yaml").write_text(text)
    with pytest.raises(SettingsInvalid) as caught:
        LocalBackendHost(tmp_path / "state", _ENVIRON).load(Backend(repo=str(tmp_path)))
    return [problem.removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def test_a_good_profile(tmp_path: Path) -> None:
    """It comes with the repository's absolute path; a profile elsewhere is named relative to the repository."""
    text = "name: b\nvariables: {SET: null}\nsteps:\n- {name: a, command: [ls, '${SET}', '${PYTHON}']}\n"
    (tmp_path / "other.yaml").write_text(text)
    profile, repo = LocalBackendHost(tmp_path, _ENVIRON).load(Backend(repo=str(tmp_path), profile="other.yaml"))
    assert (profile.name, [step.name for step in profile.steps], repo) == ("b", ["a"], str(tmp_path))


def test_shape_problems_at_once(tmp_path: Path) -> None:
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
"""
    assert _problems(tmp_path, text) == [
        "proverctl.yaml:4: steps[0].comand: there is no such field",
        "proverctl.yaml:5: steps[1]: step c needs exactly one of command, process, wait",
        "proverctl.yaml:8: steps[2].name: String should match pattern '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'",
        "proverctl.yaml:9: steps[2].timeout: Input should be greater than or equal to 1",
    ]


def test_meaning_problems_at_once(tmp_path: Path) -> None:
    """Unknown needs, doubles, unset variables, undeclared ones and absent programs are found in one go."""
    text = """name: b
variables:
  UNSET:
  DB_PASSWORD: x
steps:
- name: a
  needs: [ghost]
  command: [no-such-program]
- name: a
  command: [ls, "${WHO}"]
"""
    secret = "DB_PASSWORD looks like a secret of the worker: steps may not read those"
    absent = "needs the program no-such-program, which is not on the worker's PATH"
    assert _problems(tmp_path, text) == [
        f"proverctl.yaml:4: variables.DB_PASSWORD: {secret}",
        "proverctl.yaml:7: steps[0].needs: step a needs ghost, which does not exist",
        "proverctl.yaml:9: steps[1].name: step a exists twice",
        "proverctl.yaml:9: steps[1]: step a uses ${WHO}, which no variable declares",
        "proverctl.yaml:3: variables.UNSET: variable UNSET has no default: set UNSET in the worker's environment",
        f"proverctl.yaml:8: steps[0].command: step a {absent}",
    ]


def test_a_circle(tmp_path: Path) -> None:
    """Steps that need each other can never run."""
    text = "name: b\nsteps:\n- {name: a, needs: [c], command: [ls]}\n- {name: c, needs: [a], command: [ls]}\n"
    assert _problems(tmp_path, text) == ["proverctl.yaml:3: steps[0].needs: steps a, c need each other in a circle"]


def test_an_unknown_field_hides_nothing(tmp_path: Path) -> None:
    """What is wrong beside a field that does not exist is found in the same go."""
    text = """name: b
steps:
- {name: a, needs: [c], command: [ls], colour: red}
- {name: c, needs: [a], command: [ls]}
- {name: d, needs: [c], command: [ls]}
extra: 1
"""
    assert _problems(tmp_path, text) == [
        "proverctl.yaml:3: steps[0].colour: there is no such field",
        "proverctl.yaml:6: extra: there is no such field",
        "proverctl.yaml:3: steps[0].needs: steps a, c need each other in a circle",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: [", "proverctl.yaml:1: not valid YAML"),
        (
            "name: b\nsteps: !!python/object/apply:os.system [ls]",
            "proverctl.yaml:2: not valid YAML: could not determine",
        ),
        ("", "proverctl.yaml:1: profile: Input should be"),
        ("- a", "proverctl.yaml:1: profile: Input should be"),
        ("a: &a [x]\nb: [" + "*a," * 101 + "]", "proverctl.yaml holds more than 100 YAML aliases"),
    ],
)
def test_what_is_no_profile(tmp_path: Path, text: str, expected: str) -> None:
    """Broken YAML, tags that make objects, empty files, lists and alias bombs are refused by name."""
    assert _problems(tmp_path, text)[0].startswith(expected)


def test_a_missing_profile_points_to_deploy(tmp_path: Path) -> None:
    """Without a profile only `deploy` works, and the error says so; a named one that is absent is named."""
    host = LocalBackendHost(tmp_path, _ENVIRON)
    with pytest.raises(SettingsInvalid, match="proverctl deploy"):
        host.load(Backend(repo=str(tmp_path)))
    with pytest.raises(SettingsInvalid, match="BACKEND_PROFILE=fluidex"):
        host.load(Backend(repo=str(tmp_path), profile="fluidex"))
    with pytest.raises(SettingsInvalid, match="BACKEND_REPO"):
        host.load(Backend(repo=str(tmp_path / "absent")))
    with pytest.raises(SettingsInvalid, match="BACKEND_REPO is not set"):
        host.load(Backend())
