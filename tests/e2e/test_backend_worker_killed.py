"""A worker that dies at the start, in the middle and at the end of every kind of step: everything happens once."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest
from temporalio.api.enums.v1 import PendingActivityState
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError

from domain import names
from domain.messages.backend import StepRequest
from sandbox.settings import REPOSITORY
from tests.support.ports import free_port
from tests.support.product.backend_profile import COMPOSE_PORT, FUNCTION_PORT, KINDS, PROCESS_PORT, Staged
from tests.support.product.installation import Product, until

STEP_SECONDS = 60.0  # seconds: a dead worker's heartbeat lasts 10


@pytest.fixture(scope="module")
def staged(world: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staged]:
    """Yield a backend of every kind, nothing of which runs yet, and a worker."""
    product = Product(world, tmp_path_factory.mktemp("death"), coordinator_port=free_port(), database_port=free_port())
    made = Staged(product)
    try:
        product.make_temporal_namespace()
        made.make()
        product.start_worker()
        yield made
    finally:
        for kind in KINDS:
            if made.gates.is_dir():
                made.open(kind)
        product.cli("backend", "stop")
        product.remove()


class Sight:
    """What Temporal knows of the steps that work at this moment; needs no worker."""

    def __init__(self, staged: Staged) -> None:
        self._staged = staged
        self._names: dict[str, str] = {}  # activity id → step

    def works(self, step: str) -> bool:
        """Whether the worker that runs now has begun this step."""
        return asyncio.run(self._works(step))

    async def _works(self, step: str) -> bool:
        product = self._staged.product
        client = await Client.connect(product.world["TEMPORAL_ADDRESS"], namespace=product.name)
        handle = client.get_workflow_handle(names.backend_id("local", self._staged.name))
        try:
            pending = (await handle.describe()).raw_description.pending_activities
        except RPCError:
            return False  # nobody has started it yet
        begun = PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
        mine = f"/{product.worker_pid}"
        ids = [one.activity_id for one in pending if one.state == begun and one.last_worker_identity.endswith(mine)]
        return step in [await self._name(handle, one) for one in ids]

    async def _name(self, handle: "WorkflowHandle[object, object]", activity_id: str) -> str:
        if activity_id not in self._names:
            async for event in handle.fetch_history_events():
                scheduled = event.activity_task_scheduled_event_attributes
                name = ""
                if scheduled.activity_type.name == "run_step":
                    name = StepRequest.model_validate_json(scheduled.input.payloads[0].data).step.name
                self._names[scheduled.activity_id] = name
        return self._names.get(activity_id, "")


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _ended(staged: Staged, kind: str) -> Callable[[], bool]:
    """Return a probe for this kind: whether the work of a step is over, noticed or not."""
    return {
        "function": lambda: _accepts(FUNCTION_PORT),
        "file": (staged.repo / "settings.conf").exists,
        "compose": lambda: "healthy" in _health(staged),
        "process": lambda: True,
        "wait": lambda: True,
    }.get(kind, lambda: staged.count(f"{kind}.ended") > 0)


def _begun(staged: Staged, kind: str) -> Callable[[], bool]:
    """Return a probe for this kind: whether a step's own work is under way."""
    marks = {"compose": "compose.pids", "process": "process.pids"}
    return {"wait": lambda: True}.get(kind, lambda: staged.count(marks.get(kind, f"{kind}.began")) > 0)


def _health(staged: Staged) -> list[str]:
    found = staged.containers()
    return staged.docker("inspect", "--format", "{{.State.Health.Status}}", *found).split() if found else []


def _running(staged: Staged, program: str) -> list[int]:
    return staged.product.processes(f"bin/{program}")


def _row(staged: Staged, name: str) -> dict[str, str]:
    report = json.loads(staged.product.cli("backend", "status", "-o", "json").stdout)
    found: dict[str, str] = next(row for row in report["steps"] if row["name"] == name)
    return found


@pytest.fixture(scope="module")
def brought_up(staged: Staged) -> int:
    """`backend up` while the worker is killed again and again; the number of kills."""
    product, sight, kills = staged.product, Sight(staged), 0
    up = product.begin("backend", "up")

    def kill_when(condition: Callable[[], bool], what: str) -> None:
        nonlocal kills
        until(condition, seconds=STEP_SECONDS, what=what)
        product.kill_worker()
        kills += 1
        product.start_worker()

    def disturb(kind: str) -> None:
        works, begun = partial(sight.works, kind), _begun(staged, kind)
        if kind != "file":  # written at once: there is a before, which the step before it has, and an after
            kill_when(works, f"{kind} starts")
            kill_when(lambda: works() and begun(), f"{kind} works")
            until(works, seconds=STEP_SECONDS, what=f"{kind} is found again")
        staged.open(kind)
        kill_when(_ended(staged, kind), f"{kind} ends")

    with up:
        try:
            for kind in KINDS:
                disturb(kind)
            output, _ = up.communicate(timeout=STEP_SECONDS)
        finally:
            up.kill()
    assert up.returncode == 0, output + product.worker_log()[-3000:]
    return kills


def test_everything_happened_once(staged: Staged, brought_up: int) -> None:
    """After a score of deaths each command ran once, each program and container was started once and runs."""
    assert brought_up == 3 * (len(KINDS) - 1) + 1
    for kind in ("submodules", "function", "command"):
        assert (kind, staged.count(f"{kind}.began"), staged.count(f"{kind}.ended")) == (kind, 1, 1)
    for program in ("function", "process"):
        assert (program, staged.count(f"{program}.pids"), len(_running(staged, program))) == (program, 1, 1)
    assert (staged.count("compose.pids"), staged.count("peer.pids"), len(staged.containers())) == (1, 1, 2)
    assert (staged.repo / "library" / "code").read_text() == "library\n"
    assert (staged.repo / "settings.conf").read_text() == "greeting=hello service=served-42 kept=$HOME\n"
    assert all(_accepts(port) for port in (FUNCTION_PORT, COMPOSE_PORT, PROCESS_PORT))


