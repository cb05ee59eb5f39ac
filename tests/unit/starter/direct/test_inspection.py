"""Checks of `--direct`, and what it compares."""

from pathlib import Path
from typing import Any

import pytest

from clients.kubernetes import cluster
from domain import names
from domain.messages.inspection import Check, CheckVerdict
from domain.spec import Backend
from starter.cli.invocation import Invocation
from starter.commands import diagnose
from starter.direct.inspection import Direct, for_caller
from tests.support.kubernetes import objects
from tests.support.kubernetes.activities import NS, make_spec
from tests.support.kubernetes.fake_cluster import FakeCluster

PROFILE = (
    "version: 1\nname: own\ncircuit: block_4\ncircuit_in: [coordinator.yaml]\nsteps: [{name: one, command: ['true']}]\n"
)


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """Clients that ask for block_2 and run."""
    found, deployment = FakeCluster(), objects.deployment(1)
    found.put("Deployment", names.DEPLOYMENT, NS, spec=deployment["spec"], status=deployment["status"])
    found.put("ConfigMap", names.CONFIG_MAP, NS, data={names.CONFIG_KEY: "circuit: block_2\n"})
    monkeypatch.setattr(cluster, "connect", lambda *_: found)
    return found


def direct(tmp_path: Path, **backend: Any) -> Direct:
    """As `diagnose --direct` makes it."""
    spec = make_spec(backend=Backend(**backend))
    return Direct(Invocation({"PROVER_STATE_DIR": str(tmp_path / "state")}), spec)


@pytest.mark.usefixtures("live")
def test_diagnose_compares_the_circuit_with_a_repository_that_is_here(tmp_path: Path) -> None:
    """With the rendered configuration first."""
    (tmp_path / "proverctl.yaml").write_text(PROFILE)
    (tmp_path / "coordinator.yaml").write_text("circuits: {block_3: {}}\n")
    report = direct(tmp_path, repo=str(tmp_path)).diagnose(None)
    assert report.warnings == []
    [found] = [one for one in report.findings if one.code == "NO_TASKS"]
    assert found.evidence == "coordinator.yaml has block_3"
    assert report.warnings == []


@pytest.mark.usefixtures("live")
def test_diagnose_warns_where_the_repository_is_elsewhere(tmp_path: Path) -> None:
    """Compare nothing where the repository is elsewhere."""
    report = direct(tmp_path, repo=str(tmp_path), host="other").diagnose(None)
    assert "NO_TASKS" not in [one.code for one in report.findings]
    [warning] = report.warnings
    assert "CIRCUIT was not compared" in warning
    assert "on backend host other" in warning


def test_diagnose_compares_with_no_repository_without_a_profile(tmp_path: Path) -> None:
    """The directory that it is called in is one only with a profile; those elsewhere are the host's to judge."""
    here = make_spec(backend=Backend(repo=str(tmp_path)))
    assert diagnose.comparable(here).backend.repo == ""
    elsewhere = make_spec(backend=Backend(repo=str(tmp_path), host="other"))
    assert diagnose.comparable(elsewhere) == elsewhere
    (tmp_path / "proverctl.yaml").write_text(PROFILE)
    assert diagnose.comparable(here) == here


def test_checks_speak_of_the_caller_and_not_of_a_worker() -> None:
    """Without a worker it is the caller's PATH that lacks a program."""
    check = Check(
        name="circuit",
        verdict=CheckVerdict.FAILED,
        detail="step keys needs the program plonkit, which is not on the worker's PATH",
        do="set X in the worker's environment",
    )
    told = for_caller(check)
    assert told.detail == "step keys needs the program plonkit, which is not on your PATH"
    assert told.do == "set X in your environment"
