"""Stopping and purging: from the records alone, everything of the backend, and nothing of its neighbours."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.backend.host import LocalBackendHost
from clients.backend.processes import runner
from domain.errors import PermanentError, Refused, SettingsInvalid, StepFailed
from domain.profile import Counterpart, Profile, StepState
from tests.support.backend.host import (
    ENVIRON,
    KEY,
    count,
    function,
    pid_in,
    process,
    purge,
    request,
    run,
    running,
    sh,
    stop,
    until,
    worker,
)

_RUN_SH = """
serve() { nohup ./serve >> /dev/null 2>&1 & }
end_serve() { echo "end $KEPT" >> order; }
"""
_SERVE = f"""#!{sys.executable}
import os, pathlib, signal, time
if os.environ.get("STUBBORN"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with pathlib.Path("pids").open("a") as file:
    file.write(f"{{os.getpid()}}\\n")
while True:
    time.sleep(60)
"""
_SERVES = function("serve", leaves=[{"program": "./serve"}])


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with functions and a program that they leave."""
    return _repository(tmp_path / "repo")


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LocalBackendHost]:
    """A backend host whose processes are all stopped in the end."""
    host = LocalBackendHost(tmp_path / "state", ENVIRON)
    yield host
    stop(host)


def _repository(repo: Path) -> Path:
    repo.mkdir()
    (repo / "run.sh").write_text(_RUN_SH)
    (repo / "serve").write_text(_SERVE)
    (repo / "serve").chmod(0o755)
    return repo


def test_stopped_in_the_reverse_order(host: LocalBackendHost, repo: Path) -> None:
    """Counterparts run, each with its step's environment, later steps first; a second stop finds nothing to do."""
    ends = Counterpart(function="end_serve")
    run(host, repo, _SERVES.model_copy(update={"stop": ends, "env": {"KEPT": "env"}}))
    pid = pid_in(repo / "pids")
    run(host, repo, sh("setup", "true", stop={"command": ["sh", "-c", "echo setup >> order"]}))
    run(host, repo, process("web", "exec sleep 300", stop={"command": ["sh", "-c", "echo web >> order"]}))
    assert stop(host) == ["web", "setup", "serve"]
    assert (repo / "order").read_text().split("\n") == ["web", "setup", "end env", ""]
    assert runner.identity(pid) is None
    assert {row.name: row.state for row in host.observe(KEY)} == dict.fromkeys(("serve", "web"), StepState.STOPPED)
    assert stop(host) == []
    assert count(repo / "order") == 3


def test_a_counterpart_that_fails(host: LocalBackendHost, repo: Path) -> None:
    """It is named, after everything has been stopped; the next stop tries it again."""
    run(host, repo, process("web", "exec sleep 300"))
    run(host, repo, sh("setup", "true", stop={"command": ["sh", "-c", "test -e mended"]}))
    with pytest.raises(StepFailed, match="step setup exited with 1"):
        stop(host)
    assert running(host) == []
    (repo / "mended").touch()
    assert stop(host) == ["setup"]


def test_daemons_of_commands_and_stubborn_ones(host: LocalBackendHost, repo: Path) -> None:
    """What a plain command left behind ends, too, and what ignores TERM is killed after its grace."""
    script = "STUBBORN=1 setsid setsid ./serve > /dev/null 2>&1 & exit 0"
    run(host, repo, sh("start", script, grace=1))
    pid = pid_in(repo / "pids")
    assert stop(host) == ["start"]
    assert runner.identity(pid) is None


def test_a_stopped_command_starts_anew(host: LocalBackendHost, tmp_path: Path, repo: Path) -> None:
    """Being stopped is not an outcome that the next run would report."""
    step = sh("setup", "echo x >> ran; test -e go || sleep 300")
    started = worker(tmp_path / "state", request(repo, step))
    until(lambda: count(repo / "ran") == 1, "it runs")
    started.kill()
    started.wait()
    assert stop(host, ["setup"]) == ["setup"]
    (repo / "go").touch()
    assert run(host, repo, step).state == StepState.DONE
    assert count(repo / "ran") == 2


