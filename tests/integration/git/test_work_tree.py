"""Sources read from real git repositories."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from clients.git.work_tree import GitSources
from domain.errors import DirtyTree, NotARepository
from domain.spec import ConfigSchema

STATE = Path("/nonexistent")  # reading a tree keeps nothing


def _git(repo: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "protocol.file.allow=always"]
    command = ["git", "-C", str(repo), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository of one commit."""
    return _repository(tmp_path / "backend")


def _repository(path: Path) -> Path:
    path.mkdir()
    _git(path, "init", "-q", "-b", "main")
    (path / "a.txt").write_text("a")
    (path / ".gitignore").write_text("build/\n")
    _git(path, "add", ".")
    _git(path, "commit", "-qm", "first")
    return path


def _resolve(repo: Path | str, *, stage: str = "", allow_dirty: bool = False) -> tuple[str, str, bool]:
    source = GitSources(STATE).resolve(str(repo), stage=stage, allow_dirty=allow_dirty)
    return source.commit, source.stage, source.dirty


def test_a_clean_tree_is_named_by_its_short_commit(repo: Path) -> None:
    """The stage is git's own short commit; ignored files do not count."""
    (repo / "build").mkdir()
    (repo / "build" / "key").write_text("x")
    assert _resolve(repo) == (_git(repo, "rev-parse", "HEAD"), _git(repo, "rev-parse", "--short", "HEAD"), False)


@pytest.mark.parametrize(
    ("date", "expected"),
    [("2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05Z"), ("@99999999999999 +0000", "")],
)
def test_when_a_commit_was_made(repo: Path, monkeypatch: pytest.MonkeyPatch, date: str, expected: str) -> None:
    """In UTC, by its own clock; a time that is none does no harm."""
    monkeypatch.setenv("GIT_COMMITTER_DATE", date)
    _git(repo, "commit", "--allow-empty", "-qm", "second")
    assert GitSources(STATE).resolve(str(repo), stage="", allow_dirty=False).committed == expected


def test_a_stage_set_by_hand_is_used_as_it_is(repo: Path) -> None:
    """Also on a dirty tree, which is then recorded as dirty."""
    commit = _git(repo, "rev-parse", "HEAD")
    assert _resolve(repo, stage="mine") == (commit, "mine", False)
    (repo / "a.txt").write_text("b")
    assert _resolve(repo, stage="mine") == (commit, "mine", True)


def test_a_dirty_tree_is_refused_with_its_paths(repo: Path) -> None:
    """Changed, staged and new files count; ten are named, with the three ways out."""
    (repo / "a.txt").write_text("b")
    for number in range(12):
        (repo / f"new {number:02}").write_text("x")
    _git(repo, "add", "new 00")
    with pytest.raises(DirtyTree) as caught:
        _resolve(repo)
    found = caught.value.diagnosis
    assert found.what == "the git tree has 13 uncommitted changes"
    assert found.evidence.startswith("a.txt, new 00, new 01")
    assert found.evidence.endswith("and 3 more")
    assert [way for way in ("commit", "--allow-dirty", "STAGE") if way in found.do] == [
        "commit",
        "--allow-dirty",
        "STAGE",
    ]


def _dirty(repo: Path) -> str:
    """The hash in the stage of a dirty tree."""
    commit, stage, dirty = _resolve(repo, allow_dirty=True)
    assert (commit, dirty) == (_git(repo, "rev-parse", "HEAD"), True)
    short, mark, digits = stage.split("-")
    assert (short, mark, len(digits)) == (_git(repo, "rev-parse", "--short", "HEAD"), "dirty", 8)
    return digits


def test_allow_dirty_marks_the_stage_with_the_changes(repo: Path) -> None:
    """Other content is another stage, and the same content the same one, staged or not."""
    (repo / "a.txt").write_text("b")
    first = _dirty(repo)
    (repo / "a.txt").write_text("c")
    assert _dirty(repo) != first
    (repo / "a.txt").write_text("b")
    _git(repo, "add", "a.txt")
    os.utime(repo / "a.txt", (1, 1))
    assert _dirty(repo) == first


def _new_inside(content: str) -> Callable[[Path], None]:
    def change(repo: Path) -> None:
        (repo / "d").mkdir()
        (repo / "d" / "new").write_text(content)

    return change


