"""A rollout that lacks nodes, on the real API server: it waits, goes on with fewer, or asks and is answered."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.kubernetes.fleet import Fleet
from sandbox.settings import Settings
from tests.support.ports import free_port
from tests.support.product.installation import Product, until

BASE = "questions-base"


class Fakes(Product):
    """An installation with a tiny image, whose clients land on fake nodes and are ready there at once."""

    def __init__(self, world: dict[str, str], place: Path, fleet: Fleet) -> None:
        super().__init__(world, place, coordinator_port=free_port(), database_port=free_port())
        self.fleet = fleet
        pair = {"NODE_LABEL": fleet.key_value, "NODE_TAINT": fleet.key_value}
        self.env |= pair | {"CIRCUIT_DIR": "circuit", "PROVER_BASE_IMAGE": BASE, "PROVER_ANSWER_WITHIN": "10m"}

    def make_repository(self) -> None:
        """Just enough for an image."""
        circuit = self.repo / "circuit"
        circuit.mkdir(parents=True)
        for name in ("circuit.r1cs", "mon.key", "vk.bin"):
            (circuit / name).write_text(self.name)
        self.git("init", "--quiet", "--initial-branch", "main")
        self.commit("A circuit")
        command = ["docker", "build", "--quiet", "--tag", BASE, "-"]
        subprocess.run(command, env=self.env, check=True, input=b"FROM scratch\nENV A=1\n", capture_output=True)

    def remove(self) -> None:
        """The image, too."""
        super().remove()
        subprocess.run(["docker", "image", "rm", "--force", BASE], env=self.env, check=True, capture_output=True)

    def guard(self, node: str) -> None:
        """A pod on this node that no client may stand beside, as only the scheduler knows."""
        term = {"labelSelector": {"matchLabels": {"app": "client"}}, "topologyKey": "kubernetes.io/hostname"}
        spec = {
            "nodeName": node,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{"name": "guard", "image": "none"}],
            "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}},
        }
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "guard"}, "spec": spec}
        self.kube("create", f"--namespace={self.namespace}", "--filename=-", stdin=json.dumps(pod).encode())

    def scale_in_vain(self, node: str) -> str:
        """To four, with a fourth node that turns out to be of no use; what the CLI said."""
        self.guard(node)
        scaled = self.begin("scale", "4", *self.here())
        until(lambda: self.replicas() == 4, seconds=60, what="four wanted")
        self.fleet.label(node, {"fleet": None})
        self.kube("delete", "pod", "guard", f"--namespace={self.namespace}", "--now")
        said, _ = scaled.communicate(timeout=240)
        assert scaled.returncode == 1, said
        return said

    def replicas(self) -> int:
        """What the Deployment wants."""
        path = "jsonpath={.spec.replicas}"
        return int(self.kube("get", "deployment", "prover-cli-t", f"--namespace={self.namespace}", f"--output={path}"))


@pytest.fixture(scope="module")
def fakes(world: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fakes]:
    """Two clients serve on two fake nodes."""
    assert Settings.from_environment().name == world["WORLD_NAME"]
    with Fleet(Settings.from_environment(), "asked") as fleet:
        made = Fakes(world, tmp_path_factory.mktemp("asked"), fleet)
        try:
            made.prepare(admin=True)
            made.start_worker()
            until(lambda: "ready for roles" in made.worker_log(), seconds=60, what="the worker")
            fleet.create(2)
            made.cli("deploy", *made.here())
            yield made
            made.cli("tear-down", "--yes", *made.here())
        finally:
            made.remove()


def test_too_few_nodes_are_refused_or_gone_on_with(fakes: Fakes) -> None:
    """With the numbers; as many as fit are two."""
    said = fakes.cli("scale", "3", *fakes.here(), code=3).stderr
    assert "2 of" in said
    assert "2 of 3 clients, as many as fit" in fakes.cli("scale", "3", "--as-many-as-fit", *fakes.here()).stderr
    assert fakes.replicas() == 2


def test_a_node_that_comes_ends_the_wait_for_it(fakes: Fakes) -> None:
    """At once, and the wait outlives the worker."""
    waiting = fakes.begin("scale", "3", "--wait-for-nodes", "1h", *fakes.here())
    until(lambda: fakes.status()["phase"] == "waiting", seconds=60, what="phase waiting")
    fakes.kill_worker()
    fakes.start_worker()
    until(lambda: fakes.status()["phase"] == "waiting", seconds=60, what="phase waiting")
    fakes.fleet.create(1)
    said, _ = waiting.communicate(timeout=120)
    assert waiting.returncode == 0, said
    assert "nodes were waited for" in said
    assert fakes.replicas() == 3


def test_a_lack_that_lasts_is_asked_about(fakes: Fakes) -> None:
    """The CLI ends with exit 1 and the lines to choose from; fewer is what fits when it is asked."""
    assert "NO_QUESTION" in fakes.cli("answer", "retry", *fakes.here(), code=1).stderr
    node = fakes.fleet.create(1)[0]
    said = fakes.scale_in_vain(node)
    assert f"proverctl answer fewer -n {fakes.namespace}" in said, said
    status = fakes.status()
    assert (status["phase"], status["question"]["fits"]) == ("parked", 3)
    assert status["question"]["default"] == "rollback"
    assert status["question"]["diagnosis"] == status["diagnosis"]
    assert "rollback" in fakes.cli("answer", "maybe", *fakes.here(), code=2).stderr
    assert "3 of 4 clients, as many as fit" in fakes.cli("answer", "fewer", *fakes.here()).stderr
    assert (fakes.replicas(), fakes.status()["phase"]) == (3, "serving")
    fakes.fleet.delete(node)
