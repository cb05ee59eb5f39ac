"""The example profile for real: programs built, keys made, PostgreSQL from the wheel, the ticker of run-all alone."""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from clients.backend import LocalBackendHost
from domain.errors import StepFailed
from domain.profile import StepState
from domain.spec import Backend
from sandbox.binaries import COMPOSE, ensure_built
from sandbox.settings import REPOSITORY, Settings
from tests.integration.backend_driver import Driver

_DATABASE_PORT, _COORDINATOR_PORT = 22632, 22655


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """The example, just cloned."""
    source = REPOSITORY / "examples" / "prover"
    return shutil.copytree(source, tmp_path / "repo", ignore=shutil.ignore_patterns("build", "__pycache__"))


@pytest.fixture
def driver(world: dict[str, str], repo: Path, tmp_path: Path) -> Iterator[Driver]:
    """A host of its own, on which nothing is left running."""
    environ = os.environ | {"DOCKER_HOST": world["DOCKER_HOST"], "EXAMPLE_DB_PORT": str(_DATABASE_PORT)}
    host = LocalBackendHost(tmp_path / "state", environ)
    made = Driver(host, Backend(repo=str(repo), profile="example"), port=_COORDINATOR_PORT)
    yield made
    made.load()
    made.stop()


def _tasks(state: Path) -> int:
    passwords = state / "backend/example/data/database/pgpass"
    where = f"host=127.0.0.1 port={_DATABASE_PORT} dbname=prover user=prover passfile={passwords}"
    with psycopg.connect(where) as connection:
        return len(connection.execute("SELECT 1 FROM task").fetchall())


def test_the_example_backend(driver: Driver, repo: Path, tmp_path: Path) -> None:
    """Built and set up once; what depends on the circuit is done again when that changed; the ticker comes and goes."""
    first = driver.up()
    assert {first[name].state for name in ("build", "setup", "image")} == {StepState.DONE}
    assert driver.states() == dict.fromkeys(("database", "coordinator"), StepState.RUNNING)
    assert first["ticker"].state is StepState.STOPPED
    assert _tasks(tmp_path / "state") == 0

    again = driver.up(simulated=True)
    assert {again[name].state for name in ("build", "setup")} == {StepState.SKIPPED}
    assert driver.states() == dict.fromkeys(("database", "coordinator", "ticker"), StepState.RUNNING)

    key = (repo / "build/circuit/vk.bin").read_bytes()
    with (repo / "internal/block/circuit.go").open("a") as source:
        source.write("\n// another circuit\n")
    changed = driver.up()
    assert {changed[name].state for name in ("build", "setup")} == {StepState.DONE}
    assert (repo / "build/circuit/vk.bin").read_bytes() != key
    assert "ticker" not in {name for name, state in driver.states().items() if state is StepState.RUNNING}

    driver.stop()
    assert StepState.RUNNING not in driver.states().values()
    purged = driver.purge()
    assert any("build/circuit" in path for path in purged)
    assert not (repo / "build/circuit").exists()
    assert (repo / "build/bin/client").exists()
    assert not (tmp_path / "state/backend/example").exists()


def test_postgresql_by_compose(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The password is drawn once and only in files of ours; compose accepts the project; no wheel runs on its data."""
    environ = os.environ | {"EXAMPLE_DATABASE": "compose", "EXAMPLE_DB_PORT": str(_DATABASE_PORT)}
    driver = Driver(LocalBackendHost(tmp_path / "state", environ), Backend(repo=str(repo), profile="example"))
    assert driver.load().left_out.keys() == {"database"}
    home = tmp_path / "state/backend/example/data/database"
    drawn = set()
    for _ in range(2):
        assert driver.run("database-password").state is StepState.DONE
        drawn.add(((home / "password").read_text(), (home / "pgpass").read_text()))
    ((password, line),) = drawn
    assert line == f"*:*:*:prover:{password}\n"
    assert {stat.S_IMODE(path.stat().st_mode) for path in home.iterdir()} == {0o600}

    step = next(step for step in driver.load().profile.steps if step.name == "database-container")
    for name in step.env:
        monkeypatch.setenv(name, {"EXAMPLE_DB_PORT": "1", "DATABASE_HOME": str(home)}.get(name, "postgres:17"))
    compose = ensure_built(Settings.from_environment(), COMPOSE) / COMPOSE.program
    config = subprocess.run(
        [compose, "--file", repo / "compose.yaml", "config"], capture_output=True, text=True, check=True
    )
    assert (config.stderr, str(home / "password") in config.stdout, password in config.stdout) == ("", True, False)

    wheel = Driver(
        LocalBackendHost(tmp_path / "state", os.environ | {"EXAMPLE_DB_PORT": str(_DATABASE_PORT)}),
        Backend(repo=str(repo), profile="example"),
    )
    with pytest.raises(StepFailed, match="belongs to a container"):
        wheel.run("database")
    wheel.stop()
