"""Repositories made by an enemy: nothing of them runs, and nothing is read or written beside the checkout."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from clients.git.work_tree import GitSources
from domain.errors import ProverError
from tests.support.git.server import blob, commit, committed, git, repository, tree

PIN = "1" * 40


class Scene(NamedTuple):
    """An enemy's repository, a program that leaves a proof of having run, and a place that is none of its business."""

    repo: Path
    program: Path
    proof: Path
    outside: Path


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """With a harmless commit."""
    proof, program, outside = tmp_path / "ran", tmp_path / "evil", tmp_path / "outside"
    program.write_text(f"#!/bin/sh\ntouch '{proof}'\ncat\n")
    program.chmod(0o755)
    outside.mkdir()
    (outside / "secret").write_text("s")
    return Scene(repository(tmp_path / "repo"), program, proof, outside)


def link(name: str, target: str) -> Callable[[Scene], object]:
    """A symbolic link."""
    return lambda scene: committed(
        scene.repo, f"120000 blob {blob(scene.repo, target.format(outside=scene.outside))}\t{name}"
    )


def module(path: str, url: str) -> Callable[[Scene], object]:
    """A submodule, as `.gitmodules` has it; its pin is in the tree as far as a tree can hold it."""

    def make(scene: Scene) -> None:
        where = url.format(**scene._asdict())
        text = f'[submodule "x"]\n\tpath = "{path}"\n\turl = "{where}"\n\tupdate = !{scene.program}\n'
        listed = blob(scene.repo, text)
        *parents, name = path.split("/")
        entry = f"160000 commit {PIN}\t{name}"
        for parent in reversed(parents):
            entry = f"040000 tree {_tree(scene.repo, entry)}\t{parent}"
        committed(scene.repo, f"100644 blob {listed}\t.gitmodules", entry)

    return make


def _tree(repo: Path, entry: str) -> str:
    head, _, name = entry.partition("\t")
    mode, _, pin = head.split(" ")
    raw = f"{mode.lstrip('0')} {name}\0".encode() + bytes.fromhex(pin)
    command = ["git", "-C", str(repo), "hash-object", "-w", "-t", "tree", "--literally", "--stdin"]
    return subprocess.run(command, check=True, capture_output=True, input=raw).stdout.decode().strip()


def linked_list(scene: Scene) -> None:
    """`.gitmodules` is a link to a file elsewhere."""
    committed(scene.repo, f"120000 blob {blob(scene.repo, 'elsewhere')}\t.gitmodules", f"160000 commit {PIN}\tx")


def inner_repository(scene: Scene) -> None:
    """A tree that would write into `.git`."""
    hook = f"100755 blob {blob(scene.repo, scene.program.read_text())}\tpost-checkout"
    hooks = tree(scene.repo, hook)
    committed(scene.repo, f"040000 tree {tree(scene.repo, f'040000 tree {hooks}' + chr(9) + 'hooks')}\t.git")


def twice(scene: Scene) -> None:
    """A link and a directory of one name, so that the second is written through the first."""
    payload = tree(scene.repo, f"100644 blob {blob(scene.repo, 'x')}\tplanted")
    target = blob(scene.repo, str(scene.outside))
    raw = b"120000 d\0" + bytes.fromhex(target) + b"40000 d\0" + bytes.fromhex(payload)
    command = ["git", "-C", str(scene.repo), "hash-object", "-w", "-t", "tree", "--literally", "--stdin"]
    made = subprocess.run(command, check=True, capture_output=True, input=raw).stdout.decode().strip()
    git(scene.repo, "update-ref", "refs/heads/main", git(scene.repo, "commit-tree", "-m", "twice", made))