def _pipe(repo: Path) -> None:
    (repo / "a.txt").unlink()
    os.mkfifo(repo / "a.txt")


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda repo: (repo / "a.txt").write_text("b"),
    "other content": lambda repo: (repo / "a.txt").write_text("c"),
    "mode": lambda repo: (repo / "a.txt").chmod(0o755),
    "gone": lambda repo: (repo / "a.txt").unlink(),
    "new": lambda repo: (repo / "new").write_text("a"),
    "new, other name": lambda repo: (repo / "new2").write_text("a"),
    "new, executable": lambda repo: (repo / "new").touch(0o755),
    "new in a directory": _new_inside("a"),
    "new in a directory, other content": _new_inside("b"),
    "link": lambda repo: (repo / "new").symlink_to("a.txt"),
    "link, elsewhere": lambda repo: (repo / "new").symlink_to("/dev/zero"),
    "pipe in place of a file": _pipe,
    "odd name": lambda repo: (repo / os.fsdecode(b"\xff\n")).write_text("a"),
    "large, its end": lambda repo: (repo / "new").write_bytes(bytes(17 << 20) + b"1"),
    "large, another end": lambda repo: (repo / "new").write_bytes(bytes(17 << 20) + b"2"),
}


def test_each_change_is_a_stage_of_its_own(tmp_path: Path) -> None:
    """In two trees at different places; nothing is followed, nothing waits for a pipe."""
    stages: dict[str, str] = {}
    for name, change in CHANGES.items():
        found = set()
        for place in ("one", "two"):
            repo = _repository(tmp_path / f"{len(stages)} {place}")
            change(repo)
            found.add(_dirty(repo))
        assert len(found) == 1, name
        stages[name] = found.pop()
    assert len(set(stages.values())) == len(CHANGES)


def test_changes_of_a_submodule_count_by_their_content(tmp_path: Path, repo: Path) -> None:
    """Another commit of it, and changes in it."""
    inner = _repository(tmp_path / "inner")
    _git(repo, "submodule", "add", "-q", str(inner), "inner")
    _git(repo, "commit", "-qm", "submodule")
    found = []
    for text in ("1", "2", "1"):
        (repo / "inner" / "a.txt").write_text(text)
        found.append(_dirty(repo))
    _git(repo / "inner", "commit", "-qam", "moved")
    found.append(_dirty(repo))
    assert found[0] == found[2]
    assert len(set(found)) == 3


def test_submodule_pins_are_recorded(tmp_path: Path, repo: Path) -> None:
    """The commit that the tree records counts; a submodule checked out elsewhere makes the tree dirty."""
    inner = _repository(tmp_path / "inner")
    _git(repo, "submodule", "add", "-q", str(inner), "parts/inner one")
    _git(repo, "commit", "-qm", "submodule")
    pin = _git(inner, "rev-parse", "HEAD")
    assert GitSources(STATE).resolve(str(repo), stage="", allow_dirty=False).submodules == {"parts/inner one": pin}
    _git(repo / "parts" / "inner one", "commit", "-q", "--allow-empty", "-m", "moved")
    with pytest.raises(DirtyTree, match="parts/inner one"):
        _resolve(repo)
    moved = GitSources(STATE).resolve(str(repo), stage="", allow_dirty=True)
    assert moved.submodules == {"parts/inner one": pin}


def test_what_is_no_repository_is_named(tmp_path: Path) -> None:
    """An empty path, an absent one, a plain directory, a bare and an empty repository each name BACKEND_REPO."""
    bare, empty = tmp_path / "bare", tmp_path / "empty"
    bare.mkdir()
    empty.mkdir()
    _git(bare, "init", "-q", "--bare")
    _git(empty, "init", "-q")
    (tmp_path / "plain").mkdir()
    for path in ("", str(tmp_path / "absent"), str(tmp_path / "plain"), str(bare), str(empty)):
        with pytest.raises(NotARepository, match="BACKEND_REPO"):
            _resolve(path)


def test_a_stage_by_hand_needs_no_repository(tmp_path: Path) -> None:
    """A plain directory is enough then, but an absent one is still a mistake."""
    assert _resolve(tmp_path, stage="mine") == ("", "mine", False)
    assert _resolve("", stage="mine") == ("", "mine", False)
    with pytest.raises(NotARepository, match="does not exist"):
        _resolve(tmp_path / "absent", stage="mine")


CLIENTS = {
    "src/client/config.rs": "pub struct Settings { pub circuit: Circuit }\npub struct Circuit { pub name: String }\n",
    "config/client.yaml.template": "circuit: block\n",
}


