"""The backend repository of the demo: every command works in it without a flag."""

import os
import subprocess
from pathlib import Path

import pytest

from sandbox import demo
from sandbox.settings import Settings
from tests.support.product.installation import BIN


@pytest.fixture
def repository(world: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the repository in a directory of this test, with the settings of the running world."""
    state = Path(world["WORLD_STATE"])
    (tmp_path / "registry.password").write_text((state / "registry.password").read_text())
    monkeypatch.setattr(Settings, "state", tmp_path)
    return demo.ensure_repository(Settings.from_environment())


def _proverctl(repository: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    least = {"PATH": os.environ["PATH"], "HOME": str(repository.parent), "LANG": "C.UTF-8"}
    command = [str(BIN / "proverctl"), *arguments]
    return subprocess.run(command, cwd=repository, env=least, capture_output=True, text=True, check=False)


def test_commands_need_no_flag(repository: Path) -> None:
    """Namespace, Temporal and all required settings come from `.env` alone."""
    assert f"namespace: {demo.NAMESPACE}" in _proverctl(repository, "rbac").stdout
    answer = _proverctl(repository, "status")
    assert answer.returncode == 1
    assert f"nothing is deployed in namespace {demo.NAMESPACE}" in answer.stderr


def test_dot_env_is_no_change(repository: Path) -> None:
    """Git sees a clean work tree, the file is for its owner alone, and a second demo makes no commit."""
    settings = Settings.from_environment()

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=repository, check=True, capture_output=True, text=True).stdout

    commit = git("rev-parse", "HEAD")
    assert demo.ensure_repository(settings) == repository
    assert (git("status", "--porcelain"), git("ls-files", ".env"), git("rev-parse", "HEAD")) == ("", "", commit)
    assert (repository / ".env").stat().st_mode & 0o777 == 0o600


def test_dot_env_names_no_file_of_the_worker(repository: Path) -> None:
    """The CLI reaches the cluster through the worker: no kubeconfig, Docker socket or state directory is in it."""
    names = {line.partition("=")[0] for line in (repository / ".env").read_text().splitlines()}
    assert {"CLUSTER_NS", "IMAGE_REPO", "IMAGE_HOST", "COORDINATOR_EP", "TEMPORAL_ADDRESS"} <= names
    assert not {"KUBECONFIG", "DOCKER_HOST", "PROVER_STATE_DIR"} & names
    assert not any(name.startswith("WORLD_") for name in names)
