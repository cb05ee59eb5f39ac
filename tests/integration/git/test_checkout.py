"""Repositories checked out at a ref: the commit that was asked for, whatever was there before and whoever died."""

import os
import threading
from pathlib import Path

import pytest

from clients.git.repository import Limits
from clients.git.work_tree import GitSources
from domain.errors import CredentialsRejected, NotARepository, ProverError, Refused, SettingsInvalid, Unavailable
from tests.support.git.checkout import check_out, commands_with
from tests.support.git.server import GitServer, commit, git, repository

SECRET = "canary-4711"


@pytest.mark.parametrize("ref", ["main", "refs/heads/main", "", "HEAD", "{whole}", "{short}"])
def test_a_commit_by_any_of_its_names(sources: GitSources, repo: Path, ref: str) -> None:
    """Branch, default branch, whole and short commit."""
    head = git(repo, "rev-parse", "HEAD")
    directory = check_out(sources, repo, ref.format(whole=head, short=head[:9]))
    assert git(directory, "rev-parse", "HEAD") == head
    assert (directory / "b.txt").read_text() == "b"


@pytest.mark.parametrize("ref", ["v1", "side", "refs/tags/v1", "{whole}", "{short}"])
def test_what_is_not_the_newest(sources: GitSources, server: GitServer, repo: Path, ref: str) -> None:
    """A tag, another branch and an older commit, over https."""
    old = git(repo, "rev-parse", "side")
    directory = check_out(sources, f"{server.url}/backend", ref.format(whole=old, short=old[:9]))
    assert git(directory, "rev-parse", "HEAD") == old
    assert not (directory / "b.txt").exists()


def test_a_branch_that_moves(sources: GitSources, repo: Path) -> None:
    """Forwards and, by force, elsewhere: what the branch names now, in the same directory."""
    first = check_out(sources, repo)
    commit(repo, {"b.txt": "c", "new.txt": "n"})
    assert check_out(sources, repo) == first
    assert ((first / "b.txt").read_text(), (first / "new.txt").exists()) == ("c", True)
    git(repo, "reset", "--hard", "-q", "v1")
    commit(repo, {"other.txt": "o"})
    check_out(sources, repo)
    assert [(first / name).exists() for name in ("b.txt", "new.txt", "other.txt")] == [False, False, True]


def test_leftovers_of_what_git_tracks_go_and_keys_stay(sources: GitSources, repo: Path) -> None:
    """Changed, staged and deleted files are as committed again; what a set-up made is still there, and no change."""
    directory = check_out(sources, repo)
    (directory / "a.txt").write_text("changed")
    (directory / "b.txt").unlink()
    git(directory, "add", "a.txt")
    (directory / "build").mkdir()
    (directory / "build" / "mon.key").write_text("hours of work")
    (directory / "made.key").write_text("as well")
    check_out(sources, repo)
    assert (directory / "a.txt").read_text() == "a"
    assert (directory / "build" / "mon.key").read_text() + (
        directory / "made.key"
    ).read_text() == "hours of workas well"
    source = sources.resolve(str(directory), stage="", allow_dirty=False)
    assert (source.dirty, source.stage) == (False, git(directory, "rev-parse", "--short", "HEAD"))


def test_a_whole_commit_needs_the_server_once(sources: GitSources, server: GitServer, repo: Path) -> None:
    """It cannot have changed, so later deploys go on while the server is away."""
    head = git(repo, "rev-parse", "HEAD")
    check_out(sources, f"{server.url}/backend", head)
    server.status = 503
    check_out(sources, f"{server.url}/backend", head)


def test_submodules_come_at_their_pins(sources: GitSources, server: GitServer, repo: Path) -> None:
    """By a relative URL, two levels deep, and not the newest; moved back when somebody moved them."""
    repository(repo.parent / "deep", {"deep.txt": "d"})
    inner = repository(repo.parent / "inner", {"inner.txt": "1"})
    git(inner, "submodule", "add", "-q", "../deep", "deep")
    commit(inner, {})
    git(repo, "submodule", "add", "-q", "../inner", "parts/inner one")
    commit(repo, {})
    commit(inner, {"inner.txt": "2"})
    for origin in (f"{server.url}/backend", str(repo)):
        part = check_out(sources, origin) / "parts" / "inner one"
        assert ((part / "inner.txt").read_text(), (part / "deep" / "deep.txt").read_text()) == ("1", "d")
        (part / "inner.txt").write_text("changed")
        check_out(sources, origin)
        assert (part / "inner.txt").read_text() == "1"
    pins = sources.resolve(str(part.parent.parent), stage="", allow_dirty=False).submodules
    assert pins == {"parts/inner one": git(part, "rev-parse", "HEAD")}


