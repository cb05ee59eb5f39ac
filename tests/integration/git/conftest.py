"""A repository, a server that hands it out, and a worker's checkouts."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.git.work_tree import GitSources
from tests.support.git.server import GitServer, commit, git, repository
from tests.support.registry.certificate_authority import Authority


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with a tag and a branch beside main."""
    made = repository(tmp_path / "served" / "backend")
    git(made, "tag", "-a", "v1", "-m", "first")
    git(made, "branch", "side")
    return commit(made, {"b.txt": "b"})


@pytest.fixture
def sources(tmp_path: Path) -> GitSources:
    """What a worker has."""
    return GitSources(tmp_path / "state")


@pytest.fixture
def server(tmp_path: Path, repo: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitServer]:
    """Serves `repo` to a worker that trusts it and whose user has no configuration."""
    authority = Authority(tmp_path / "authority")
    monkeypatch.setenv("GIT_SSL_CAINFO", str(authority.file))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    with GitServer(repo.parent, authority.server()) as served:
        yield served
