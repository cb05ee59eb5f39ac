"""Checkouts that were killed, cancelled, damaged or made at the same time."""

import fcntl
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from clients.git.work_tree import GitSources
from sandbox.settings import REPOSITORY
from tests.support.git.checkout import Stopped, check_out, commands_with
from tests.support.git.server import GitServer, git


def _corrupt(directory: Path) -> None:
    for pack in (directory / ".git" / "objects" / "pack").glob("*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(pack.read_bytes()[:40])


def _empty(name: str) -> Callable[[Path], object]:
    return lambda directory: (directory / ".git" / name).write_text("")


def _gone(directory: Path) -> None:
    (directory / ".git" / "objects").rename(directory.parent / "away")


DAMAGES: dict[str, Callable[[Path], object]] = {
    "index.lock": _empty("index.lock"),
    "HEAD.lock": _empty("HEAD.lock"),
    "config.lock": _empty("config.lock"),
    "shallow.lock": _empty("shallow.lock"),
    "ref.lock": _empty("refs/checkout/wanted.lock"),
    "half a pack": _empty("objects/pack/tmp_pack_x"),
    "half an index": _empty("index"),
    "an empty HEAD": _empty("HEAD"),
    "a broken config": lambda directory: (directory / ".git" / "config").write_text("[core"),
    "a broken shallow": lambda directory: (directory / ".git" / "shallow").write_text("x"),
    "a broken ref": _empty("refs/checkout/wanted"),
    "a broken pack": _corrupt,
    "no objects": _gone,
    "no repository": lambda directory: (directory / ".git").rename(directory.parent / "away"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("ref", ["main", "{whole}"])
def test_what_a_death_left_is_mended(sources: GitSources, repo: Path, damage: str, ref: str) -> None:
    """Locks of git, halves of files and a repository that is gone; keys survive, and nothing is left over."""
    ref = ref.format(whole=git(repo, "rev-parse", "HEAD"))
    directory = check_out(sources, repo, ref)
    (directory / "made.key").write_text("hours of work")
    (directory / "a.txt").write_text("half")
    DAMAGES[damage](directory)
    check_out(sources, repo, ref)
    assert (directory / "a.txt").read_text() == "a"
    assert (directory / "made.key").read_text() == "hours of work"
    assert sorted({path.name for path in directory.parent.iterdir()} - {"away"}) == ["config", "lock", "tree"]


def test_one_that_was_killed_while_it_fetched(tmp_path: Path, server: GitServer, sources: GitSources) -> None:
    """The successor gets it all, with no regard to what runs on."""
    server.held = threading.Event()
    program = (
        "import sys; from pathlib import Path; from clients.git.work_tree import GitSources;"
        "GitSources(Path(sys.argv[1])).checkout(sys.argv[2], 'main', lambda text: None)"
    )
    argv = [sys.executable, "-c", program, str(tmp_path / "state"), f"{server.url}/backend"]
    with subprocess.Popen(argv, cwd=REPOSITORY) as victim:
        assert server.asked.wait(30)
        victim.send_signal(signal.SIGKILL)
    server.held.set()
    directory = check_out(sources, f"{server.url}/backend")
    assert (directory / "b.txt").read_text() == "b"


def test_one_that_is_cancelled_ends_its_git(server: GitServer, sources: GitSources) -> None:
    """What the beat raises comes out, and no git of it runs on."""
    server.held = threading.Event()

    def beat(_: str) -> None:
        if server.asked.is_set():
            raise Stopped

    with pytest.raises(Stopped):
        sources.checkout(f"{server.url}/backend", "main", beat)
    assert commands_with(server.url) == []


def test_two_at_once_come_one_after_the_other(sources: GitSources, repo: Path) -> None:
    """The second says what it waits for, and can be told to stop."""
    place = check_out(sources, repo).parent
    said = []

    def beat(text: str) -> None:
        said.append(text)
        raise Stopped

    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Stopped):
            sources.checkout(str(repo), "main", beat)
    assert said == [f"waiting for another checkout of BACKEND_REPO={repo} BACKEND_REF=main"]
    check_out(sources, repo)


def test_many_at_once_agree(sources: GitSources, repo: Path) -> None:
    """Of one ref, and of several."""
    failures: list[BaseException] = []

    def work(ref: str) -> None:
        try:
            sources.checkout(str(repo), ref, lambda _: None)
        except BaseException as error:  # noqa: BLE001 - it is asserted below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(ref,)) for ref in ("main", "main", "main", "v1")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert (check_out(sources, repo) / "b.txt").exists()