def test_a_second_up_does_nothing_twice(staged: Staged, brought_up: int) -> None:
    """It attaches: same processes, same container, and the command is skipped because its input did not change."""
    assert brought_up
    before = [_running(staged, "function"), _running(staged, "process"), staged.containers()]
    staged.product.cli("backend", "up")
    assert [_running(staged, "function"), _running(staged, "process"), staged.containers()] == before
    assert staged.count("command.began") == 1
    assert _row(staged, "command")["state"] == "skipped"


def test_up_repairs_when_all_processes_were_killed(staged: Staged, brought_up: int) -> None:
    """Supervisor, programs and container die while nobody looks; their state is kept, and `backend up` is enough."""
    assert brought_up
    product = staged.product
    product.stop_worker()
    _kill_supervisor(staged)
    for pid in (*_running(staged, "function"), *_running(staged, "process")):
        os.kill(pid, signal.SIGKILL)
    staged.docker("kill", *staged.containers())
    product.start_worker()
    product.cli("backend", "up")
    assert (len(_running(staged, "function")), len(_running(staged, "process"))) == (1, 1)
    assert _health(staged) == ["healthy", "healthy"]
    assert staged.count("command.began") == 1


def _kill_supervisor(staged: Staged) -> None:
    pidfile = staged.product.state / "backend" / staged.name / "supervisord.pid"
    os.kill(int(pidfile.read_text()), signal.SIGKILL)


def test_a_death_is_noticed_and_cured(staged: Staged, brought_up: int) -> None:
    """While the backend is up, a program that a function left behind dies: the function is called again."""
    assert brought_up
    (dead,) = _running(staged, "function")
    os.kill(dead, signal.SIGKILL)
    until(
        lambda: [pid for pid in _running(staged, "function") if pid != dead] and _accepts(FUNCTION_PORT),
        seconds=STEP_SECONDS,
        what="the function is called again",
    )
    until(lambda: _row(staged, "function")["state"] == "running", seconds=STEP_SECONDS, what="the status says so")


def test_a_supervisor_that_died_with_its_process_comes_back(staged: Staged, brought_up: int) -> None:
    """As after a reboot of the backend's host: nobody has to ask for it."""
    assert brought_up
    (dead,) = _running(staged, "process")
    _kill_supervisor(staged)
    os.kill(dead, signal.SIGKILL)
    until(
        lambda: [pid for pid in _running(staged, "process") if pid != dead] and _accepts(PROCESS_PORT),
        seconds=STEP_SECONDS,
        what="the process runs again",
    )
    assert len(_running(staged, "process")) == 1


def test_a_restarted_docker_is_survived(staged: Staged, brought_up: int) -> None:
    """Its containers end with it, and are brought up again; nothing else is done anew."""
    assert brought_up
    before, function = staged.count("compose.pids"), staged.count("function.began")
    subprocess.run([sys.executable, "-m", "sandbox", "restart", "dockerd"], cwd=REPOSITORY, check=True)
    until(
        lambda: staged.count("compose.pids") > before and _health(staged) == ["healthy", "healthy"],
        seconds=STEP_SECONDS,
        what="both services are up again",
    )
    until(lambda: _row(staged, "compose")["state"] == "running", seconds=STEP_SECONDS, what="the status says so")
    assert (staged.count("function.began"), len(staged.containers())) == (function, 2)


def _left_over(staged: Staged) -> list[str]:
    """List processes whose program or working directory is in the repository or the state directory."""
    places = (staged.repo, staged.product.state)
    found = []
    for process in psutil.process_iter(["pid", "name", "exe", "cwd"]):
        paths = [Path(path) for path in (process.info["exe"], process.info["cwd"]) if path]
        if any(path.is_relative_to(place) for path in paths for place in places):
            found.append(f"{process.info['pid']} {process.info['name']}")
    return found


def test_stop_and_purge_touch_nothing_of_a_neighbour(staged: Staged, brought_up: int) -> None:
    """Stop leaves no process, container or port and keeps data; purge leaves no data; a neighbour goes on."""
    assert brought_up
    product = staged.product
    neighbour = product.repo.parent / "neighbour"
    neighbour.mkdir()
    (neighbour / "data").write_text("precious\n")
    (neighbour / "proverctl.yaml").write_text(
        f"version: 1\nname: {staged.name}-b\nsteps:\n  - {{name: stays, process: [sleep, '3600'], purge: [data]}}\n"
    )
    there = {"BACKEND_REPO": str(neighbour)}
    product.cli("backend", "up", env=there)
    try:
        product.cli("backend", "stop")
        assert (_left_over(staged), staged.containers()) == ([], [])
        assert not any(_accepts(port) for port in (FUNCTION_PORT, COMPOSE_PORT, PROCESS_PORT))
        assert (staged.repo / "settings.conf").exists()
        product.cli("backend", "purge", "--yes")
        assert not (staged.repo / "settings.conf").exists()
        assert not staged.gates.exists()
        assert (staged.repo / "proverctl.yaml").exists()
        assert product.records(staged.name) == ["logs/command.log", "steps/command.json"]  # it has outputs
        status = json.loads(product.cli("backend", "status", "-o", "json", env=there).stdout)
        assert [row["state"] for row in status["steps"]] == ["running"]
        assert (neighbour / "data").exists()
    finally:
        product.cli("backend", "stop", env=there)
