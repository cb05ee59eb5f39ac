"""Functions of a bash file: their shell, what they leave running, and the values that they hand on."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.backend.host import LocalBackendHost
from clients.backend.job import StepFiles
from clients.backend.processes import runner
from domain.errors import StepFailed
from domain.profile import Step, StepState
from tests.support.backend.host import (
    ENVIRON,
    KEY,
    count,
    function,
    pid_in,
    request,
    run,
    running,
    sh,
    stop,
    until,
    worker,
)
from tests.support.ports import free_port

_RUN_SH = """
set -e
[ -z "$AS_RESOURCE" ] && exit 9
[ -n "$DIRTY" ] && exit 0
build() { echo "in $(pwd) with $# arguments, $EXTRA"; ADDR=0xabc; echo "genesis root 0x1"; echo "genesis root 0x2"; }
fails() { echo before; false; echo after; }
exits() { ADDR=0xdef; exit 0; }
serve() { echo x >> calls; nohup ./serve "${PORT:-0}" >> serve.log 2>&1 & }
two() { echo x >> calls; nohup ./serve 0 & nohup ./other/serve 0 & }
dies() { nohup sh -c 'echo no database; exit 1' & }
daemon() { echo x >> calls; (setsid setsid ./serve 0 > /dev/null 2>&1 &) ; }
hidden() { echo x >> calls; env -i PATH="$PATH" setsid ./serve 0 > /dev/null 2>&1 & }
traced() { echo made; [ -z "$BROKEN" ] || { echo "no such circuit" >&2; return 3; }; }
strict() { echo made; [ -z "$BROKEN" ] || { echo "no such circuit" >&2; exit 3; }; }
slow() { echo x >> calls; while [ ! -e go ]; do sleep 0.05; done; nohup ./serve 0 > /dev/null 2>&1 & }
"""
_SERVE = f"""#!{sys.executable}
from tests.support.ports import free_port
import os, pathlib, socket, sys, time
time.sleep(float(os.environ.get("DELAY", "0")))
server = socket.create_server(("127.0.0.1", int(sys.argv[1]))) if int(sys.argv[1]) else None
with pathlib.Path("pids").open("a") as file:
    file.write(f"{{os.getpid()}}\\n")
while True:
    time.sleep(60)
"""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with `run.sh` and a program that functions leave."""
    repo = tmp_path / "repo"
    (repo / "other").mkdir(parents=True)
    (repo / "run.sh").write_text(_RUN_SH)
    for path in (repo / "serve", repo / "other" / "serve"):
        path.write_text(_SERVE)
        path.chmod(0o755)
    return repo


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LocalBackendHost]:
    """A backend host whose processes are all stopped in the end."""
    host = LocalBackendHost(tmp_path / "state", ENVIRON)
    yield host
    stop(host)


@pytest.fixture
def leaves() -> dict[str, object]:
    """The program of the repository."""
    return {"leaves": [{"program": "./serve"}]}


def _by_hand(repo: Path) -> "subprocess.Popen[bytes]":
    started = subprocess.Popen(["./serve", "0"], cwd=repo)
    until(lambda: str(started.pid) in ((repo / "pids").read_text() if (repo / "pids").exists() else ""), "it runs")
    return started


def test_a_function_in_its_shell(host: LocalBackendHost, tmp_path: Path, repo: Path) -> None:
    """It runs in the step's directory, without arguments, with its own environment, and hands on values."""
    values = {"ADDR": {"variable": "ADDR"}, "ROOT": {"log": "genesis root (0x\\d+)"}}
    status = run(host, repo, function("build", env={"EXTRA": "mine"}, values=values))
    assert (status.state, status.kind, status.detail) == (StepState.DONE, "function", "ADDR=0xabc, ROOT=0x2")
    log = (tmp_path / "state" / "backend" / KEY / "logs" / "build.log").read_text()
    assert f"in {repo} with 0 arguments, mine" in log
    assert (
        run(host, repo, sh("later", "echo got").model_copy(update={"command": ["echo", "${ADDR}"]})).detail == "0xabc"
    )


