"""`proverctl backend` as a subprocess against the real Temporal server, without a worker and with workers on fakes."""

import asyncio
import contextlib
import json
import os
import pty
import secrets
import signal
from typing import Any

import pytest
from temporalio.client import Client

from domain import names
from domain.errors import SettingsInvalid, StepFailed
from domain.messages.backend import BackendInput
from domain.profile import Profile, Step, StepState, StepStatus
from domain.spec import Backend, BackendMode, ClusterSpec, Endpoint, ImageTarget
from tests.support.command_line import BIN, PATIENCE, Cli, Deployed, Done, said
from workflows.backend.workflow import BackendWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")


def _there(deployed: Deployed) -> list[str]:
    """Return the flags that name the backend's host."""
    return deployed.here[2:]


def _states(done: Done) -> dict[str, str]:
    return {row["name"]: row["state"] for row in json.loads(done.out)["steps"]}


def _received(terminal: int) -> str:
    """Return all that was written to a terminal whose other side is closed, of which one read gives a part only."""
    parts = []
    with contextlib.suppress(OSError):
        while part := os.read(terminal, 1 << 16):
            parts.append(part)
    os.close(terminal)
    return b"".join(parts).decode()


def _profile(**changes: Any) -> Profile:
    steps = [
        Step(name="setup", command=["make"], purge=["build"]),
        Step(name="coordinator", process=["./coordinator"], needs=["setup"]),
    ]
    return Profile(name="example", steps=steps, purge=["data"], **changes)


# Nobody works


async def test_without_a_worker_up_ends_with_6(cli: Cli, client: Client) -> None:
    """Kubernetes and its worker are not needed, so no worker of that role is demanded."""
    assert client.namespace
    host = f"host-{secrets.token_hex(3)}"
    done = await cli("backend", "up", "--backend-host", host)
    assert (done.code, done.out) == (6, "")
    assert f"prover-deploy, prover-host.{host}" in done.err
    assert "prover-kube" not in done.err
    assert "--roles deploy,host" in done.err


async def test_status_without_a_worker(cli: Cli, client: Client) -> None:
    """The data is what Temporal keeps when the backend is unambiguous, else exit 6."""
    host = f"host-{secrets.token_hex(3)}"
    there = ["--backend-host", host]
    assert (await cli("backend", "status", *there)).code == 6
    done = await cli("backend", "status", "--name", "lost", *there)
    assert done.code == 1
    assert "nothing is up of backend lost" in done.err
    backend = Backend(host=host, repo="/repo")
    spec = ClusterSpec(coordinator=Endpoint(ip=""), image=ImageTarget(repository=""), backend=backend)
    handle = await client.start_workflow(
        BackendWorkflow.run,
        BackendInput(backend=backend, spec=spec, mode=BackendMode.REAL, profile_name="lost"),
        id=names.backend_id(host, "lost"),
        task_queue=names.DEPLOY_QUEUE,
    )
    done = await cli("backend", "status", "--name", "lost", *there, "-o", "json")
    assert done.code == 0
    assert (json.loads(done.out)["source"], json.loads(done.out)["backend"]) == ("temporal", "lost")
    assert "no worker answers" in done.err
    await handle.terminate("enough")
    done = await cli("backend", "status", "--name", "lost", *there)
    assert done.code == 1
    assert "(terminated)" in done.err


# Fakes work


async def test_the_life_of_a_backend(cli: Cli, deployed: Deployed) -> None:
    """Up, status, logs, restart, stop, purge: exit 0 each, data on stdout, words on stderr."""
    there = _there(deployed)
    deployed.world.profile = _profile()
    done = await cli("backend", "up", *there, "-o", "json")
    assert done.code == 0, done.err
    value = json.loads(done.out)
    assert (value["ok"], value["mode"], value["exit"], value["repo"]) == (True, "real", 0, "/repo")
    assert _states(done) == {"setup": "done", "coordinator": "running"}
    assert f"Look at it: proverctl backend status {' '.join(there)}" in done.err
    done = await cli("backend", "status", *there)
    assert done.code == 0, done.err
    assert "desired     up (since " in done.out
    assert "coordinator  process  running" in done.out
    assert f"workflows/prover-backend%2F{there[1]}%2Fexample" in done.out
    done = await cli("backend", "logs", "coordinator", *there)
    assert (done.code, done.out) == (0, "coordinator says hello\n")
    done = await cli("backend", "logs", "setup", "-f", *there)
    assert (done.code, done.out) == (0, "setup says hello\n" * 2)
    done = await cli("backend", "restart", "coordinator", *there)
    assert done.code == 0, done.err
    assert [one.again for name, one in deployed.world.calls if name == "run_step"] == [False, False, False, True]
    done = await cli("backend", "stop", *there)
    assert done.code == 0, done.err
    assert "its data stays" in done.err
    assert deployed.world.processes == []
    done = await cli("backend", "status", *there)
    assert (done.code, done.out) == (1, "")
    assert f"proverctl backend up {' '.join(there)}" in done.err
    done = await cli("backend", "purge", "--yes", *there)
    assert done.code == 0, done.err
    assert done.out == "deleted  data\n"
    assert "  build (step setup)" in done.err


