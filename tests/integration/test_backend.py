"""The backend host with real commands, a real supervisord and real deaths."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clients import runner
from clients.backend import LocalBackendHost
from domain.errors import SettingsInvalid, StepFailed
from domain.profile import Step, StepState, Wait

_KEY = "demo"
_ENVIRON = {**os.environ, "IMAGE_AUTH_PASSWORD": "canary", "TEMPORAL_API_KEY": "canary", "GOFLAGS": "-mod=mod"}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """An empty backend repository."""
    (tmp_path / "repo").mkdir()
    return tmp_path / "repo"


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LocalBackendHost]:
    """A backend host, all of whose processes are stopped in the end."""
    host = LocalBackendHost(tmp_path / "state", _ENVIRON)
    yield host
    host.stop(_KEY)


def _sh(name: str, script: str, **more: object) -> Step:
    return Step.model_validate({"name": name, "command": ["sh", "-c", script.replace("$", "$$")], **more})


def _process(name: str, script: str, **more: object) -> Step:
    return Step.model_validate({"name": name, "process": ["sh", "-c", script.replace("$", "$$")], **more})


def _quiet(_: str) -> None:
    return


def _until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def _count(path: Path) -> int:
    return len(path.read_text().splitlines()) if path.exists() else 0


def _pid(path: Path) -> int:
    _until(lambda: path.exists() and path.read_text().strip() != "", f"{path} holds a pid")
    return int(path.read_text().split()[-1])


def test_a_command_tells_its_last_line(host: LocalBackendHost, repo: Path) -> None:
    """Output goes to the log, its last line into beats and result."""
    told: list[str] = []
    status = host.run(_KEY, str(repo), _sh("build", "echo one; sleep 1.5; echo two"), {}, told.append)
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
    environ = {**_ENVIRON, "MINE": "from the worker"}
    host = LocalBackendHost(repo.parent / "state", environ)
    host.run(_KEY, str(repo), step, {"COORDINATOR_EP": "10.0.0.1"}, _quiet, {"MINE": "default"})
    lines = (repo.parent / "state" / "backend" / _KEY / "logs" / "env.log").read_text().splitlines()
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
        host.run(_KEY, str(repo), _sh("bad", "echo reason; echo x >> ran; exit 3"), {}, _quiet)
    found = caught.value.diagnosis
    assert (found.what, found.evidence) == ("step bad exited with 3", "reason")
    assert "logs/bad.log" in found.do
    with pytest.raises(StepFailed):
        host.run(_KEY, str(repo), _sh("bad", "echo reason; echo x >> ran; exit 3"), {}, _quiet)
    assert _count(repo / "ran") == 2


def test_a_command_that_cannot_be_run(host: LocalBackendHost, repo: Path) -> None:
    """An absent program and an absent directory are named."""
    with pytest.raises(StepFailed, match=r"cannot run \./nothing"):
        host.run(_KEY, str(repo), Step(name="gone", command=["./nothing"]), {}, _quiet)
    with pytest.raises(StepFailed, match="no directory"):
        host.run(_KEY, str(repo), Step(name="gone", command=["ls"], dir="sub"), {}, _quiet)
    with pytest.raises(SettingsInvalid, match="UNSET"):
        host.run(_KEY, str(repo), Step(name="gone", command=["${UNSET}"]), {}, _quiet)


def test_a_timeout_ends_the_whole_group(host: LocalBackendHost, repo: Path) -> None:
    """Also the command's children, and it says which timeout it was."""
    step = _sh("slow", "sleep 300 & echo $! > child; wait", timeout=1)
    with pytest.raises(StepFailed, match="ended after its timeout of 1 s"):
        host.run(_KEY, str(repo), step, {}, _quiet)
    assert runner.identity(_pid(repo / "child")) is None


