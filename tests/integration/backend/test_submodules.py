"""Submodules of real git repositories: checked out at their pins, and each thing that goes wrong gets its advice."""

import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from clients.backend.steps.submodules import advice, argv, environment
from tests.support.backend.jobs import job_in

# By `git config --global`, as a user would: the file protocol is closed to submodules otherwise.
_OPEN = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "protocol.file.allow", "GIT_CONFIG_VALUE_0": "always"}
_WHO = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "protocol.file.allow=always"]


class _Ended(NamedTuple):
    code: int
    said: str


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *_WHO, "-C", str(folder), *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _repository(folder: Path, content: str = "one") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    _git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "file").write_text(content)
    _git(folder, "add", "file")
    _git(folder, "commit", "--quiet", "-m", content)
    return folder


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A fresh clone of a repository with the submodule `sub`, which has the submodule `inner`."""
    inner, sub = _repository(tmp_path / "inner"), _repository(tmp_path / "sub")
    _git(sub, "submodule", "--quiet", "add", str(inner), "inner")
    _git(sub, "commit", "--quiet", "-m", "inner")
    origin = _repository(tmp_path / "origin")
    _git(origin, "submodule", "--quiet", "add", str(sub), "sub")
    _git(origin, "commit", "--quiet", "-m", "sub")
    _git(tmp_path, "clone", "--quiet", str(origin), "repo")
    return tmp_path / "repo"


def _update(repo: Path, env: Mapping[str, str] | None = None, paths: list[str] | None = None) -> _Ended:
    job = job_in(repo.parent, env=_OPEN if env is None else env, submodules={"paths": paths or []})
    surroundings = {**environment(), **job.env}
    done = subprocess.run(
        argv(job.step),
        cwd=repo,
        env=surroundings,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    return _Ended(done.returncode, done.stdout + done.stderr)


def test_all_are_checked_out_at_their_pins(repo: Path) -> None:
    """Nested ones too; a remote that went on changes nothing, and a second run neither."""
    _repository(repo.parent / "sub", "two")
    for _ in range(2):
        ended = _update(repo)
        assert ended.code == 0, ended.said
        assert (repo / "sub/file").read_text() == "one"
        assert (repo / "sub/inner/file").exists()
        assert _git(repo, "status", "--porcelain") == ""


def test_a_merge_in_the_configuration_changes_nothing(repo: Path) -> None:
    """The pin is checked out whatever the user's configuration says about updates."""
    assert _update(repo).code == 0
    _git(repo / "sub", "checkout", "--quiet", "-b", "mine")
    (repo / "sub/file").write_text("mine")
    _git(repo / "sub", "commit", "--quiet", "-am", "mine")
    _git(repo, "config", "submodule.sub.update", "merge")
    assert _update(repo).code == 0
    assert (repo / "sub/file").read_text() == "one"


def test_one_by_its_path(repo: Path) -> None:
    """Others stay away; a path that is none is named."""
    assert _update(repo, paths=["sub"]).code == 0
    ended = _update(repo, paths=["nothing"])
    assert ended.code != 0
    assert ".gitmodules" in advice(ended.said)


def test_the_file_protocol_is_not_allowed(repo: Path) -> None:
    """Git's own default stays in force."""
    ended = _update(repo, env={})
    assert ended.code != 0
    assert "protocol.file.allow" in advice(ended.said)


def test_a_pin_that_the_remote_lacks(repo: Path) -> None:
    """After a force push the commit is nowhere to be had."""
    sub = repo.parent / "sub"
    _git(sub, "checkout", "--quiet", "--orphan", "other")
    _git(sub, "commit", "--quiet", "-m", "other")
    _git(sub, "branch", "--quiet", "-D", "main")
    _git(sub, "reflog", "expire", "--expire=now", "--all")
    _git(sub, "gc", "--quiet", "--prune=now")
    ended = _update(repo)
    assert ended.code != 0
    assert "no longer has it" in advice(ended.said), ended.said


def test_local_changes_are_not_overwritten(repo: Path) -> None:
    """Git stops, the change stays, and after it is gone the same step succeeds."""
    assert _update(repo).code == 0
    _git(repo / "sub", "checkout", "--quiet", "HEAD~1")
    (repo / "sub/.gitmodules").write_text("mine")
    ended = _update(repo)
    assert ended.code != 0
    assert "local changes" in advice(ended.said), ended.said
    assert (repo / "sub/.gitmodules").read_text() == "mine"
    (repo / "sub/.gitmodules").unlink()
    assert _update(repo).code == 0


def _over_ssh(repo: Path, port: int = 22) -> None:
    _git(repo, "submodule", "--quiet", "init")
    _git(repo, "config", "submodule.sub.url", f"ssh://git@127.0.0.1:{port}/sub.git")


def test_ssh_without_a_key(repo: Path, tmp_path: Path) -> None:
    """What ssh says then leads to the advice about keys; the user's own command is the one that runs."""
    _over_ssh(repo)
    refusing = tmp_path / "refusing-ssh"
    refusing.write_text("#!/bin/sh\necho 'git@127.0.0.1: Permission denied (publickey).' >&2\nexit 255\n")
    refusing.chmod(0o755)
    ended = _update(repo, env={**_OPEN, "GIT_SSH_COMMAND": str(refusing), "GIT_SSH_VARIANT": "ssh"})
    assert ended.code != 0
    assert "load an ssh key for the worker's user" in advice(ended.said)


def test_ssh_to_a_port_that_refuses(repo: Path) -> None:
    """The machine's own ssh fails at once and says so."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    _over_ssh(repo, port)
    ended = _update(repo)
    assert ended.code != 0
    assert "reaches the submodule's host" in advice(ended.said), ended.said


def test_the_environment_never_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither git nor ssh prompts; an ssh command in the user's git configuration stays in force."""
    config = tmp_path / "gitconfig"
    config.write_text("")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    assert environment()["GIT_TERMINAL_PROMPT"] == "0"
    assert "BatchMode=yes" in environment()["GIT_SSH_COMMAND"]
    config.write_text("[core]\n\tsshCommand = ssh -i ~/.ssh/deploy\n")
    assert "GIT_SSH_COMMAND" not in environment()