def test_a_step_may_update_the_submodules_itself(sources: GitSources, server: GitServer, repo: Path) -> None:
    """As profiles do: git finds all of them there, at their pins, and the next checkout goes on from that."""
    repository(repo.parent / "inner", {"inner.txt": "1"})
    git(repo, "submodule", "add", "-q", "../inner", "inner")
    commit(repo, {})
    directory = check_out(sources, f"{server.url}/backend")
    server.status = 503  # it needs nobody
    git(directory, "submodule", "update", "--init", "--recursive", "--checkout")
    assert git(directory, "submodule", "status").split()[:2] == [git(repo / "inner", "rev-parse", "HEAD"), "inner"]
    server.status = 0
    assert (check_out(sources, f"{server.url}/backend") / "inner" / "inner.txt").read_text() == "1"


def test_a_submodule_that_was_not_pushed(sources: GitSources, repo: Path) -> None:
    """Of a local repository its own checkout is asked first; a pin that nobody has is named."""
    inner = repository(repo.parent / "inner")
    git(repo, "submodule", "add", "-q", "../inner", "inner")
    commit(repo / "inner", {"only.txt": "here"})
    commit(repo, {})
    assert (check_out(sources, repo) / "inner" / "only.txt").read_text() == "here"
    git(repo, "update-index", "--cacheinfo", f"160000,{'1' * 40},inner")
    git(repo, "commit", "-qm", "lost")
    with pytest.raises(NotARepository, match="the commit 111111111111 that the repository pins") as caught:
        check_out(sources, repo)
    assert "submodule inner" in caught.value.diagnosis.on
    assert inner.exists()


@pytest.mark.parametrize(
    ("ref", "why"),
    [
        ("gone", "neither a branch nor a tag gone"),
        ("refs/heads/gone", "neither a branch nor a tag"),
        ("f" * 40, "no branch or tag of the repository holds"),
        ("abcdef0", "no branch or tag of the repository holds"),
        ("both", "several of that name: refs/heads/both and refs/tags/both"),
        ("text", "text is no commit"),
    ],
)
def test_a_ref_that_is_not_there(sources: GitSources, repo: Path, ref: str, why: str) -> None:
    """Both settings are named, and what to give instead; a second try cannot help."""
    git(repo, "branch", "both")
    git(repo, "tag", "both")
    git(repo, "tag", "text", git(repo, "rev-parse", "HEAD:a.txt"))
    with pytest.raises(NotARepository, match=why) as caught:
        check_out(sources, repo, ref)
    assert caught.value.diagnosis.on == f"BACKEND_REPO={repo} BACKEND_REF={ref}"
    assert "BACKEND_REF" in caught.value.diagnosis.do


@pytest.mark.parametrize(
    ("repo_", "ref", "error", "word"),
    [
        ("", "main", SettingsInvalid, "BACKEND_REPO"),
        ("ext::sh -c id", "main", SettingsInvalid, "BACKEND_REPO"),
        ("file:///etc", "main", SettingsInvalid, "BACKEND_REPO"),
        (f"https://ann:{SECRET}@127.0.0.1:1/x", "main", SettingsInvalid, "BACKEND_REPO"),
        ("/nonexistent", "--upload-pack=id", SettingsInvalid, "BACKEND_REF"),
        ("/nonexistent", "main", NotARepository, "BACKEND_REPO=/nonexistent"),
        ("/usr", "main", NotARepository, "BACKEND_REPO=/usr"),
        ("--upload-pack=id", "main", NotARepository, "BACKEND_REPO"),
        ("https://127.0.0.1:1/x", "main", Unavailable, "BACKEND_REPO=https://127.0.0.1:1/x"),
        ("ssh://git@127.0.0.1:1/x", "main", Unavailable, "127.0.0.1:1/x"),
        ("https://no-such-host.invalid/x", "main", Unavailable, "BACKEND_REPO=https://no-such-host.invalid/x"),
    ],
)
def test_what_cannot_be_checked_out(
    sources: GitSources, repo_: str, ref: str, error: type[ProverError], word: str
) -> None:
    """Told by its setting; only a network that does not answer is tried again."""
    with pytest.raises(error, match=word) as caught:
        sources.checkout(repo_, ref, lambda _: None)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, CredentialsRejected), (403, CredentialsRejected), (404, NotARepository), (503, Unavailable)],
)
def test_what_a_server_answers(sources: GitSources, server: GitServer, status: int, error: type[ProverError]) -> None:
    """Who is not let in and what is not there are told at once; a server in trouble is asked again."""
    server.status = status
    with pytest.raises(error, match="BACKEND_REPO"):
        check_out(sources, f"{server.url}/backend")