def test_skipped_until_something_changes(host: LocalBackendHost, repo: Path) -> None:
    """Same inputs, argv, environment and outputs: skipped; any change of one of them runs it again."""
    (repo / "in.txt").write_text("1")
    script = "echo x >> ran; touch out"
    more = {"inputs": ["*.txt"], "outputs": ["out"]}

    def ran_after(change: Callable[[], object], step: Step) -> tuple[StepState, int]:
        change()
        return host.run(_KEY, str(repo), step, {}, _quiet).state, _count(repo / "ran")

    step = _sh("build", script, **more)
    assert ran_after(lambda: None, step) == (StepState.DONE, 1)
    assert ran_after((repo / "in.txt").touch, step) == (StepState.SKIPPED, 1)
    assert ran_after(lambda: (repo / "in.txt").write_text("2"), step) == (StepState.DONE, 2)
    assert ran_after((repo / "out").unlink, step) == (StepState.DONE, 3)
    assert ran_after(lambda: None, step.model_copy(update={"env": {"A": "1"}})) == (StepState.DONE, 4)
    untracked = _sh("build", script)
    assert ran_after(lambda: None, untracked) == (StepState.DONE, 5)
    assert ran_after(lambda: None, untracked) == (StepState.DONE, 6)


def test_outputs_that_are_not_made(host: LocalBackendHost, repo: Path) -> None:
    """A command that exits well without its outputs has failed."""
    with pytest.raises(StepFailed, match="did not make out"):
        host.run(_KEY, str(repo), _sh("build", "true", outputs=["out"]), {}, _quiet)


_STARTER = """
import os, sys
from pathlib import Path
from clients.backend import LocalBackendHost
from domain.profile import Step
host = LocalBackendHost(Path(sys.argv[1]), os.environ)
host.run("demo", sys.argv[2], Step.model_validate_json(sys.argv[3]), {}, lambda _: None)
"""


def _worker(tmp_path: Path, repo: Path, step: Step) -> "subprocess.Popen[bytes]":
    arguments = [str(tmp_path / "state"), str(repo), step.model_dump_json()]
    return subprocess.Popen([sys.executable, "-c", _STARTER, *arguments])


@pytest.mark.parametrize(
    "script", ["echo x >> ran; while [ ! -e go ]; do sleep 0.05; done; echo done", "echo x >> ran; exit 4"]
)
def test_a_command_survives_the_death_of_its_worker(
    host: LocalBackendHost, tmp_path: Path, repo: Path, script: str
) -> None:
    """After SIGKILL of the worker a retry takes the very same run's outcome, whether it goes on or has failed."""
    step = _sh("setup", script)
    record = tmp_path / "state" / "backend" / _KEY / "run" / "setup.command.json"
    if "exit" in script:  # the worker is stopped before it can take the outcome
        worker = _worker(tmp_path, repo, step.model_copy(update={"command": ["sh", "-c", f"sleep 0.5; {script}"]}))
        step = step.model_copy(update={"command": ["sh", "-c", f"sleep 0.5; {script}"]})
    else:
        worker = _worker(tmp_path, repo, step)
    _until(record.exists, "the command runs")
    worker.kill()
    worker.wait()
    if "exit" in script:
        _until(lambda: "code" in (runner.read(record) or {}), "the command has ended")
        with pytest.raises(StepFailed, match="exited with 4"):
            host.run(_KEY, str(repo), step, {}, _quiet)
    else:
        (repo / "go").touch()
        assert host.run(_KEY, str(repo), step, {}, _quiet).detail == "done"
    assert _count(repo / "ran") == 1