async def test_nothing_up_is_told_with_the_command_that_brings_it_up(cli: Cli, deployed: Deployed) -> None:
    """Exit 1; and stopping what is not up is no failure, for something may run that only records know of."""
    there = _there(deployed)
    for words in (["status"], ["restart", "setup"]):
        done = await cli("backend", *words, *there)
        assert (done.code, done.out) == (1, "")
        assert "nothing is up of backend example" in done.err
        assert f"proverctl backend up {' '.join(there)}" in done.err
    assert (await cli("backend", "stop", "--name", "example", *there)).code == 0
    assert deployed.world.names()[-1] == "stop_backend"


async def test_a_failed_step_is_1_with_diagnosis_and_next_command(cli: Cli, deployed: Deployed) -> None:
    """First what, then why, then what to type; the table shows how far it came, and up goes on from there."""
    there = _there(deployed)
    failed = StepFailed("step setup ended with 3", on="make", evidence="no rule", do="mend the Makefile")
    deployed.world.faults["run_step"].append(failed)
    done = await cli("backend", "up", *there)
    assert done.code == 1
    assert "setup        command  failed" in done.out
    assert "coordinator  process  pending" in done.out
    said_ = done.err[done.err.index("backend example: up: failed") :].splitlines()
    assert said_[1:4] == [
        "  BACKEND_STEP: step setup ended with 3 on make",
        "  evidence: no rule",
        "  do: mend the Makefile",
    ]
    assert f"proverctl backend logs setup {' '.join(there)}" in done.err
    assert f"proverctl backend up {' '.join(there)}" in done.err
    assert (await cli("backend", "up", *there)).code == 0


async def test_the_faults_of_a_profile_are_told_one_a_line(cli: Cli, deployed: Deployed) -> None:
    """Exit 2, all at once, and nothing has run; where the name would do, that is said."""
    wrong = SettingsInvalid(["proverctl.yaml:3 steps.setup: no.", "COORDINATOR_EP is not set: step x uses it."])
    for words in (["up"], ["status"]):
        deployed.world.faults["load_profile"].append(wrong)
        done = await cli("backend", *words, *_there(deployed))
        assert (done.code, done.out) == (2, "")
        lines = done.err.splitlines()
        assert "  proverctl.yaml:3 steps.setup: no." in lines
        assert "  COORDINATOR_EP is not set: step x uses it." in lines
        assert ("--name NAME" in done.err) is (words == ["status"])
    assert "run_step" not in deployed.world.names()


async def test_a_step_that_is_none_is_2_with_those_that_are(cli: Cli, deployed: Deployed) -> None:
    """Before anything is stopped."""
    there = _there(deployed)
    assert (await cli("backend", "up", *there)).code == 0
    for words in (["restart", "setup", "nonsense"], ["logs", "nonsense"], ["up", "--redo", "nonsense"]):
        done = await cli("backend", *words, *there)
        assert (done.code, done.out) == (2, "")
        assert "has no step nonsense" in done.err
        assert "  coordinator" in done.err.splitlines()
    done = await cli("backend", "restart", "ticker", *there)
    assert done.code == 3
    assert "there is no step ticker to restart" in done.err
    assert deployed.world.processes == ["coordinator"]


async def test_a_time_out_and_an_interrupt_leave_it_going(cli: Cli, deployed: Deployed) -> None:
    """4 and 130, with the command that looks again; status works meanwhile and shows the step that works."""
    there = _there(deployed)
    deployed.world.faults["run_step"].append(deployed.world.hold)
    done = await cli("backend", "up", "--timeout", "3s", *there)
    assert (done.code, done.out) == (4, "")
    assert f"proverctl backend status {' '.join(there)}" in done.err
    assert "working on setup: held" in done.err
    process = await cli.begin("backend", "up", *there)
    await said(process, b"working on setup")
    process.send_signal(signal.SIGINT)
    done = await cli.end(process)
    assert done.code == 130
    assert "goes on" in done.err
    assert "setup        command  working" in (await cli("backend", "status", *there)).out
    deployed.world.held.set()
    assert (await cli("backend", "up", *there)).code == 0


