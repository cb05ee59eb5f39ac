"""The bundled profile `fluidex` as its user runs it: by the CLI, its workflow and a worker that dies on the way."""

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.backend.fluidex.stand_in import LOCK, PORTS, StandIn, build_service, kill, listens
from tests.support.product.installation import BIN, Product, until

_COORDINATOR = "prover-cluster/target/release/coordinator"


@pytest.fixture
def stand_in(world: dict[str, str], tmp_path: Path) -> Iterator[StandIn]:
    """A repository just cloned; one at a time on a machine."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = StandIn(tmp_path, build_service(tmp_path), world["DOCKER_HOST"])
        yield made
        kill([pid for pids in made.processes().values() for pid in pids])
        made.remove()


@pytest.fixture
def product(world: dict[str, str], tmp_path: Path, stand_in: StandIn) -> Iterator[Product]:
    """A worker on the backend's host, and the CLI."""
    made = Product(world, tmp_path, coordinator_port=21155, database_port=25532)
    made.repo = stand_in.repo
    made.env |= stand_in.environ | {
        "PATH": f"{BIN}:{stand_in.environ['PATH']}",
        "BACKEND_REPO": str(stand_in.repo),
        "BACKEND_PROFILE": "fluidex",
    }
    try:
        made.make_temporal_namespace()
        made.start_worker()
        yield made
    finally:
        made.remove()


def _states(product: Product) -> dict[str, str]:
    report = json.loads(product.cli("backend", "status", "-o", "json").stdout)
    return {row["name"]: row["state"] for row in report["steps"]}


def test_the_whole_backend(product: Product, stand_in: StandIn) -> None:
    """Set up through a failure and the worker's death, cured, without simulation, stopped, and purged."""
    stand_in.hold("prepare_circuit")
    stand_in.fail_once("prepare_contracts")
    command = product.begin("backend", "up", "--simulated")
    until(
        lambda: [call.function for call in stand_in.calls()][-1:] == ["prepare_circuit"], seconds=60, what="the hours"
    )
    product.kill_worker()
    product.start_worker()
    stand_in.release("prepare_circuit")
    said, _ = command.communicate(timeout=300)
    assert command.returncode == 0, f"{said}\n{product.worker_log()[-3000:]}"
    called = [call.function for call in stand_in.calls()]
    assert len(called) == len(set(called)) + 1  # once each, but the one that failed once
    assert (called.count("prepare_circuit"), called.count("prepare_contracts")) == (1, 2)
    assert (
        _states(product).items() >= {"ticker": "running", "explorer": "running", "restore-contracts": "skipped"}.items()
    )

    stand_in.forget()
    before = stand_in.processes()
    kill(before[_COORDINATOR])
    until(lambda: stand_in.processes().get(_COORDINATOR), seconds=60, what="the coordinator is cured")
    assert [call.function for call in stand_in.calls()] == ["run_prove_master"]
    until(lambda: _states(product)["prove-master"] == "running", seconds=60, what="its status")

    product.cli("backend", "up", "--real")
    assert stand_in.processes().keys() == before.keys() - {"ts-node"}
    product.cli("backend", "stop")
    assert (stand_in.processes(), stand_in.containers("--all")) == ({}, [])
    assert [port for port in PORTS.values() if listens(port)] == []
    product.cli("backend", "purge", "--yes")
    assert not (stand_in.repo / "contracts/ganache").exists()
    assert (stand_in.keys / "mon.key").exists()