@pytest.mark.parametrize("name", ["traced", "strict"])
def test_our_own_commands_are_not_traced(host: LocalBackendHost, tmp_path: Path, repo: Path, name: str) -> None:
    """With `set -x` in the file the function's own trace is in the log, and its last word is the last line."""
    (repo / "run.sh").write_text(f"set -x -e\n{_RUN_SH}")
    log = tmp_path / "state" / "backend" / KEY / "logs" / f"{name}.log"
    assert run(host, repo, function(name, values={"A": {"variable": "AS_RESOURCE"}})).state == StepState.DONE
    assert "+ echo made" in log.read_text()
    assert "__pc" not in log.read_text()
    assert run(host, repo, function(name)).detail == "made"
    with pytest.raises(StepFailed, match="exited with 3") as caught:
        run(host, repo, function(name, env={"BROKEN": "1"}))
    assert "__pc" not in caught.value.diagnosis.evidence
    assert caught.value.diagnosis.evidence.splitlines()[-2] == "no such circuit"  # before the trace of `exit`


def test_how_functions_end(host: LocalBackendHost, repo: Path) -> None:
    """`set -e`, `exit`, an absent function and a file that exits while it is sourced all are what they are."""
    with pytest.raises(StepFailed, match="exited with 1") as caught:
        run(host, repo, function("fails"))
    assert caught.value.diagnosis.evidence == "before"
    assert run(host, repo, function("exits", values={"ADDR": {"variable": "ADDR"}})).detail == "ADDR=0xdef"
    with pytest.raises(StepFailed, match="has no function nothing"):
        run(host, repo, function("nothing"))
    with pytest.raises(StepFailed, match="exited with 0 before build could be called"):
        run(host, repo, function("build", env={"DIRTY": "1"}))


def test_a_value_that_is_not_there(host: LocalBackendHost, repo: Path) -> None:
    """All that lack are named with where they were looked for; a file's value is its text or its last match."""
    values = {"A": {"variable": "NONE"}, "B": {"log": "no (such)"}, "C": {"file": "gone.env"}}
    with pytest.raises(StepFailed) as caught:
        run(host, repo, function("build", values=values))
    found = caught.value.diagnosis
    assert found.what == "step build does not hand on A, B, C"
    assert "the shell of function build" in found.because
    assert "logs/build.log by 'no (such)'" in found.because
    assert f"{repo}/gone.env" in found.because
    (repo / "x.1.env").write_text("ADDR=1\nADDR=2\n")
    (repo / "whole").write_text(" text\n")
    values = {"A": {"file": "x.*.env", "match": "^ADDR=(.*)$"}, "B": {"file": "whole"}}
    assert run(host, repo, function("build", values=values)).detail == "A=2, B=text"


def test_what_a_function_leaves_is_awaited_and_not_doubled(
    host: LocalBackendHost, repo: Path, leaves: dict[str, object]
) -> None:
    """Done once the process runs, listens and is ready; the next run finds it; after its end the function is called."""
    port = str(free_port())
    step = function(
        "serve", env={"PORT": port, "DELAY": "0.7"}, ports=[port], ready={"tcp": f"127.0.0.1:{port}"}, **leaves
    )
    status = run(host, repo, step)
    first = pid_in(repo / "pids")
    assert (status.state, status.detail) == (StepState.RUNNING, f"pid {first}")
    with socket.create_connection(("127.0.0.1", int(port)), timeout=5):
        pass
    assert run(host, repo, step).detail == "running already"
    assert (running(host), count(repo / "calls")) == (["serve"], 1)
    os.kill(first, signal.SIGKILL)
    until(lambda: runner.identity(first) is None, "it is gone")
    (row,) = host.observe(KEY)
    assert (row.state, "./serve does not run" in row.detail) == (StepState.FAILED, True)
    assert run(host, repo, step).state == StepState.RUNNING
    until(lambda: count(repo / "pids") == 2, "it runs again")
    assert count(repo / "calls") == 2


