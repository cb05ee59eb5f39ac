"""How the checks are shown: each verdict in a word, every remedy, and exit 3 when one failed."""

import json

import pytest

from domain.messages.inspection import Check, CheckVerdict, PreflightReport
from starter import main
from starter.cli import exits
from starter.cli.invocation import Invocation
from starter.commands.preflight import present

FINE = Check(name="Docker", verdict=CheckVerdict.OK, detail="version 20")
ODD = Check(name="optional rights", verdict=CheckVerdict.WARNING, detail="2 of 9 are not granted", do="grant them")
BLIND = Check(name="quota", verdict=CheckVerdict.UNKNOWN, detail="may not list", do="Role rule: {}")
BAD = Check(
    name="registry push", verdict=CheckVerdict.FAILED, detail="CREDENTIALS: it refuses us", do="check the password"
)


def test_without_a_failure_it_is_exit_0(capsys: pytest.CaptureFixture[str]) -> None:
    """Warnings and what is unknown come with their remedies."""
    present(Invocation({}), PreflightReport(checks=[FINE, ODD, BLIND]))
    said = capsys.readouterr()
    assert [line.split("  ")[0] for line in said.out.splitlines()[:4]] == [
        "CHECK",
        "Docker",
        "optional rights",
        "quota",
    ]
    for words in ("✓ ok", "! warning", "? unknown", "! optional rights: grant them", "? quota: Role rule: {}"):
        assert words in said.out
    assert said.err == ""


def test_a_failure_is_exit_3_and_says_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """The remedy is on stderr, once; the table is on stdout all the same."""
    with pytest.raises(exits.Exit) as caught:
        present(Invocation({}), PreflightReport(checks=[FINE, BAD]))
    assert (caught.value.exit_code, caught.value.message) == (exits.REFUSED, "1 check failed; nothing was changed:")
    assert caught.value.lines == ["  registry push: check the password"]
    assert "✗ FAILED" in capsys.readouterr().out


def test_programs_get_the_checks_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """The JSON has the checks alone, also when one failed."""
    with pytest.raises(exits.Exit):
        present(Invocation({}, output="json"), PreflightReport(checks=[BAD], stage="abc"))
    assert json.loads(capsys.readouterr().out) == {"checks": [BAD.model_dump(mode="json")]}


def test_a_probe_needs_an_image(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Told beside every other wrong setting, before anything is contacted."""
    monkeypatch.delenv("PROBE_IMAGE", raising=False)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    arguments = [
        "preflight",
        "--probe",
        "--coordinator-ep",
        "host",
        "--image-repo",
        "a/b",
        "--stage",
        "x",
        "-n",
        "provers",
    ]
    assert main.run(arguments) == exits.INVALID
    said = capsys.readouterr().err
    assert ("PROBE_IMAGE is not set" in said, "COORDINATOR_EP" in said) == (True, True)
