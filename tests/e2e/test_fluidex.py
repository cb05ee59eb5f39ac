"""The bundled profile `fluidex` as its user runs it: by docs/fluidex.md, the CLI, and a worker that dies on the way."""

import contextlib
import fcntl
import hashlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox.settings import REPOSITORY
from tests.support.backend.fluidex.stand_in import (
    LOCK,
    PORTS,
    StandIn,
    build_provers,
    build_service,
    kill,
)
from tests.support.ports import free_port, listens
from tests.support.product.installation import BIN, Product, polls, until

PAGE = (REPOSITORY / "docs/fluidex.md").read_text()
SECOND_PORT = free_port()
_COORDINATOR = "prover-cluster/target/release/coordinator"


@pytest.fixture
def stand_in(world: dict[str, str], tmp_path: Path) -> Iterator[StandIn]:
    """Yield a repository just cloned, with real keys and clients; one at a time on a machine."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = StandIn(tmp_path, build_service(tmp_path), world["DOCKER_HOST"], build_provers(tmp_path))
        yield made
        kill([pid for pids in made.processes().values() for pid in pids])
        made.remove()


@pytest.fixture
def product(world: dict[str, str], tmp_path: Path, stand_in: StandIn) -> Iterator[Product]:
    """Yield a worker on the backend's host, and the CLI."""
    made = Product(world, tmp_path, coordinator_port=PORTS["COORDINATOR_PORT"], database_port=free_port())
    made.repo = stand_in.repo
    made.env |= stand_in.environ | {
        "PATH": f"{BIN}:{stand_in.environ['PATH']}",
        "BACKEND_REPO": str(stand_in.repo),
        "BACKEND_PROFILE": "fluidex",
    }
    try:
        made.make_temporal_namespace()
        yield made
    finally:
        made.remove()


def _states(product: Product) -> dict[str, str]:
    report = json.loads(product.cli("backend", "status", "-o", "json").stdout)
    return {row["name"]: row["state"] for row in report["steps"]}


def test_the_whole_backend(product: Product, stand_in: StandIn) -> None:
    """Set up through a failure and the worker's death, cured, without simulation, stopped, and purged."""
    product.start_worker()
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


class Tutorial:
    """The commands of docs/fluidex.md, run as they stand there but for names and addresses."""

    def __init__(self, product: Product, stand_in: StandIn, folder: Path) -> None:
        """Nothing is there yet but the programs of step 1."""
        world = product.world
        nodes = product.kube("get", "nodes", "--selector=fluidexnode", "--output=jsonpath={.items[*].metadata.name}")
        self._product = product
        self._folder = folder
        self._words = {
            r"https://github\.com/fluidex/fluidex-backend\.git": str(stand_in.origin),
            r"10\.0\.0\.8:7233": world["TEMPORAL_ADDRESS"],
            r"10\.0\.0\.7": world["COORDINATOR_EP"],
            r"\bprovers\b": product.namespace,
            r"\bfluidex-prover\b": f"{stand_in.image}-prover",
            r"fluidex/prover-cluster": f"{product.name}/prover",
            r"registry\.lan:5000": world["IMAGE_HOST"],
            r"registry\.example\.com": world["IMAGE_HOST_ALIAS"],
            r"(?<=IMAGE_AUTH_USER=)prover": world["IMAGE_AUTH_USER"],
            r"(?<=IMAGE_AUTH_PASSWORD=)secret": world["IMAGE_AUTH_PASSWORD"],
            r"\bnode-1 node-2\b": nodes,
        }
        settings = {"TEMPORAL_ADDRESS", "COORDINATOR_EP", "CLUSTER_NS", "BACKEND_REPO", "BACKEND_PROFILE"}
        kubectl = Path(world["WORLD_KUBECTL"]).parent
        self.env = {
            name: value for name, value in product.env.items() if name not in settings and not name.startswith("IMAGE_")
        }
        self.env |= {"PATH": f"{kubectl}:{product.env['PATH']}"}
        self.background: list[int] = []

    def steps(self) -> list[str]:
        """All blocks, in their order."""
        blocks = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
        for word, real in self._words.items():
            blocks = [re.sub(word, real, block) for block in blocks]
        return blocks

    def run(self, script: str) -> str:
        """As a person types it; what it leaves running is ended by `end`."""
        script = f"{script}\necho ${{!-}} > {self._folder}/background\n"
        done = subprocess.run(
            ["bash", "-eu", "-c", script],
            cwd=self._product.repo,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
            check=False,
        )
        self.background += map(int, (self._folder / "background").read_text().split())
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{self.worker_log()[-3000:]}"
        return done.stdout

    def worker_log(self) -> str:
        """Of the worker that the page starts beside the checkout."""
        path = self._folder / "proverctl-worker.log"
        return path.read_text() if path.exists() else ""

    def end(self) -> None:
        """End what it left running."""
        for pid in self.background:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


