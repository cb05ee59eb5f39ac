"""Programs are looked for before anything runs, for the steps that will run, and again when a step begins."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.backend.host import LocalBackendHost
from domain.errors import SettingsInvalid, StepFailed
from domain.messages.backend import ProgramSearch
from domain.spec import Backend
from tests.support.backend.host import ENVIRON, count, function, run, sh, stop

_PROFILE = """name: demo
functions: {file: run.sh}
steps:
- {name: keys, function: keys, programs: [no-such-snarkit], outputs: [key]}
- {name: serve, function: serve, programs: [no-such-cargo], leaves: [{program: ./serve}]}
- {name: pull, function: keys, programs: [no-such-puller], when: {all_exist: [nothing]}}
- {name: explorer, function: keys, programs: [no-such-mix], optional: true}
"""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository whose steps call programs that are not there."""
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "proverctl.yaml").write_text(_PROFILE)
    (repo / "run.sh").write_text("keys() { touch key; }\nserve() { nohup ./serve > /dev/null 2>&1 & }\n")
    (repo / "serve").write_text("#!/bin/bash\nsleep 300\n")
    (repo / "serve").chmod(0o755)
    return repo


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LocalBackendHost]:
    """A backend host whose processes are all stopped in the end."""
    host = LocalBackendHost(tmp_path / "state", ENVIRON)
    yield host
    stop(host)


def _lacking(host: LocalBackendHost, repo: Path, search: ProgramSearch) -> list[str]:
    try:
        host.load(Backend(repo=str(repo)), {}, search)
    except SettingsInvalid as error:
        problems = [
            problem.replace(f", which is not on the worker's PATH ({ENVIRON['PATH']})", "")
            for problem in error.problems
        ]
        return [problem.partition("the program ")[2] for problem in problems]
    return []


def test_only_the_programs_of_steps_that_will_run_are_needed(host: LocalBackendHost, repo: Path) -> None:
    """All at once; none when nothing is to be run, of what is left out, adopted or running, unless it is done again."""
    assert host.load(Backend(repo=str(repo)), {}).profile.name == "demo"
    assert _lacking(host, repo, ProgramSearch()) == ["no-such-snarkit", "no-such-cargo"]
    (repo / "key").touch()
    assert _lacking(host, repo, ProgramSearch()) == ["no-such-cargo"]
    assert _lacking(host, repo, ProgramSearch(every=True)) == ["no-such-snarkit", "no-such-cargo"]
    run(host, repo, function("keys", outputs=["key"]))
    run(host, repo, function("serve", leaves=[{"program": "./serve"}]))
    assert _lacking(host, repo, ProgramSearch()) == []
    assert _lacking(host, repo, ProgramSearch(again=["serve"])) == ["no-such-cargo"]


def test_a_step_that_runs_after_all_names_its_programs(host: LocalBackendHost, repo: Path) -> None:
    """Before its first command, with PATH; one that has nothing to do needs none."""
    step = sh("keys", "echo x >> ran; touch key", outputs=["key"], programs=["no-such-snarkit", "no-such-plonkit"])
    with pytest.raises(StepFailed, match="no-such-snarkit, no-such-plonkit") as caught:
        run(host, repo, step)
    assert caught.value.diagnosis.code == "PROGRAM_MISSING"
    assert ENVIRON["PATH"] in caught.value.diagnosis.because
    assert count(repo / "ran") == 0
    (repo / "key").touch()
    assert run(host, repo, step).detail.startswith("adopted key")