def test_a_stop_while_what_a_function_left_is_awaited(host: LocalBackendHost, tmp_path: Path, repo: Path) -> None:
    """The function has returned, so its outcome is of what the stop removed: the next run calls it again at once."""
    _leave_nothing_at_first(repo)
    started = worker(tmp_path / "state", request(repo, _SERVES))
    until(lambda: _code(tmp_path, "serve") == 0, "the function has returned")
    started.kill()
    started.wait()
    stop(host)
    (repo / "mended").touch()
    assert run(host, repo, _SERVES).state == StepState.RUNNING
    assert count(repo / "calls") == 2


def test_a_stop_while_readiness_is_awaited(host: LocalBackendHost, tmp_path: Path, repo: Path) -> None:
    """A function that is recorded as done, and left something undeclared that `ready` awaits, is called again."""
    (repo / "run.sh").write_text("serve() { echo x >> calls; rm -f up; (sleep 300; touch up) & }\n")
    step = function("serve", inputs=["serve"], ready={"file": "up"}, timeout=30)
    started = worker(tmp_path / "state", request(repo, step))
    until((tmp_path / "state" / "backend" / KEY / "steps" / "serve.json").exists, "it awaits readiness")
    started.kill()
    started.wait()
    assert stop(host) == ["serve"]
    (repo / "run.sh").write_text("serve() { echo x >> calls; touch up; }\n")
    assert run(host, repo, step).state == StepState.DONE
    assert count(repo / "calls") == 2


def test_a_stop_keeps_the_outcome_of_a_command_that_ended(host: LocalBackendHost, tmp_path: Path, repo: Path) -> None:
    """Hours of a set-up that ended while no worker was there are not spent again, since the stop removed nothing."""
    step = sh("setup", "echo x >> ran; sleep 0.3; touch key", outputs=["key"])
    started = worker(tmp_path / "state", request(repo, step))
    until(lambda: count(repo / "ran") == 1, "it runs")
    started.kill()
    started.wait()
    until(lambda: _code(tmp_path, "setup") == 0, "it has ended")
    stop(host)
    assert run(host, repo, step).state == StepState.DONE
    assert count(repo / "ran") == 1


def _leave_nothing_at_first(repo: Path) -> None:
    text = "echo x >> calls; [ -e mended ] && { nohup ./serve >> /dev/null 2>&1 & return; }; sleep 300 &"
    (repo / "run.sh").write_text(f"serve() {{ {text} }}\n")


def _code(tmp_path: Path, name: str) -> object:
    return (runner.read(tmp_path / "state" / "backend" / KEY / "run" / f"{name}.command.json") or {}).get("code")


def test_neighbours_are_left_alone(tmp_path: Path) -> None:
    """Another backend of the same state directory, and the same one of another, with the same programs, run on."""
    repos = [_repository(tmp_path / name) for name in ("repo", "second", "third")]
    hosts = [LocalBackendHost(tmp_path / state, ENVIRON) for state in ("state", "state", "elsewhere")]
    keys = [KEY, "other", KEY]
    try:
        for host, repo, key in zip(hosts, repos, keys, strict=True):
            run(host, repo, _SERVES, key=key)
            run(host, repo, process("web", "exec sleep 300"), key=key)
        run(hosts[2], repos[2], function("serve-too", function="serve", leaves=_SERVES.leaves))
        assert stop(hosts[0]) == ["web", "serve"]
        purge(hosts[0], repos[0], Profile(name=KEY))
        assert [running(hosts[1], "other"), running(hosts[2])] == [["serve", "web"], ["serve", "serve-too", "web"]]
        assert (tmp_path / "elsewhere" / "backend" / KEY).is_dir()
    finally:
        for host, key in zip(hosts, keys, strict=True):
            stop(host, None, key)