async def test_no_wait_returns_once_accepted(cli: Cli, deployed: Deployed) -> None:
    """The request is the data; the work goes on."""
    deployed.world.faults["run_step"].append(deployed.world.hold)
    done = await cli("backend", "up", "--no-wait", "-o", "json", *_there(deployed))
    assert done.code == 0, done.err
    assert json.loads(done.out)["request"].startswith("backend-up-")
    deployed.world.held.set()
    assert (await cli("backend", "up", *_there(deployed))).code == 0


async def test_the_simulated_data_comes_and_goes(cli: Cli, deployed: Deployed) -> None:
    """--simulated starts the ticker, --real stops it and says so, --force stops everything first."""
    there = _there(deployed)
    done = await cli("backend", "up", "--simulated", "-o", "json", *there)
    assert _states(done)["ticker"] == "running"
    done = await cli("backend", "up", "-o", "json", *there)
    assert _states(done)["ticker"] == "stopped"
    assert deployed.world.processes == ["coordinator"]
    assert (await cli("backend", "up", "--force", *there)).code == 0
    assert "stop_backend" in deployed.world.names()


async def test_what_fails_later_is_seen_in_status(cli: Cli, deployed: Deployed) -> None:
    """The diagnosis in rows, and the state of the step with the reason."""
    there = _there(deployed)
    assert (await cli("backend", "up", *there)).code == 0
    gone = StepStatus(name="coordinator", kind="process", state=StepState.FAILED, detail="exited with 9")
    deployed.world.observed["coordinator"] = gone

    async def look() -> str:
        return (await cli("backend", "status", *there)).out

    text = await look()
    while "exited with 9" not in text:  # the watch sees it within moments
        text = await look()
    assert "BACKEND_DOWN: step coordinator does not run any more" in text
    assert "proverctl backend restart coordinator" in text


async def test_tear_down_may_stop_and_purge_the_backend(cli: Cli, deployed: Deployed) -> None:
    """The data to delete is listed first; that of another backend than this deployment's is refused."""
    deployed.world.profile = _profile()
    deploy = [*deployed.here, "--circuit-dir", "circuit"]
    (cli.directory / "proverctl.yaml").write_text("")
    assert (await cli("setup-all", *deploy, "--backend-repo", str(cli.directory))).code == 0
    deployed.world.profile = _profile().model_copy(update={"name": "other"})
    words = ["tear-down", "--backend", "--purge", "--yes", *deployed.here]
    done = await cli(*words)
    assert done.code == 2
    assert f"this deployment's backend is prover-backend/{deployed.here[-1]}/example" in done.err
    deployed.world.profile = _profile()
    done = await cli(*words)
    assert done.code == 0, done.err
    assert "  build (step setup)" in done.err
    assert "data data" in done.err
    assert deployed.world.processes == []


@pytest.mark.parametrize(("typed", "code"), [("example", 0), ("exampel", 2)])
async def test_purge_asks_for_the_name_of_the_profile(cli: Cli, deployed: Deployed, typed: str, code: int) -> None:
    """The command continues with the right name alone."""
    ours, theirs = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        str(BIN / "proverctl"),
        *("backend", "purge", *_there(deployed)),
        env={**cli.environ, "TERM": "dumb"},
        cwd=cli.directory,
        stdin=theirs,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, f"{typed}\n".encode())
    async with asyncio.timeout(PATIENCE):
        assert await process.wait() == code
    said_ = _received(ours)
    assert "Type the profile's name to delete this (example)" in said_
    assert ("nothing was stopped or deleted" in said_) is (code == 2)
    assert ("purge_backend" in deployed.world.names()) is (code == 0)


async def test_a_deploy_shows_the_steps_of_its_backend(cli: Cli, deployed: Deployed) -> None:
    """The line has the steps under way and their last texts; after a failure, the commands to look closer."""
    deployed.world.faults["run_step"].append(deployed.world.hold)
    (cli.directory / "proverctl.yaml").write_text("")
    deploy = ["setup-all", *deployed.here, "--backend-repo", str(cli.directory)]
    process = await cli.begin(*deploy)
    await said(process, b"1 of 3 steps settled, working on setup; held")
    deployed.world.faults["run_step"].append(StepFailed("step coordinator died"))
    deployed.world.held.set()
    done = await cli.end(process)
    assert done.code == 1
    assert "step coordinator died" in done.err
    assert f"proverctl backend status --backend-repo {cli.directory}" in done.err