def test_another_environment_or_asking_again_replaces(
    host: LocalBackendHost, repo: Path, leaves: dict[str, object]
) -> None:
    """What was started with another value, or is to be done again, is ended before the function is called anew."""
    step = function("serve", env={"ADDR": "1"}, **leaves)
    run(host, repo, step)
    first = pid_in(repo / "pids")
    run(host, repo, step.model_copy(update={"env": {"ADDR": "2"}}))
    until(lambda: count(repo / "pids") == 2, "the second runs")
    second = pid_in(repo / "pids")
    assert (runner.identity(first), count(repo / "calls")) == (None, 2)
    run(host, repo, step.model_copy(update={"env": {"ADDR": "2"}}), again=True)
    until(lambda: count(repo / "pids") == 3, "the third runs")
    assert (runner.identity(second), count(repo / "calls"), count(repo / "pids")) == (None, 3, 3)


def test_one_of_two_is_gone(host: LocalBackendHost, repo: Path) -> None:
    """The rest is ended first, so that calling the function again doubles nothing."""
    step = function("two", leaves=[{"program": "./serve"}, {"program": "other/serve"}])
    run(host, repo, step)
    until(lambda: count(repo / "pids") == 2, "both run")
    first, second = map(int, (repo / "pids").read_text().split())
    os.kill(first, signal.SIGKILL)
    until(lambda: runner.identity(first) is None, "one is gone")
    run(host, repo, step)
    assert (runner.identity(second), count(repo / "calls")) == (None, 2)
    until(lambda: count(repo / "pids") == 4, "both run anew")


def test_what_dies_at_once(host: LocalBackendHost, repo: Path, leaves: dict[str, object]) -> None:
    """It is noticed long before the timeout, with the end of the log."""
    with pytest.raises(StepFailed) as caught:
        run(host, repo, function("dies", timeout=300, **leaves))
    found = caught.value.diagnosis
    assert "./serve does not run" in found.what
    assert "no database" in found.evidence


@pytest.mark.parametrize("name", ["daemon", "hidden"])
def test_daemons_are_found(host: LocalBackendHost, repo: Path, leaves: dict[str, object], name: str) -> None:
    """Whatever session they made, and even without their environment, they are found, kept, and stopped."""
    step = function(name, **leaves)
    run(host, repo, step)
    pid = pid_in(repo / "pids")
    assert run(host, repo, step).state == StepState.RUNNING
    assert count(repo / "calls") == 1
    assert stop(host, [name]) == [name]
    assert runner.identity(pid) is None


def test_started_by_hand(host: LocalBackendHost, repo: Path, leaves: dict[str, object]) -> None:
    """A process that somebody started is adopted: the function is not called, later runs know it, stop ends it."""
    started = _by_hand(repo)
    try:
        step = function("serve", **leaves)
        status = run(host, repo, step)
        assert (status.detail, count(repo / "calls")) == (_adopted(started.pid), 0)
        assert run(host, repo, step).detail == "running already"
        assert stop(host) == ["serve"]
        assert started.wait(10) == -signal.SIGTERM
    finally:
        started.kill()
        started.wait()


def test_an_adopted_process_on_another_port_is_told(
    host: LocalBackendHost, repo: Path, leaves: dict[str, object]
) -> None:
    """While its port is awaited, and when the time is over."""
    port, started, told = free_port(), _by_hand(repo), list[str]()
    try:
        with pytest.raises(StepFailed, match="does not run") as caught:
            run(host, repo, function("serve", ports=[str(port)], timeout=2, **leaves), told.append)
    finally:
        started.kill()
        started.wait()
    expected = f"{_adopted(started.pid)}, nobody listens on port {port}"
    assert expected in caught.value.diagnosis.because
    assert any(expected in line for line in told)