def test_two_state_directories_and_one_repository(tmp_path: Path, repo: Path) -> None:
    """A process that carries another backend's mark is neither adopted nor stopped, though all else is equal."""
    first, second = (LocalBackendHost(tmp_path / state, ENVIRON) for state in ("one", "two"))
    try:
        run(first, repo, _SERVES)
        assert run(second, repo, _SERVES).detail.startswith("pid ")
        assert stop(second) == ["serve"]
        assert running(first) == ["serve"]
    finally:
        stop(first)
        stop(second)


def test_a_backend_belongs_to_one_repository(host: LocalBackendHost, tmp_path: Path, repo: Path) -> None:
    """Another one is refused, naming both and the remedies, until the first one's data is purged."""
    other = _repository(tmp_path / "other")
    run(host, repo, sh("setup", "true"))
    with pytest.raises(Refused) as caught:
        run(host, other, sh("setup", "true"))
    found = caught.value.diagnosis
    assert (found.code, found.on, str(repo) in found.because, "another `name`" in found.do) == (
        "BACKEND_ELSEWHERE",
        str(other),
        True,
        True,
    )
    with pytest.raises(Refused):
        purge(host, other, Profile(name=KEY))
    stop(host)
    purge(host, repo, Profile(name=KEY))
    assert run(host, other, sh("setup", "true")).state == StepState.DONE


def test_purge_deletes_what_is_declared(host: LocalBackendHost, tmp_path: Path, repo: Path) -> None:
    """Globs of steps and profile, links but not what they lead to, data, records and logs; nothing else."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    for name in ("chain/a", "chain/.b", "cache.1", "source"):
        (repo / name).parent.mkdir(exist_ok=True)
        (repo / name).touch()
    (repo / "link").symlink_to(outside)
    step = sh("data", "touch $BACKEND/x", env={"BACKEND": "${BACKEND_DATA}"}, purge=["chain", "link", "none/*"])
    profile = Profile(name=KEY, steps=[step], purge=["cache.*", "${BACKEND_DATA}/x"])
    run(host, repo, step)
    folder = tmp_path / "state" / "backend" / KEY
    assert (folder / "data" / "x").exists()
    deleted = purge(host, repo, profile)
    expected = [repo / "chain", repo / "link", repo / "cache.1", folder / "data" / "x", folder]
    assert [str(path) for path in expected] == deleted
    assert sorted(path.name for path in repo.iterdir()) == ["run.sh", "serve", "source"]
    assert ((outside / "kept").exists(), folder.exists()) == (True, False)
    assert purge(host, repo, profile) == []


@pytest.mark.parametrize("pattern", ["../outside/kept", ".", "link/kept", "chain/..", "/etc/hostname"])
def test_purge_stays_inside(host: LocalBackendHost, tmp_path: Path, repo: Path, pattern: str) -> None:
    """A way out is refused before anything at all is deleted."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").touch()
    (repo / "chain").mkdir()
    (repo / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(Refused, match="leads out"):
        purge(host, repo, Profile(name=KEY, purge=["chain", pattern]))
    assert ((repo / "chain").exists(), (tmp_path / "outside" / "kept").exists()) == (True, True)


def test_purge_needs_a_stopped_backend(host: LocalBackendHost, repo: Path) -> None:
    """What still runs is named: processes, and what functions left."""
    run(host, repo, _SERVES)
    run(host, repo, process("web", "exec sleep 300"))
    with pytest.raises(PermanentError, match="something runs: serve, web"):
        purge(host, repo, Profile(name=KEY))
    assert stop(host) == ["web", "serve"]


def test_a_secret_never_lies_on_our_disk(host: LocalBackendHost, tmp_path: Path, repo: Path) -> None:
    """A process reads it when it starts, a command gets it from the worker; no record, log or argument holds it."""
    secret = tmp_path / "secret"
    secret.write_text("s3cr3t-canary\n")
    references = {"DB_KEY": f"file:{secret}"}
    test = "[ ${#DB_KEY} = 13 ] && touch"
    web = process("web", f"{test} got; exec sleep 300", secrets=["DB_KEY"], ready={"file": "got"}, timeout=20)
    run(host, repo, web, secrets=references)
    run(host, repo, sh("use", f"{test} used", secrets=["DB_KEY"], outputs=["used"]), secrets=references)
    found = subprocess.run(["grep", "-r", "s3cr3t-canary", str(tmp_path / "state")], capture_output=True, check=False)
    assert (found.returncode, found.stdout) == (1, b"")
    with pytest.raises(SettingsInvalid, match="file:PATH only"):
        run(host, repo, web, secrets={"DB_KEY": "env:PATH"})


def test_processes_that_end(host: LocalBackendHost, repo: Path) -> None:
    """By policy: one that may end is reported with its exit, one that always restarts as a crash loop."""
    run(host, repo, process("once", "sleep 4; echo bye; exit 3", restart="never"))
    run(host, repo, process("loop", "echo again; sleep 3; exit 4"))
    rows: dict[str, str] = {}

    def told() -> bool:
        seen = host.observe(KEY)  # one look: the next may find the loop in its next run
        rows.update({row.name: row.detail for row in seen})
        # Between two runs it has just exited, like the other one.
        return {row.state for row in seen} == {StepState.FAILED} and "crash loop" in rows["loop"]

    until(told, "the end of one and the loop of the other are told")
    assert "exited with 3; last line: bye" in rows["once"]
    assert "last line: again" in rows["loop"]


def test_a_process_that_ends_before_it_is_ready(host: LocalBackendHost, repo: Path) -> None:
    """The gate does not wait for the timeout, and shows the end of the log."""
    step = process("web", "sleep 1.3; echo no database; exit 1", restart="never", ready={"file": "never"}, timeout=300)
    with pytest.raises(StepFailed, match="no database"):
        run(host, repo, step)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    path = tmp_path / "small"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)], check=True)
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def _fill(path: Path) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        while True:
            os.write(file, b"x" * 4096)
    except OSError:
        os.close(file)


