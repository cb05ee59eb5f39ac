"""What a backend profile declares as data, and our own settings file, are no changes of a git tree."""

from pathlib import Path

import pytest

from clients.git.work_tree import GitSources
from domain.errors import DirtyTree
from domain.messages.source import Source
from tests.support.git.server import commit, git, repository

DATA = ["bridge/docker/data", "keys/Block_*/**", "contracts/address"]


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with a submodule that does not ignore what its database writes."""
    bridge = repository(tmp_path / "bridge", {"docker/compose.yaml": "services: {}\n"})
    repo = repository(tmp_path / "backend")
    git(repo, "submodule", "add", "-q", str(bridge), "bridge")
    commit(repo, {"contracts/address": "0x1"})
    _write(repo / "bridge/docker/data/pgdata/base", "1")
    return repo


def _write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def _resolve(repo: Path, *, allow_dirty: bool = False) -> Source:
    return GitSources(Path("/nonexistent")).resolve(str(repo), stage="", allow_dirty=allow_dirty, data=DATA)


def _evidence(repo: Path) -> str:
    with pytest.raises(DirtyTree) as caught:
        _resolve(repo)
    return caught.value.diagnosis.evidence


def test_data_in_a_submodule_does_not_make_the_tree_dirty(repo: Path) -> None:
    """A submodule that differs by untracked data alone is clean; without the declaration the files are named."""
    source = _resolve(repo)
    assert (source.dirty, source.stage) == (False, git(repo, "rev-parse", "--short", "HEAD"))
    with pytest.raises(DirtyTree, match="bridge/docker/data/"):
        GitSources(Path("/nonexistent")).resolve(str(repo), stage="", allow_dirty=False)


def test_other_changes_beside_data_count(repo: Path) -> None:
    """In the same submodule and directory as the data, each by its own path; a moved submodule, too."""
    _write(repo / "bridge/docker/notes", "x")
    assert _evidence(repo) == "bridge/docker/notes"
    (repo / "bridge/docker/notes").unlink()
    _write(repo / "bridge/docker/compose.yaml", "x")
    assert _evidence(repo) == "bridge/docker/compose.yaml"
    git(repo / "bridge", "commit", "-qam", "moved")
    assert _evidence(repo) == "bridge"
    git(repo, "add", "bridge")
    assert _evidence(repo) == "bridge"


def test_data_in_a_new_directory_beside_new_sources(repo: Path) -> None:
    """A directory that git shows as one new path is looked into; globs and files that git tracks are data, too."""
    _write(repo / "keys/Block_2/mon.key", "x")
    (repo / "contracts/address").write_text("0x2")
    assert not _resolve(repo).dirty
    _write(repo / "keys/new.py", "x")
    assert _evidence(repo) == "keys/new.py"
    _write(repo / "tools/new.py", "x")
    assert _evidence(repo) == "keys/new.py, tools/"


def test_the_hash_of_a_dirty_tree_is_of_sources_alone(repo: Path) -> None:
    """A database that writes goes on under the same stage; another source is another stage."""
    _write(repo / "a.txt", "b")
    first = _resolve(repo, allow_dirty=True).stage
    _write(repo / "bridge/docker/data/pgdata/base", "2")
    _write(repo / "bridge/docker/data/pgdata/wal", "3")
    assert _resolve(repo, allow_dirty=True).stage == first
    _write(repo / "bridge/docker/notes", "x")
    assert _resolve(repo, allow_dirty=True).stage != first


def test_our_settings_file_is_no_change(repo: Path) -> None:
    """`.env` at the top, not tracked; one below, or in a submodule, or a tracked one that was edited is a change."""
    _write(repo / ".env", "CLUSTER_NS=provers")
    assert not _resolve(repo).dirty
    for other in ("contracts/.env", "bridge/.env"):
        file = _write(repo / other, "A=1")
        assert _evidence(repo) == other
        file.unlink()
    commit(repo, {})
    _write(repo / ".env", "CLUSTER_NS=others")
    assert _evidence(repo) == ".env"
