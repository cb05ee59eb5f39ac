"""The example backend by itself: set up once, done again only where something changed, simulated only when asked."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.product.installation import Product, until


@pytest.fixture(scope="module")
def example(world: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """Yield the repository of the example and a worker; nothing runs yet, and no cluster is needed."""
    product = Product(
        world, tmp_path_factory.mktemp("example"), coordinator_port=free_port(), database_port=free_port()
    )
    try:
        product.prepare(admin=True)
        product.start_worker()
        yield product
        product.cli("backend", "stop")
    finally:
        product.remove()


def _states(product: Product) -> dict[str, str]:
    report = json.loads(product.cli("backend", "status", "-o", "json").stdout)
    return {row["name"]: row["state"] for row in report["steps"]}


def _keys(product: Product) -> int:
    """When the proving key was made, in nanoseconds."""
    return (product.repo / "build/circuit/mon.key").stat().st_mtime_ns


@pytest.fixture(scope="module")
def set_up(example: Product) -> Product:
    """Brought up once."""
    example.cli("backend", "up")
    return example


def test_the_first_time_everything_is_done(set_up: Product) -> None:
    """Built, set up and running, but nothing simulated: no ticker, and no task."""
    states = _states(set_up)
    assert {states[name] for name in ("build", "setup", "image")} == {"done"}
    assert {states[name] for name in ("database", "coordinator")} == {"running"}
    assert set_up.processes("build/bin/ticker") == []
    assert len(set_up.processes("build/bin/coordinator")) == 1
    assert set_up.query("SELECT count(*) FROM task") == [(0,)]


def test_the_second_time_the_set_up_is_skipped(set_up: Product) -> None:
    """Same keys, same processes, and the status says why nothing was done."""
    keys, coordinator = _keys(set_up), set_up.processes("build/bin/coordinator")
    said = set_up.cli("backend", "up").stdout
    states = _states(set_up)
    assert (states["build"], states["setup"]) == ("skipped", "skipped")
    assert "inputs unchanged" in said
    assert (_keys(set_up), set_up.processes("build/bin/coordinator")) == (keys, coordinator)


def test_another_circuit_redoes_what_depends_on_it(set_up: Product) -> None:
    """New keys and a new coordinator; the database goes on as it was."""
    keys, coordinator = _keys(set_up), set_up.processes("build/bin/coordinator")
    databases = _postmaster(set_up)
    circuit = next((set_up.repo / "internal" / "block").glob("*.go"))
    circuit.write_text(circuit.read_text() + "\n// Another circuit, as far as anybody can tell from the file.\n")
    set_up.cli("backend", "up")
    states = _states(set_up)
    assert (states["build"], states["setup"]) == ("done", "done")
    assert _keys(set_up) > keys
    assert len(set_up.processes("build/bin/coordinator")) == 1
    assert set_up.processes("build/bin/coordinator") != coordinator
    assert _postmaster(set_up) == databases


def _postmaster(product: Product) -> str:
    (found,) = Path(product.state).glob("backend/example/data/database/data/postmaster.pid")
    return found.read_text().splitlines()[0]


def test_the_simulation_comes_and_goes(set_up: Product) -> None:
    """The ticker runs under run-all's mode, makes tasks, and is stopped when the real mode follows."""
    set_up.cli("backend", "up", "--simulated")
    assert len(set_up.processes("build/bin/ticker")) == 1
    until(lambda: set_up.query("SELECT count(*) FROM task")[0][0] > 0, seconds=60, what="a simulated task")
    said = set_up.cli("backend", "up", "--real")
    assert set_up.processes("build/bin/ticker") == []
    assert _states(set_up)["ticker"] == "stopped"
    assert "ticker" in said.stdout + said.stderr


def test_purge_asks_first_and_leaves_no_data(set_up: Product) -> None:
    """Without --yes nothing happens outside a terminal; with it keys and database go, sources and programs stay."""
    refused = set_up.cli("backend", "purge", code=2)
    assert "--yes" in refused.stderr
    assert len(set_up.processes("build/bin/coordinator")) == 1
    set_up.cli("backend", "purge", "--yes")
    assert set_up.processes("build/bin/coordinator") == []
    assert not (set_up.repo / "build" / "circuit").exists()
    assert set_up.records("example") == ["logs/build.log", "steps/build.json"]
    assert (set_up.repo / "proverctl.yaml").exists()
    set_up.cli("backend", "up")  # and it can begin anew
    states = _states(set_up)
    assert (states["build"], states["setup"]) == ("skipped", "done")