def test_a_server_that_nobody_vouches_for(
    sources: GitSources, server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remedy names where the authority goes."""
    monkeypatch.delenv("GIT_SSL_CAINFO")
    with pytest.raises(CredentialsRejected, match=r"http\.sslCAInfo"):
        check_out(sources, f"{server.url}/backend")


@pytest.mark.parametrize("way", ["helper", "askpass"])
def test_credentials_come_from_the_worker_s_own_git(
    sources: GitSources, server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """By a helper of its configuration or by GIT_ASKPASS; nothing of them stays anywhere."""
    server.password = SECRET
    if way == "helper":
        config = tmp_path / "user.gitconfig"
        config.write_text(f'[credential]\n\thelper = "!f() {{ echo username=ann; echo password={SECRET}; }}; f"\n')
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    else:
        program = tmp_path / "askpass"
        program.write_text(f'#!/bin/sh\ncase "$1" in User*) echo ann;; *) echo {SECRET};; esac\n')
        program.chmod(0o700)
        monkeypatch.setenv("GIT_ASKPASS", str(program))
    directory = check_out(sources, f"{server.url}/backend")
    kept = [path for path in directory.parent.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert kept == []
    server.password = "another"
    with pytest.raises(CredentialsRejected) as caught:
        check_out(sources, f"{server.url}/backend")
    assert SECRET not in str(caught.value)


def test_other_variables_of_git_do_not_lead_it_astray(
    sources: GitSources, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a worker that somebody started from a hook."""
    other = repository(tmp_path / "other")
    for name, value in {"DIR": other / ".git", "WORK_TREE": other, "INDEX_FILE": other / "index", "TRACE": 1}.items():
        monkeypatch.setenv(f"GIT_{name}", str(value))
    directory = sources.checkout(str(repo), "main", lambda _: None).directory
    assert (Path(directory) / "b.txt").read_text() == "b"
    assert sources.resolve(directory, stage="", allow_dirty=False).dirty is False
    assert not (other / "index").exists()


@pytest.mark.parametrize("over_https", [True, False])
def test_a_repository_may_be_too_large(tmp_path: Path, server: GitServer, repo: Path, over_https: bool) -> None:
    """What it would put on disk is counted before it is put there."""
    commit(repo, {"zeros.txt": "0" * 5_000_000})
    small = GitSources(tmp_path / "state", Limits(size=2 << 20))
    with pytest.raises(Refused, match="too large") as caught:
        check_out(small, f"{server.url}/backend" if over_https else repo)
    assert caught.value.diagnosis.code == "SOURCE_TOO_LARGE"
    assert list((tmp_path / "state").rglob("zeros.txt")) == []


def test_a_fetch_that_takes_too_long(tmp_path: Path, server: GitServer) -> None:
    """Ends by itself, and may be tried again."""
    server.held = threading.Event()
    hasty = GitSources(tmp_path / "state", Limits(seconds=0.5))
    with pytest.raises(Unavailable, match=r"took longer than 0\.5 s"):
        check_out(hasty, f"{server.url}/backend")
    assert commands_with(server.url) == []


def test_where_a_checkout_is(sources: GitSources, repo: Path) -> None:
    """Known once it was made, without asking anybody; before that it is an error with the remedy."""
    with pytest.raises(NotARepository, match="backend up"):
        sources.located(str(repo), "main")
    directory = check_out(sources, repo)
    commit(repo, {"b.txt": "newer"})
    assert sources.located(str(repo), "main") == str(directory)
    assert (directory / "b.txt").read_text() == "b"


def test_a_repository_of_another_user(sources: GitSources, repo: Path) -> None:
    """The worker may run as another user than the owner of the local repository."""
    if os.getuid() == 0:
        for path in [repo, *repo.rglob("*")]:
            os.chown(path, 12345, 12345, follow_symlinks=False)
    check_out(sources, repo)
