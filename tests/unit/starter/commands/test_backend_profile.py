"""`backend validate` and `backend graph` judge and draw a profile, and contact nothing."""

import json
from pathlib import Path

import pytest

from planning.settings.table import SETTINGS
from starter import main
from starter.cli import exits

_GOOD = "name: b\nsteps:\n- {name: a, command: [ls]}\n- {name: c, needs: [a], process: [x], simulated: true}\n"


@pytest.fixture(autouse=True)
def _blank(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Use an empty environment and directory; no server is there to be contacted."""
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.chdir(tmp_path)


def test_a_good_profile_is_said_to_be_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The default is the profile of the repository around the working directory."""
    (tmp_path / "proverctl.yaml").write_text(_GOOD)
    assert main.run(["backend", "validate"]) == exits.DONE
    said = capsys.readouterr()
    assert said.out == f"{tmp_path}/proverctl.yaml: profile b with 2 steps, nothing wrong with it\n"
    hint = "Programs, functions and files were not looked for. On the worker's host: proverctl backend validate --host"
    assert said.err == f"{hint}\n"
    assert main.run(["backend", "validate", "-o", "json"]) == exits.DONE
    expected = {"file": f"{tmp_path}/proverctl.yaml", "profile": "b", "steps": ["a", "c"]}
    assert json.loads(capsys.readouterr().out) == expected


@pytest.mark.parametrize("name", ["example", "fluidex"])
def test_bundled_profiles_are_good(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A bundled profile is named by an argument or by BACKEND_PROFILE."""
    assert main.run(["backend", "validate", name]) == exits.DONE
    assert main.run(["backend", "validate", "--backend-profile", name]) == exits.DONE
    assert f"profile {name} with" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["validate", "graph"])
def test_every_problem_at_once(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each problem has file, line and field; exit 2, and an empty stdout."""
    (tmp_path / "mine.yaml").write_text("name: b\nsteps:\n- {name: a, needs: [ghost], command: [ls, '${X}']}\n")
    assert main.run(["backend", command, "mine.yaml"]) == exits.INVALID
    said = capsys.readouterr()
    assert said.out == ""
    assert f"{tmp_path}/mine.yaml:3: steps[0].needs: step a needs ghost, which does not exist" in said.err
    assert f"{tmp_path}/mine.yaml:3: steps[0].command[1]: step a uses ${{X}}, which no variable declares" in said.err


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("nobody", "there is no such profile, only example, fluidex"),
        ("absent.yaml", "No such file or directory"),
        ("binary.yaml", "can't decode byte"),
    ],
)
def test_a_profile_that_is_none(file: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A name, a path and a content that is no text are each named."""
    (tmp_path / "binary.yaml").write_bytes(b"\xff")
    assert main.run(["backend", "validate", file]) == exits.INVALID
    said = capsys.readouterr().err
    assert file in said
    assert why in said


def test_the_graph_as_text_mermaid_and_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Simulated steps are marked in each form."""
    (tmp_path / "proverctl.yaml").write_text(_GOOD)
    assert main.run(["backend", "graph"]) == exits.DONE
    assert capsys.readouterr().out == "layer 1\n  a (command)\nlayer 2\n  c (process); needs a; simulated\n"
    assert main.run(["backend", "graph", "--format", "mermaid"]) == exits.DONE
    assert "class s1 simulated" in capsys.readouterr().out
    assert main.run(["backend", "graph", "-o", "json"]) == exits.DONE
    last = json.loads(capsys.readouterr().out)["steps"][-1]
    assert last == {"name": "c", "kind": "process", "needs": ["a"], "simulated": True, "values": []}
