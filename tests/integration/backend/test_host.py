"""The backend host with real commands, a real supervisord and real deaths."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clients.backend.host import LocalBackendHost
from clients.backend.processes import runner
from domain.errors import SettingsInvalid, StepFailed
from domain.profile import Step, StepState, Wait
from tests.support.backend.host import (
    ENVIRON,
    KEY,
    count,
    pid_in,
    process,
    request,
    run,
    running,
    sh,
    stop,
    until,
    worker,
)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """An empty backend repository."""
    (tmp_path / "repo").mkdir()
    return tmp_path / "repo"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LocalBackendHost]:
    """A backend host, all of whose processes are stopped in the end."""
    host = LocalBackendHost(tmp_path / "state", ENVIRON)
    yield host
    stop(host)


def test_a_command_tells_its_last_line(host: LocalBackendHost, repo: Path) -> None:
    """Output goes to the log, its last line into beats and result."""
    told: list[str] = []
    status = run(host, repo, sh("build", "echo one; sleep 1.5; echo two"), told.append)
    assert (status.state, status.detail, status.kind) == (StepState.DONE, "two", "command")
    assert "build: one" in told
    assert status.seconds >= 1.5


def test_what_a_command_may_see(host: LocalBackendHost, repo: Path) -> None:
    """No secret of the worker, what builds need, the step's own variables, and the built-in ones."""
    step = Step(
        name="env",
        command=["sh", "-c", "env; pwd"],
        env={"EP": "${COORDINATOR_EP}", "MINE": "${MINE}", "HERE": "${BACKEND_REPO}", "S": "${PROVER_STATE_DIR}"},
        dir="sub",
    )
    (repo / "sub").mkdir()
    environ = {**ENVIRON, "MINE": "from the worker"}
    host = LocalBackendHost(repo.parent / "state", environ)
    run(host, repo, step, variables={"COORDINATOR_EP": "10.0.0.1"}, declared={"MINE": "default"})
    lines = (repo.parent / "state" / "backend" / KEY / "logs" / "env.log").read_text().splitlines()
    assert {
        "EP=10.0.0.1",
        "MINE=from the worker",
        f"HERE={repo}",
        f"S={repo.parent / 'state'}",
        "GOFLAGS=-mod=mod",
        str(repo / "sub"),
    } <= set(lines)
    assert "canary" not in "\n".join(lines)


def test_a_failing_command(host: LocalBackendHost, repo: Path) -> None:
    """Exit code, the end of the log and where it is; the next run tries again."""
    with pytest.raises(StepFailed) as caught:
        run(host, repo, sh("bad", "echo reason; echo x >> ran; exit 3"))
    found = caught.value.diagnosis
    assert (found.what, found.evidence) == ("step bad exited with 3", "reason")
    assert "logs/bad.log" in found.do
    with pytest.raises(StepFailed):
        run(host, repo, sh("bad", "echo reason; echo x >> ran; exit 3"))
    assert count(repo / "ran") == 2


def test_a_command_that_cannot_be_run(host: LocalBackendHost, repo: Path) -> None:
    """An absent program and an absent directory are named."""
    with pytest.raises(StepFailed, match=r"cannot run \./nothing"):
        run(host, repo, Step(name="gone", command=["./nothing"]))
    with pytest.raises(StepFailed, match="no directory"):
        run(host, repo, Step(name="gone", command=["ls"], dir="sub"))
    with pytest.raises(SettingsInvalid, match="UNSET"):
        run(host, repo, Step(name="gone", command=["${UNSET}"]))


def test_a_timeout_ends_the_whole_group(host: LocalBackendHost, repo: Path) -> None:
    """Also the command's children, and it says which timeout it was."""
    step = sh("slow", "sleep 300 & echo $! > child; wait", timeout=1)
    with pytest.raises(StepFailed, match="ended after its timeout of 1 s"):
        run(host, repo, step)
    assert runner.identity(pid_in(repo / "child")) is None


def test_skipped_until_something_changes(host: LocalBackendHost, repo: Path) -> None:
    """Same inputs, argv, environment and outputs: skipped; any change of one of them runs it again."""
    (repo / "in.txt").write_text("1")
    script = "echo x >> ran; touch out"
    more = {"inputs": ["*.txt"], "outputs": ["out"]}

    def ran_after(change: Callable[[], object], step: Step) -> tuple[StepState, int]:
        change()
        return run(host, repo, step).state, count(repo / "ran")

    step = sh("build", script, **more)
    assert ran_after(lambda: None, step) == (StepState.DONE, 1)
    assert ran_after((repo / "in.txt").touch, step) == (StepState.SKIPPED, 1)
    assert ran_after(lambda: (repo / "in.txt").write_text("2"), step) == (StepState.DONE, 2)
    assert ran_after((repo / "out").unlink, step) == (StepState.DONE, 3)
    assert ran_after(lambda: None, step.model_copy(update={"env": {"A": "1"}})) == (StepState.DONE, 4)
    untracked = sh("build", script)
    assert ran_after(lambda: None, untracked) == (StepState.DONE, 5)
    assert ran_after(lambda: None, untracked) == (StepState.DONE, 6)


