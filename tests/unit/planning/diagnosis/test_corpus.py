"""What was recorded on real clusters is recognised again, in milliseconds: code and class, row by row."""

import json
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from domain.diagnosis import Diagnosis, Severity
from domain.kubernetes import Snapshot
from planning.diagnosis import findings, rollout_status
from sandbox.settings import REPOSITORY

CORPUS = Path(__file__).parent / "corpus"
RECORDED = {file.stem: json.loads(file.read_text()) for file in sorted(CORPUS.glob("*.json"))}
FINAL = (Severity.FATAL, Severity.NEEDS_HUMAN)


def judged(recorded: dict[str, Any], **changed: Any) -> Diagnosis | None:
    """Return the strongest finding about a recording."""
    snapshot = Snapshot.model_validate(recorded["snapshot"] | changed)
    wanted = {part: recorded[part] for part in ("stage", "image", "autoscale")}
    return rollout_status.observe(snapshot, app="client", **wanted).diagnosis


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_row_is_recognised(name: str) -> None:
    """As it was when it was played: code, class, and something to do."""
    found = judged(RECORDED[name])
    assert found is not None
    assert (found.code, found.severity.value) == (RECORDED[name]["code"], RECORDED[name]["severity"])
    assert found.do


@pytest.mark.parametrize("name", RECORDED)
def test_without_a_clock_only_what_needs_no_grace_is_final(name: str) -> None:
    """What is of unknown age has not lasted yet."""
    found = judged(RECORDED[name], now=None)
    assert found is None or found.severity not in FINAL or not found.grace


@pytest.mark.parametrize("name", RECORDED)
def test_what_explains_is_not_needed_to_recognise(name: str) -> None:
    """Without the right to read more than the rollout itself nothing fatal is made up."""
    bare = dict.fromkeys(("nodes", "neighbours", "quotas", "pull_hosts", "service", "slices"))
    found = judged(RECORDED[name], logs={}, **bare)
    fatal = found is not None and found.severity is Severity.FATAL
    assert not fatal or RECORDED[name]["severity"] == "fatal"


def test_the_strongest_is_the_first_of_all_findings() -> None:
    """Both ways to ask agree, on what runs not at all and on what runs."""
    for recorded in RECORDED.values():
        snapshot = Snapshot.model_validate(recorded["snapshot"])
        wanted = {part: recorded[part] for part in ("stage", "image", "autoscale")}
        assert next(iter(findings.findings(snapshot, app="client", **wanted))) == judged(recorded)


def test_the_page_tells_the_figures_of_the_recorded_run() -> None:
    """docs/diagnoses.md says what was measured, and of which plays."""
    page = (REPOSITORY / "docs/diagnoses.md").read_text()
    fatal = [one["seconds"] for one in RECORDED.values() if one["severity"] == "fatal"]
    final = [one["seconds"] for one in RECORDED.values() if one["severity"] in ("fatal", "needs-human")]
    for sample in (fatal, final):
        assert f"{len(sample)} plays): median {median(sample):.1f} s, worst {max(sample):.1f} s" in " ".join(
            page.split()
        )
    assert f"0 in {len(RECORDED)} plays" in " ".join(page.split())


def test_every_recorded_code_is_documented() -> None:
    """docs/diagnoses.md has a row for each."""
    page = (REPOSITORY / "docs/diagnoses.md").read_text()
    assert [one["code"] for one in RECORDED.values() if f"`{one['code']}`" not in page] == []