@pytest.mark.parametrize("place", ["", "prover-cluster/", "submodule"])
def test_the_schema_of_the_pinned_client(tmp_path: Path, repo: Path, place: str) -> None:
    """In the repository, in a directory of it or in a submodule: as committed, not as it lies there."""
    client = _repository(tmp_path / "client") if place == "submodule" else repo
    inside = "" if place == "submodule" else place
    for name, text in CLIENTS.items():
        (client / inside / name).parent.mkdir(parents=True, exist_ok=True)
        (client / inside / name).write_text(text)
    _git(client, "add", ".")
    _git(client, "commit", "-qm", "client")
    if place == "submodule":
        _git(repo, "submodule", "add", "-q", str(client), "parts/prover-cluster")
        _git(repo, "commit", "-qm", "submodule")
        inside = "parts/prover-cluster/"
    (repo / inside / "src/client/config.rs").write_text("pub struct Settings { pub circuit: String }")
    found = GitSources(STATE).resolve(str(repo), stage="mine", allow_dirty=False)
    assert (found.config_schema, found.by_hand) == (ConfigSchema.STRUCT, True)


def test_the_schema_of_a_client_that_is_not_there(tmp_path: Path, repo: Path) -> None:
    """Neither a submodule that is not checked out nor a link tells anything."""
    client = _repository(tmp_path / "client")
    (client / "config").mkdir()
    (client / "config" / "client.yaml").write_text("circuit: block")
    _git(client, "add", ".")
    _git(client, "commit", "-qm", "client")
    _git(repo, "submodule", "add", "-q", str(client), "prover-cluster")
    (repo / "config").mkdir()
    (repo / "config" / "client.yaml").symlink_to("../prover-cluster/config/client.yaml")
    _git(repo, "add", ".")
    _git(repo, "commit", "-qm", "submodule")
    assert GitSources(STATE).resolve(str(repo), stage="", allow_dirty=False).config_schema is ConfigSchema.FLAT
    _git(repo, "submodule", "deinit", "-q", "--all")
    found = GitSources(STATE).resolve(str(repo), stage="", allow_dirty=False)
    assert (found.config_schema, found.by_hand) == (None, False)


def test_a_tree_of_another_user_is_read(repo: Path) -> None:
    """The worker may run as another user than the owner of the tree."""
    if os.getuid() == 0:
        for path in [repo, *repo.rglob("*")]:
            os.chown(path, 12345, 12345, follow_symlinks=False)
    assert _resolve(repo)[1] == _git(repo, "-c", f"safe.directory={repo}", "rev-parse", "--short", "HEAD")


def test_programs_named_by_the_repository_never_run(repo: Path, tmp_path: Path) -> None:
    """Hooks, fsmonitor, pager, filters of its own or included configuration and a hostile branch name do nothing."""
    proof = tmp_path / "ran"
    script = tmp_path / "evil"
    script.write_text(f"#!/bin/sh\ntouch '{proof}'\n")
    script.chmod(0o755)
    for option in ("core.fsmonitor", "core.pager", "core.sshCommand", "diff.external"):
        _git(repo, "config", option, str(script))
    for hook in ("post-index-change", "reference-transaction", "post-checkout"):
        (repo / ".git" / "hooks").mkdir(exist_ok=True)
        (repo / ".git" / "hooks" / hook).symlink_to(script)
    (repo / ".git" / "extra").write_text(f'[filter "more="]\n\tclean = {script}\n\trequired = true\n')
    for option in ("filter.evil.clean", "filter.evil.process", "filter.evil.smudge", "core.alternateRefsCommand"):
        _git(repo, "config", option, str(script))
    _git(repo, "config", "include.path", "extra")
    proof.unlink(missing_ok=True)
    (repo / ".git" / "info").mkdir(exist_ok=True)
    (repo / ".git" / "info" / "attributes").write_text("a.txt filter=evil\n.gitignore filter=more=\n")
    (repo / "a.txt").touch()
    (repo / ".gitignore").touch()
    (repo / ".git" / "HEAD").write_text("ref: refs/heads/--upload-pack=evil\n")
    commit = (repo / ".git" / "refs" / "heads" / "main").read_text()
    (repo / ".git" / "refs" / "heads" / "--upload-pack=evil").write_text(commit)
    assert _resolve(repo)[0] == commit.strip()
    assert not proof.exists()