REFUSED: dict[str, Callable[[Scene], object]] = {
    "a link to an absolute path": link("key", "{outside}/secret"),
    "a link upwards": link("key", "../../../outside/secret"),
    "a link into .git": link("key", ".git/config"),
    "a link of endless path": link("key", "a/" * 3000),
    "a list that is a link": linked_list,
    "a submodule by ext": module("x", "ext::{program}"),
    "a submodule by an option": module("x", "--upload-pack={program}"),
    "a submodule by file": module("x", "file://{outside}"),
    "a submodule of a directory": module("x", "{outside}"),
    "a submodule behind a proxy command": module("x", "ssh://-oProxyCommand={program}/x"),
    "a submodule with credentials": module("x", "https://ann:canary@127.0.0.1:1/x"),
    "a submodule in .git": module(".git/modules/x", "https://127.0.0.1:1/x"),
    "a submodule with a carriage return": module("x\r", "https://127.0.0.1:1/x"),
    "a submodule that looks like an option": module("-x", "https://127.0.0.1:1/x"),
    "a tree upwards": module("../outside", "https://127.0.0.1:1/x"),
    "a tree with .git": inner_repository,
    "a link and a directory of one name": twice,
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_repository_that_leads_astray_is_refused(tmp_path: Path, scene: Scene, kind: str) -> None:
    """By name, for good, and before anything of that commit is on disk."""
    REFUSED[kind](scene)
    with pytest.raises(ProverError) as caught:
        GitSources(tmp_path / "state").checkout(str(scene.repo), "main", lambda _: None)
    assert (caught.value.diagnosis.code, caught.value.diagnosis.severity) == ("SOURCE_UNSAFE", "refused")
    assert str(scene.repo) in caught.value.diagnosis.on
    assert "canary" not in str(caught.value)
    assert not scene.proof.exists()
    assert [path.name for path in scene.outside.iterdir()] == ["secret"]


def test_links_that_stay_are_made(tmp_path: Path, scene: Scene) -> None:
    """Many repositories have them."""
    (scene.repo / "docs").mkdir()
    (scene.repo / "docs" / "readme").symlink_to("../a.txt")
    for number in range(50):
        (scene.repo / "docs" / f"{number}").symlink_to(f"readme{number}")
    commit(scene.repo, {})
    made = GitSources(tmp_path / "state").checkout(str(scene.repo), "main", lambda _: None)
    assert (Path(made.directory) / "docs" / "readme").read_text() == "a"


def test_programs_of_the_source_never_run(tmp_path: Path, scene: Scene) -> None:
    """What its configuration and attributes name: filters, hooks, file system monitors, pack hooks, includes."""
    commit(scene.repo, {".gitattributes": "* filter=evil diff=evil ident\n", "included": "[core]\n\tpager = evil\n"})
    options = {
        "core.fsmonitor": scene.program,
        "core.sshCommand": scene.program,
        "core.alternateRefsCommand": scene.program,
        "core.hooksPath": scene.program.parent,
        "uploadpack.packObjectsHook": scene.program,
        "filter.evil.clean": scene.program,
        "filter.evil.smudge": scene.program,
        "filter.evil.process": scene.program,
        "diff.evil.textconv": scene.program,
        "include.path": "../included",
        "credential.helper": f"!{scene.program}",
    }
    for name, value in options.items():
        git(scene.repo, "config", name, str(value))
    for hook in ("post-checkout", "reference-transaction", "post-index-change", "pre-upload"):
        (scene.repo / ".git" / "hooks").mkdir(exist_ok=True)
        (scene.repo / ".git" / "hooks" / hook).symlink_to(scene.program)
    scene.proof.unlink(missing_ok=True)
    sources = GitSources(tmp_path / "state")
    directory = sources.checkout(str(scene.repo), "main", lambda _: None).directory
    # As if a step had brought them into the checkout, too.
    for name, value in options.items():
        git(Path(directory), "config", name, str(value))
    (Path(directory) / ".git" / "hooks").mkdir(exist_ok=True)
    (Path(directory) / ".git" / "hooks" / "post-checkout").symlink_to(scene.program)
    (Path(directory) / ".git" / "info").mkdir(exist_ok=True)
    (Path(directory) / ".git" / "info" / "attributes").write_text("* filter=evil\n")
    scene.proof.unlink(missing_ok=True)
    (Path(directory) / "a.txt").write_text("b")
    sources.checkout(str(scene.repo), "main", lambda _: None)
    sources.resolve(directory, stage="", allow_dirty=True)
    assert not scene.proof.exists()
    assert (Path(directory) / "a.txt").read_text() == "a"


def test_what_lies_in_the_way_of_a_submodule(tmp_path: Path, scene: Scene) -> None:
    """A link that something left where a submodule is to be: nothing is written behind it."""
    inner = repository(tmp_path / "inner", {"planted": "x"})
    sources = GitSources(tmp_path / "state")
    directory = Path(sources.checkout(str(scene.repo), "main", lambda _: None).directory)
    git(scene.repo, "submodule", "add", "-q", "../inner", "parts/inner")
    commit(scene.repo, {})
    (directory / "parts").symlink_to(scene.outside)
    sources.checkout(str(scene.repo), "main", lambda _: None)
    assert [path.name for path in scene.outside.iterdir()] == ["secret"]
    assert (directory / "parts" / "inner" / "planted").read_text() == "x"
    assert inner.exists()


def test_text_of_a_server_cannot_forge_lines(tmp_path: Path, scene: Scene) -> None:
    """What it says reaches people on one line, without escapes."""
    sources, name = GitSources(tmp_path / "state"), "no\x1b[31mred"
    with pytest.raises(ProverError) as caught:
        sources.checkout(str(scene.repo / name), "main", lambda _: None)
    assert "\x1b" not in str(caught.value)
