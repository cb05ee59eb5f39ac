"""The example profile with PostgreSQL by compose, as far as that goes without its image."""

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from clients.backend.host import LocalBackendHost
from domain.errors import StepFailed
from domain.profile import StepState
from domain.spec import Backend
from sandbox.binaries import COMPOSE, ensure_built
from sandbox.settings import REPOSITORY, Settings
from tests.support.backend.driver import Driver
from tests.support.ports import free_port

_DATABASE_PORT = free_port()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """The example, just cloned."""
    source = REPOSITORY / "examples" / "prover"
    return shutil.copytree(source, tmp_path / "repo", ignore=shutil.ignore_patterns("build", "__pycache__"))


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
