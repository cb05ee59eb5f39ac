"""Outputs such as keys are never deleted unasked: adopted when no run made them, and known again after a purge."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.backend.host import LocalBackendHost
from clients.backend.job import StepFiles
from clients.backend.processes import runner
from domain.errors import StepFailed
from domain.profile import Profile, Step, StepState
from tests.support.backend.host import ENVIRON, KEY, count, function, purge, request, run, sh, stop, until, worker

_MAKE = "echo x >> ran; rm -f key; test ! -e broken || exit 1; echo made > key"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository whose function makes a key, and begins by deleting the one that is there."""
    repo = tmp_path / "repo"
    repo.mkdir()
    (repo / "run.sh").write_text(f"keys() {{ {_MAKE}; ADDR=0xabc; }}\n")
    return repo


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LocalBackendHost]:
    """A backend host whose processes are all stopped in the end."""
    host = LocalBackendHost(tmp_path / "state", ENVIRON)
    yield host
    stop(host)


def _place(tmp_path: Path, name: str = "keys") -> StepFiles:
    return StepFiles(tmp_path / "state" / "backend" / KEY, name)


@pytest.mark.parametrize("step", [sh("keys", _MAKE, outputs=["key"]), function("keys", outputs=["key"])])
def test_outputs_that_exist_are_adopted(host: LocalBackendHost, tmp_path: Path, repo: Path, step: Step) -> None:
    """The step is not run, its status names them, and their digest is recorded; later ups skip it as usual."""
    (repo / "key").write_text("mine\n")
    status = run(host, repo, step)
    assert (status.state, count(repo / "ran"), (repo / "key").read_text()) == (StepState.SKIPPED, 0, "mine\n")
    recorded = (runner.read(_place(tmp_path).ran) or {})["adopted"]
    assert list(recorded) == ["key"]
    assert len(recorded["key"]) == 64  # SHA-256
    assert status.detail == f"adopted key (sha256 {recorded['key'][:12]})"
    assert run(host, repo, step).detail == "inputs unchanged"
    assert count(repo / "ran") == 0


def test_an_adopted_step_is_made_again_when_asked_or_when_its_inputs_change(host: LocalBackendHost, repo: Path) -> None:
    """An adopted record takes the present inputs as its own; others, and a demand, run the step."""
    step = sh("keys", _MAKE, outputs=["key"], inputs=["source"])
    (repo / "key").write_text("mine\n")
    (repo / "source").write_text("1")
    assert run(host, repo, step).detail.startswith("adopted key")
    (repo / "source").write_text("2")
    assert run(host, repo, step).state == StepState.DONE
    assert run(host, repo, step, again=True).state == StepState.DONE
    assert count(repo / "ran") == 2


def test_a_directory_is_adopted(host: LocalBackendHost, tmp_path: Path, repo: Path) -> None:
    """Its digest covers the files below it."""
    (repo / "keys").mkdir()
    (repo / "keys" / "one").write_text("1")
    run(host, repo, sh("keys", _MAKE, outputs=["keys"]))
    first = (runner.read(_place(tmp_path).ran) or {})["adopted"]["keys"]
    (repo / "keys" / "one").write_text("2")
    run(host, repo, sh("second", _MAKE, outputs=["keys"]))
    assert (runner.read(_place(tmp_path, "second").ran) or {})["adopted"]["keys"] != first


def test_outputs_of_a_run_that_failed_are_not_adopted(host: LocalBackendHost, repo: Path) -> None:
    """They may be incomplete, also where an earlier run had succeeded; those made by hand afterwards are adopted."""
    step = sh("keys", "echo x >> ran; echo part > key; test ! -e broken", outputs=["key"], inputs=["source"])
    (repo / "source").write_text("1")
    run(host, repo, step)
    (repo / "broken").touch()
    (repo / "source").write_text("2")
    with pytest.raises(StepFailed):
        run(host, repo, step)
    (repo / "source").write_text("1")  # as it was when it succeeded
    with pytest.raises(StepFailed):
        run(host, repo, step)
    assert count(repo / "ran") == 3
    (repo / "key").write_text("by hand")
    assert run(host, repo, step).detail.startswith("adopted key")
    assert count(repo / "ran") == 3