def test_outputs_that_are_not_made(host: LocalBackendHost, repo: Path) -> None:
    """A command that exits well without its outputs has failed."""
    with pytest.raises(StepFailed, match="did not make out"):
        run(host, repo, sh("build", "true", outputs=["out"]))


@pytest.mark.parametrize(
    "script", ["echo x >> ran; while [ ! -e go ]; do sleep 0.05; done; echo done", "echo x >> ran; exit 4"]
)
def test_a_command_survives_the_death_of_its_worker(
    host: LocalBackendHost, tmp_path: Path, repo: Path, script: str
) -> None:
    """After SIGKILL of the worker a retry takes the very same run's outcome, whether it goes on or has failed."""
    step = sh("setup", script)
    record = tmp_path / "state" / "backend" / KEY / "run" / "setup.command.json"
    if "exit" in script:  # the worker is stopped before it can take the outcome
        step = step.model_copy(update={"command": ["sh", "-c", f"sleep 0.5; {script}"]})
    started = worker(tmp_path / "state", request(repo, step))
    until(record.exists, "the command runs")
    started.kill()
    started.wait()
    if "exit" in script:
        until(lambda: "code" in (runner.read(record) or {}), "the command has ended")
        with pytest.raises(StepFailed, match="exited with 4"):
            run(host, repo, step)
    else:
        (repo / "go").touch()
        assert run(host, repo, step).detail == "done"
    assert count(repo / "ran") == 1