def test_two_workers_at_once_run_a_command_once(host: LocalBackendHost, repo: Path) -> None:
    """A worker that is taken for dead and its successor share one run."""
    step = _sh("setup", "echo x >> ran; sleep 1; echo done")
    details: list[str] = []
    threads = [
        threading.Thread(target=lambda: details.append(host.run(_KEY, str(repo), step, {}, _quiet).detail))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (details, _count(repo / "ran")) == (["done"] * 4, 1)


class _Cancelled(Exception):
    pass


def test_a_cancelled_command_goes_on_until_it_is_stopped(host: LocalBackendHost, repo: Path) -> None:
    """Leaving is not stopping; `stop` ends it, with its children."""

    def beat(_: str) -> None:
        if (repo / "pid").exists():
            raise _Cancelled

    with pytest.raises(_Cancelled):
        host.run(_KEY, str(repo), _sh("setup", "echo $$ > pid; sleep 300"), {}, beat)
    pid = _pid(repo / "pid")
    assert runner.identity(pid) is not None
    assert host.stop(_KEY, ["setup"]) == ["setup"]
    assert runner.identity(pid) is None


def test_processes_run_once_and_outlive_their_worker(host: LocalBackendHost, tmp_path: Path, repo: Path) -> None:
    """Started by a worker that is gone, found running by the next one, and never doubled."""
    step = _process("serve", "echo $$ >> pids; exec sleep 300")
    worker = _worker(tmp_path, repo, step)
    assert worker.wait(30) == 0
    status = host.run(_KEY, str(repo), step, {}, _quiet)
    assert (status.state, status.detail) == (StepState.RUNNING, "running already")
    assert (host.running(_KEY), _count(repo / "pids")) == (["serve"], 1)


def test_text_that_supervisord_would_misread(host: LocalBackendHost, repo: Path) -> None:
    """Percent signs, quotes, semicolons and newlines reach the process as they are."""
    odd = "50% ; 'a' \"b\"\n%(here)s"
    step = Step(
        name="odd", process=["sh", "-c", 'printf %s "$$1$$ODD" > out; exec sleep 300', "sh", odd], env={"ODD": odd}
    )
    host.run(_KEY, str(repo), step, {}, _quiet)
    assert (repo / "out").read_text() == odd * 2


def test_a_changed_definition_or_program_restarts(host: LocalBackendHost, repo: Path) -> None:
    """Another argument, or a program built anew under the same name, is a new process; the others stay."""
    (repo / "serve").write_text("#!/bin/sh\necho $$ >> pids-$1; exec sleep 300\n")
    (repo / "serve").chmod(0o755)
    other = _process("other", "echo $$ >> pids-other; exec sleep 300")
    step = Step(name="serve", process=["./serve", "a"])
    for one in (other, step):
        host.run(_KEY, str(repo), one, {}, _quiet)
    first = _pid(repo / "pids-a")
    again = step.model_copy(update={"process": ["./serve", "b"]})
    assert host.run(_KEY, str(repo), again, {}, _quiet).detail == "restarted with a new definition"
    assert runner.identity(first) is None
    (repo / "serve").write_text("#!/bin/sh\n# new\necho $$ >> pids-$1; exec sleep 300\n")
    host.run(_KEY, str(repo), again, {}, _quiet)
    assert (_count(repo / "pids-b"), _count(repo / "pids-other")) == (2, 1)
    assert host.running(_KEY) == ["other", "serve"]


def test_a_process_that_does_not_stay_up(host: LocalBackendHost, repo: Path) -> None:
    """A taken port shows by the end of the log; after mending, the same step starts."""
    step = _process("serve", "test -e mended || { echo bind: address already in use; exit 1; }; exec sleep 300")
    with pytest.raises(StepFailed) as caught:
        host.run(_KEY, str(repo), step, {}, _quiet)
    assert caught.value.diagnosis.what == "process serve does not stay up (fatal)"
    assert "address already in use" in caught.value.diagnosis.evidence
    (repo / "mended").touch()
    assert host.run(_KEY, str(repo), step, {}, _quiet).state == StepState.RUNNING
    with pytest.raises(StepFailed, match="no program bin/none"):
        host.run(_KEY, str(repo), Step(name="none", process=["bin/none"]), {}, _quiet)


def test_everything_killed_is_repaired(host: LocalBackendHost, tmp_path: Path, repo: Path) -> None:
    """Supervisord and processes gone: running the step again brings each back once."""
    steps = [_process(name, f"echo $$ >> pids-{name}; exec sleep 300") for name in ("one", "two")]
    for step in steps:
        host.run(_KEY, str(repo), step, {}, _quiet)
    supervisor = _pid(tmp_path / "state" / "backend" / _KEY / "supervisord.pid")
    for pid in (supervisor, _pid(repo / "pids-one"), _pid(repo / "pids-two")):
        os.kill(pid, signal.SIGKILL)
    _until(lambda: host.running(_KEY) == [], "nothing runs")
    for step in steps:
        host.run(_KEY, str(repo), step, {}, _quiet)
    assert host.running(_KEY) == ["one", "two"]
    assert (_count(repo / "pids-one"), _count(repo / "pids-two")) == (2, 2)


def test_a_killed_supervisor_leaves_no_double(host: LocalBackendHost, tmp_path: Path, repo: Path) -> None:
    """A process whose supervisord alone was killed is ended before its successor starts, or by `stop`."""
    step = _process("serve", "echo $$ >> pids; exec sleep 300")
    host.run(_KEY, str(repo), step, {}, _quiet)
    first = _pid(repo / "pids")
    os.kill(_pid(tmp_path / "state" / "backend" / _KEY / "supervisord.pid"), signal.SIGKILL)
    _until(lambda: host.running(_KEY) == [], "supervisord is gone")
    assert runner.identity(first) is not None
    host.run(_KEY, str(repo), step, {}, _quiet)
    _until(lambda: _count(repo / "pids") == 2, "the successor runs")
    assert runner.identity(first) is None
    os.kill(_pid(tmp_path / "state" / "backend" / _KEY / "supervisord.pid"), signal.SIGKILL)
    _until(lambda: host.running(_KEY) == [], "supervisord is gone")
    assert host.stop(_KEY) == ["serve"]
    assert runner.identity(_pid(repo / "pids")) is None


def test_stopping(host: LocalBackendHost, tmp_path: Path, repo: Path) -> None:
    """One by name, then the rest and the supervisor; what does not run is fine; a stopped one stays stopped."""
    assert host.stop(_KEY) == []
    for name in ("one", "two"):
        host.run(_KEY, str(repo), _process(name, f"echo $$ >> pids-{name}; exec sleep 300"), {}, _quiet)
    supervisor = _pid(tmp_path / "state" / "backend" / _KEY / "supervisord.pid")
    assert host.stop(_KEY, ["one", "three"]) == ["one"]
    assert (host.running(_KEY), runner.identity(_pid(repo / "pids-one"))) == (["two"], None)
    assert host.stop(_KEY) == ["two"]
    assert (runner.identity(_pid(repo / "pids-two")), runner.identity(supervisor)) == (None, None)
    assert host.stop(_KEY) == []


def test_a_long_state_directory(tmp_path: Path, repo: Path) -> None:
    """The socket moves to a short private path; nothing else changes."""
    host = LocalBackendHost(tmp_path / ("deep" * 30), _ENVIRON)
    try:
        host.run(_KEY, str(repo), _process("serve", "exec sleep 300"), {}, _quiet)
        assert host.running(_KEY) == ["serve"]
    finally:
        assert host.stop(_KEY) == ["serve"]


def test_waiting_for_a_port_and_a_file(host: LocalBackendHost, repo: Path) -> None:
    """It returns once somebody listens, or the file is there; it beats until then."""
    told: list[str] = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        step = Step(name="ready", wait=Wait(tcp="127.0.0.1:${PORT}"))
        timer = threading.Timer(0.5, server.listen)
        timer.start()
        status = host.run(_KEY, str(repo), step, {"PORT": str(server.getsockname()[1])}, told.append)
        timer.join()
    assert (status.state, len(told) > 0) == (StepState.DONE, True)
    (repo / "here").touch()
    assert host.run(_KEY, str(repo), Step(name="file", wait=Wait(file="here")), {}, _quiet).state == StepState.DONE


def test_a_wait_that_ends_in_vain(host: LocalBackendHost, repo: Path) -> None:
    """Target and time are named, and the process that is down with the end of its log."""
    with pytest.raises(StepFailed):
        host.run(_KEY, str(repo), _process("serve", "echo no database; exit 1"), {}, _quiet)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        target = f"127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(StepFailed) as caught:
        host.run(_KEY, str(repo), Step(name="ready", wait=Wait(tcp=target), timeout=1), {}, _quiet)
    found = caught.value.diagnosis
    assert found.what == f"nothing accepts connections at {target} after 1 s"
    assert (found.because, "process serve is down: no database" in found.evidence) == (
        "[Errno 111] Connection refused",
        True,
    )