@pytest.fixture
def tutorial(product: Product, stand_in: StandIn, tmp_path: Path) -> Iterator[Tutorial]:
    """Return an operator in an empty directory."""
    folder = tmp_path / "operator"
    folder.mkdir()
    product.repo = folder
    made = Tutorial(product, stand_in, folder)
    try:
        yield made
    finally:
        made.end()


@contextmanager
def _second_coordinator(stand_in: StandIn, product: Product, folder: Path) -> Iterator[Path]:
    """Another one of the same circuit, at another port; yields its log."""
    (folder / "config").mkdir(parents=True)
    first = (stand_in.repo / "prover-cluster/config/coordinator.yaml").read_text()
    text = first.replace(str(PORTS["COORDINATOR_PORT"]), str(SECOND_PORT))
    (folder / "config/coordinator.yaml").write_text(text)
    program, log = stand_in.tools / "built" / _COORDINATOR, folder / "log"
    env = {"COORDINATOR_LISTENADDR": product.world["COORDINATOR_EP"]}
    with log.open("wb") as out, subprocess.Popen([program], cwd=folder, env=env, stdout=out, stderr=out) as process:
        try:
            yield log
        finally:
            process.kill()


def _key(stand_in: StandIn) -> str:
    return hashlib.sha256((stand_in.keys / "mon.key").read_bytes()).hexdigest()


def test_from_a_checkout_to_the_last_tear_down(
    product: Product, stand_in: StandIn, tutorial: Tutorial, tmp_path: Path
) -> None:
    """docs/fluidex.md to the first proof, then what README says of later days; never with --allow-dirty."""
    clone, *rest = tutorial.steps()
    tutorial.run(clone)
    product.repo = stand_in.repo = tmp_path / "operator" / "fluidex-backend"
    for block in rest:
        said = tutorial.run(block)
    assert "result valid: true" in said
    product.env = tutorial.env
    assert stand_in.git("status", "--porcelain").split("\n")[:1] == [" M regnbue-bridge"]
    assert product.stage_annotation() == stand_in.git("rev-parse", "--short", "HEAD").strip()
    key = _key(stand_in)

    (stand_in.repo / "README.md").write_text("Another commit.\n")
    stand_in.git("add", "README.md")
    stand_in.git("commit", "--quiet", "--message", "Say something")
    product.cli("deploy")
    assert product.stage_annotation() == stand_in.git("rev-parse", "--short", "HEAD").strip()
    product.cli("scale", "1")
    assert len(product.pods()) == 1
    with _second_coordinator(stand_in, product, tmp_path / "second") as log:
        product.cli("reset-endpoint", "--port", str(SECOND_PORT))
        until(lambda: polls(log.read_text()), seconds=60, what="a poll at the second coordinator")
        product.cli("reset-endpoint", "--port", str(PORTS["COORDINATOR_PORT"]))

    stand_in.forget()
    product.cli("backend", "stop")
    assert (stand_in.processes(), stand_in.containers("--all")) == ({}, [])
    product.cli("backend", "up")
    product.cli("backend", "stop")
    product.cli("backend", "purge", "--yes")
    product.cli("backend", "up")
    assert _key(stand_in) == key
    assert "prepare_circuit" not in [call.function for call in stand_in.calls()]

    product.cli("run-all")
    assert "ts-node" in stand_in.processes()
    product.cli("tear-down", "--backend", "--purge", "--yes", *product.here())
    assert product.pods() == []
    assert (stand_in.processes(), stand_in.containers("--all")) == ({}, [])
    assert _key(stand_in) == key