def test_outputs_of_a_run_that_was_stopped_are_not_adopted(host: LocalBackendHost, tmp_path: Path, repo: Path) -> None:
    """Nor after a purge."""
    step = sh("keys", "echo x >> ran; echo part > key; test -e go || sleep 300", outputs=["key"])
    started = worker(tmp_path / "state", request(repo, step))
    until((repo / "key").exists, "it has begun")
    started.kill()
    started.wait()
    assert stop(host) == ["keys"]
    purge(host, repo, Profile(name=KEY, steps=[step]))
    (repo / "go").touch()
    assert run(host, repo, step).state == StepState.DONE
    assert count(repo / "ran") == 2


def test_records_of_outputs_outlive_a_purge(host: LocalBackendHost, tmp_path: Path, repo: Path) -> None:
    """Purge and up run neither the step nor lose its values and log; all other records are gone."""
    step = function("keys", outputs=["key"], values={"ADDR": {"variable": "ADDR"}})
    other = sh("other", "echo x >> others", inputs=["run.sh"])
    run(host, repo, step)
    run(host, repo, other)
    stop(host)
    folder = _place(tmp_path).folder
    profile = Profile(name=KEY, steps=[step, other])
    assert purge(host, repo, profile) == [f"{folder} (but the records of keys, whose outputs stay)"]
    kept = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert kept == ["logs/keys.log", "steps/keys.json"]
    assert purge(host, repo, profile) == []
    assert run(host, repo, step).detail == "inputs unchanged"
    assert run(host, repo, sh("later", "true").model_copy(update={"command": ["echo", "${ADDR}"]})).detail == "0xabc"
    run(host, repo, other)
    assert (count(repo / "ran"), count(repo / "others")) == (1, 2)


def test_a_record_says_nothing_of_another_repository(host: LocalBackendHost, tmp_path: Path, repo: Path) -> None:
    """After a purge the name may be taken by another one, whose own outputs are adopted."""
    step = sh("keys", _MAKE, outputs=["key"])
    run(host, repo, step)
    stop(host)
    purge(host, repo, Profile(name=KEY, steps=[step]))
    second = tmp_path / "second"
    second.mkdir()
    (second / "key").write_text("theirs\n")
    assert run(host, second, step).detail.startswith("adopted key")
    assert (second / "key").read_text() == "theirs\n"


def test_outputs_without_the_values_of_a_run(host: LocalBackendHost, repo: Path) -> None:
    """They cannot be adopted and are not deleted either: who wants the step run has to say so."""
    step = function("keys", outputs=["key"], values={"ADDR": {"variable": "ADDR"}})
    (repo / "key").write_text("mine\n")
    with pytest.raises(StepFailed, match="--redo keys") as caught:
        run(host, repo, step)
    assert caught.value.diagnosis.code == "OUTPUTS_EXIST"
    assert (repo / "key").read_text() == "mine\n"
    assert run(host, repo, step, again=True).detail == "ADDR=0xabc"


def test_submodules_and_steps_that_leave_something_are_not_adopted(host: LocalBackendHost, repo: Path) -> None:
    """A checkout has to be at its commit, and what is to run has to be started."""
    (repo / "key").write_text("mine\n")
    (repo / "serve").symlink_to("/bin/sleep")
    (repo / "run.sh").write_text("serve() { nohup ./serve 300 > /dev/null 2>&1 & }\n")
    status = run(host, repo, function("serve", outputs=["key"], leaves=[{"program": "sleep", "arguments": "300"}]))
    assert status.state == StepState.RUNNING