def test_two_workers_at_once_run_a_command_once(host: LocalBackendHost, repo: Path) -> None:
    """A worker that is taken for dead and its successor share one run."""
    step = sh("setup", "echo x >> ran; sleep 1; echo done")
    details: list[str] = []
    threads = [threading.Thread(target=lambda: details.append(run(host, repo, step).detail)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (details, count(repo / "ran")) == (["done"] * 4, 1)


class _Cancelled(Exception):
    pass


def test_a_cancelled_command_goes_on_until_it_is_stopped(host: LocalBackendHost, repo: Path) -> None:
    """Leaving is not stopping; `stop` ends it, with its children."""

    def beat(_: str) -> None:
        if (repo / "pid").exists():
            raise _Cancelled

    with pytest.raises(_Cancelled):
        run(host, repo, sh("setup", "echo $$ > pid; sleep 300"), beat)
    pid = pid_in(repo / "pid")
    assert runner.identity(pid) is not None
    assert stop(host, ["setup"]) == ["setup"]
    assert runner.identity(pid) is None


def test_processes_run_once_and_outlive_their_worker(host: LocalBackendHost, tmp_path: Path, repo: Path) -> None:
    """Started by a worker that is gone, found running by the next one, and never doubled."""
    step = process("serve", "echo $$ >> pids; exec sleep 300")
    started = worker(tmp_path / "state", request(repo, step))
    assert started.wait(30) == 0
    status = run(host, repo, step)
    assert (status.state, status.detail) == (StepState.RUNNING, "running already")
    assert (running(host), count(repo / "pids")) == (["serve"], 1)


def test_text_that_supervisord_would_misread(host: LocalBackendHost, repo: Path) -> None:
    """Percent signs, quotes, semicolons and newlines reach the process as they are."""
    odd = "50% ; 'a' \"b\"\n%(here)s"
    step = Step(
        name="odd", process=["sh", "-c", 'printf %s "$$1$$ODD" > out; exec sleep 300', "sh", odd], env={"ODD": odd}
    )
    run(host, repo, step)
    assert (repo / "out").read_text() == odd * 2


def test_a_changed_definition_or_program_restarts(host: LocalBackendHost, repo: Path) -> None:
    """Another argument, or a program built anew under the same name, is a new process; the others stay."""
    (repo / "serve").write_text("#!/bin/sh\necho $$ >> pids-$1; exec sleep 300\n")
    (repo / "serve").chmod(0o755)
    other = process("other", "echo $$ >> pids-other; exec sleep 300")
    step = Step(name="serve", process=["./serve", "a"])
    for one in (other, step):
        run(host, repo, one)
    first = pid_in(repo / "pids-a")
    again = step.model_copy(update={"process": ["./serve", "b"]})
    assert run(host, repo, again).detail == "restarted with a new definition"
    assert runner.identity(first) is None
    (repo / "serve").write_text("#!/bin/sh\n# new\necho $$ >> pids-$1; exec sleep 300\n")
    run(host, repo, again)
    assert (count(repo / "pids-b"), count(repo / "pids-other")) == (2, 1)
    assert running(host) == ["other", "serve"]


def test_a_process_that_does_not_stay_up(host: LocalBackendHost, repo: Path) -> None:
    """A taken port shows by the end of the log; after mending, the same step starts."""
    step = process("serve", "test -e mended || { echo bind: address already in use; exit 1; }; exec sleep 300")
    with pytest.raises(StepFailed) as caught:
        run(host, repo, step)
    assert caught.value.diagnosis.what == "process serve does not stay up (fatal)"
    assert "address already in use" in caught.value.diagnosis.evidence
    (repo / "mended").touch()
    assert run(host, repo, step).state == StepState.RUNNING
    with pytest.raises(StepFailed, match="no program bin/none"):
        run(host, repo, Step(name="none", process=["bin/none"]))


def test_everything_killed_is_repaired(host: LocalBackendHost, tmp_path: Path, repo: Path) -> None:
    """Supervisord and processes gone: running the step again brings each back once."""
    steps = [process(name, f"echo $$ >> pids-{name}; exec sleep 300") for name in ("one", "two")]
    for step in steps:
        run(host, repo, step)
    supervisor = pid_in(tmp_path / "state" / "backend" / KEY / "supervisord.pid")
    for pid in (supervisor, pid_in(repo / "pids-one"), pid_in(repo / "pids-two")):
        os.kill(pid, signal.SIGKILL)
    until(lambda: running(host) == [], "nothing runs")
    for step in steps:
        run(host, repo, step)
    assert running(host) == ["one", "two"]
    assert (count(repo / "pids-one"), count(repo / "pids-two")) == (2, 2)


def test_a_killed_supervisor_leaves_no_double(host: LocalBackendHost, tmp_path: Path, repo: Path) -> None:
    """A process whose supervisord alone was killed is ended before its successor starts, or by `stop`."""
    step = process("serve", "echo $$ >> pids; exec sleep 300")
    run(host, repo, step)
    first = pid_in(repo / "pids")
    os.kill(pid_in(tmp_path / "state" / "backend" / KEY / "supervisord.pid"), signal.SIGKILL)
    until(lambda: running(host) == [], "supervisord is gone")
    assert runner.identity(first) is not None
    run(host, repo, step)
    until(lambda: count(repo / "pids") == 2, "the successor runs")
    assert runner.identity(first) is None
    os.kill(pid_in(tmp_path / "state" / "backend" / KEY / "supervisord.pid"), signal.SIGKILL)
    until(lambda: running(host) == [], "supervisord is gone")
    assert stop(host) == ["serve"]
    assert runner.identity(pid_in(repo / "pids")) is None


def test_stopping(host: LocalBackendHost, tmp_path: Path, repo: Path) -> None:
    """One by name, then the rest and the supervisor; what does not run is fine; a stopped one stays stopped."""
    assert stop(host) == []
    for name in ("one", "two"):
        run(host, repo, process(name, f"echo $$ >> pids-{name}; exec sleep 300"))
    supervisor = pid_in(tmp_path / "state" / "backend" / KEY / "supervisord.pid")
    assert stop(host, ["one", "three"]) == ["one"]
    assert (running(host), runner.identity(pid_in(repo / "pids-one"))) == (["two"], None)
    assert stop(host) == ["two"]
    assert (runner.identity(pid_in(repo / "pids-two")), runner.identity(supervisor)) == (None, None)
    assert stop(host) == []


def test_a_long_state_directory(tmp_path: Path, repo: Path) -> None:
    """The socket moves to a short private path; nothing else changes."""
    host = LocalBackendHost(tmp_path / ("deep" * 30), ENVIRON)
    try:
        run(host, repo, process("serve", "exec sleep 300"))
        assert running(host) == ["serve"]
    finally:
        assert stop(host) == ["serve"]


def test_waiting_for_a_port_and_a_file(host: LocalBackendHost, repo: Path) -> None:
    """It returns once somebody listens, or the file is there; it beats until then."""
    told: list[str] = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        step = Step(name="ready", wait=Wait(tcp="127.0.0.1:${PORT}"))
        timer = threading.Timer(0.5, server.listen)
        timer.start()
        status = run(host, repo, step, told.append, variables={"PORT": str(server.getsockname()[1])})
        timer.join()
    assert (status.state, len(told) > 0) == (StepState.DONE, True)
    (repo / "here").touch()
    assert run(host, repo, Step(name="file", wait=Wait(file="here"))).state == StepState.DONE


def test_a_wait_that_ends_in_vain(host: LocalBackendHost, repo: Path) -> None:
    """Target and time are named, and the process that is down with the end of its log."""
    with pytest.raises(StepFailed):
        run(host, repo, process("serve", "echo no database; exit 1"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(StepFailed) as caught:
        run(host, repo, Step(name="ready", wait=Wait(tcp=target), timeout=1))
    found = caught.value.diagnosis
    assert found.what == f"step ready awaited tcp {target} for 1 s"
    assert "refused" in found.because
    assert "process serve is down: no database" in found.evidence