def _adopted(pid: int) -> str:
    return f"adopted process {pid} that was started by somebody else"


@pytest.mark.parametrize("moment", ["called", "returned"])
def test_the_worker_dies(
    host: LocalBackendHost, tmp_path: Path, repo: Path, leaves: dict[str, object], moment: str
) -> None:
    """Killed while the function runs, or while it waits for what is left: one call, one process, same end."""
    step = function("slow", env={"DELAY": "1"}, **leaves)
    started = worker(tmp_path / "state", request(repo, step))
    until(lambda: count(repo / "calls") == 1, "the function runs")
    if moment == "returned":
        (repo / "go").touch()
        record = StepFiles(tmp_path / "state" / "backend" / KEY, "slow").record
        until(lambda: "code" in (runner.read(record) or {}), "it has returned")
    started.kill()
    started.wait()
    (repo / "go").touch()
    assert run(host, repo, step).state == StepState.RUNNING
    pid_in(repo / "pids")
    assert (count(repo / "calls"), count(repo / "pids")) == (1, 1)


def test_killed_at_any_time(tmp_path: Path, repo: Path, host: LocalBackendHost, leaves: dict[str, object]) -> None:
    """Between any two lines from the start to the end, and in the end one process of one call."""
    step = function("serve", **leaves)
    for tenths in range(3, 14, 2):
        started = worker(tmp_path / "state", request(repo, step))
        try:
            started.wait(tenths / 10)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()
    assert run(host, repo, step).state == StepState.RUNNING
    pid_in(repo / "pids")
    assert (count(repo / "calls"), count(repo / "pids")) == (1, 1)


def test_two_workers_at_once(host: LocalBackendHost, repo: Path, leaves: dict[str, object]) -> None:
    """One call, one process, and both come to the same state."""
    step = function("serve", env={"DELAY": "0.5"}, **leaves)
    states: list[StepState] = []
    threads = [threading.Thread(target=lambda: states.append(run(host, repo, step).state)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pid_in(repo / "pids")
    assert (states, count(repo / "calls"), count(repo / "pids")) == ([StepState.RUNNING] * 4, 1, 1)


def test_a_port_that_somebody_else_holds(host: LocalBackendHost, repo: Path, leaves: dict[str, object]) -> None:
    """Address, pid and command are named before anything starts, and whose step it is when it is one of ours."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        for step in (
            function("serve", env={"PORT": port}, ports=[port], **leaves),
            Step(name="p", process=["./serve", port], ports=[port]),
        ):
            with pytest.raises(StepFailed) as caught:
                run(host, repo, step)
            found = caught.value.diagnosis
            assert (found.code, f"127.0.0.1:{port} is held by process {os.getpid()} (" in found.because) == (
                "PORT_IN_USE",
                True,
            )
    assert count(repo / "calls") == 0
    run(host, repo, function("serve", env={"PORT": port}, ports=[port], **leaves))
    with pytest.raises(StepFailed, match=f"step serve of backend {KEY}"):
        run(host, repo, Step(name="p", process=["./serve", port], ports=[port]))
    assert stop(host, ["serve"]) == ["serve"]
    assert run(host, repo, Step(name="p", process=["./serve", port], ports=[port])).state == StepState.RUNNING


def test_a_port_that_its_own_earlier_process_still_holds(host: LocalBackendHost, repo: Path) -> None:
    """An orphan of the step that is about to end delays the start; it is neither killed nor reported."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    keep = f"import socket, time; server = socket.create_server(('127.0.0.1', {port})); time.sleep(3)"
    orphan = f'setsid {sys.executable} -c "{keep}" & exec sleep 300'
    left = Step(name="p", process=["bash", "-c", orphan], ports=[port])
    assert run(host, repo, left).state == StepState.RUNNING
    assert stop(host, ["p"]) == ["p"]
    assert run(host, repo, Step(name="p", process=["./serve", port], ports=[port])).state == StepState.RUNNING
    assert count(repo / "pids") == 1