def test_a_full_disk(small: Path, repo: Path) -> None:
    """Said with the path before anything runs; with room again the same step goes on, once."""
    host = LocalBackendHost(small, ENVIRON)
    run(host, repo, sh("first", "true"))
    _fill(small / "ballast")
    for step in (sh("second", "echo x >> ran"), process("web", "exec sleep 300")):
        with pytest.raises(StepFailed) as caught:
            run(host, repo, step)
        found = caught.value.diagnosis
        assert (found.code, str(small) in found.on, "0 bytes are free" in found.because) == ("DISK_FULL", True, True)
    assert count(repo / "ran") == 0
    (small / "ballast").unlink()
    assert run(host, repo, sh("second", "echo x >> ran")).state == StepState.DONE
    assert run(host, repo, process("web", "exec sleep 300")).state == StepState.RUNNING
    assert (stop(host), count(repo / "ran")) == (["web"], 1)


def test_a_disk_that_fills_up_while_a_command_runs(small: Path, repo: Path) -> None:
    """The outcome of hours is recorded all the same, and taken by the next run: nothing is done twice."""
    host = LocalBackendHost(small, ENVIRON)
    step = sh("setup", "echo x >> ran; while [ ! -e go ]; do sleep 0.05; done")
    started = worker(small, request(repo, step))
    until(lambda: count(repo / "ran") == 1, "it runs")
    _fill(small / "ballast")
    (repo / "go").touch()
    assert started.wait(30) != 0
    with pytest.raises(StepFailed, match="the disk is full"):
        run(host, repo, step)
    (small / "ballast").unlink()
    assert run(host, repo, step).state == StepState.DONE
    assert count(repo / "ran") == 1
