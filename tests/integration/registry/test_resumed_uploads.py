"""Pushes that end early: what the next one goes on with, and what is left behind, on registries of both kinds."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from domain.errors import Unavailable
from domain.images import TransferProgress
from domain.messages.image import ImageRequest
from tests.support.images.inputs import base_image, circuit, pipeline, quiet, request, write_key
from tests.support.registry.server import KINDS, RegistryRoom, registry_room, until

_KEY_SIZE = 256 << 20  # long enough to be met in the middle
_MET = 24 << 20


@pytest.fixture(params=KINDS)
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RegistryRoom]:
    """A registry with credentials, of either kind."""
    with registry_room(tmp_path / "registry", request.param) as room:
        yield room


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A beat comes often enough to meet a push in the middle."""
    monkeypatch.setattr("clients.image.images._BEAT_SECONDS", 0.02)


@pytest.fixture
def asked(world: dict[str, str], tmp_path: Path, registry: RegistryRoom) -> Iterator[ImageRequest]:
    """An image with a key that takes its time."""
    with base_image(world) as base:
        yield request(circuit(tmp_path / "repo", _KEY_SIZE), base, registry.host)


class _Cancelled(Exception):
    pass


class _Watcher:
    """Hears the beats: how much of the key was there when its push began."""

    def __init__(self) -> None:
        self.began_at: int | None = None

    def __call__(self, _text: str, *details: TransferProgress) -> None:
        pushed = [layer for progress in details if progress.verb == "pushing" for layer in progress.layers]
        done = next((layer.done for layer in pushed if layer.title == "mon.key" and layer.done), None)
        self.began_at = done if self.began_at is None else self.began_at


def _stop_midway(registry: RegistryRoom) -> Callable[..., None]:
    def beat(*_: object) -> None:
        if registry.received() > _MET:
            raise _Cancelled

    return beat


def test_a_push_that_was_broken_off_is_resumed(
    world: dict[str, str], tmp_path: Path, registry: RegistryRoom, asked: ImageRequest
) -> None:
    """The key's upload stays open at a byte, and goes on from there; then nothing is left."""
    images = pipeline(world, tmp_path)
    with pytest.raises(_Cancelled):
        images.ensure(asked, _stop_midway(registry))
    there = registry.received()
    assert there > _MET
    assert registry.tags() == []
    watcher = _Watcher()
    image = images.ensure(asked, watcher)
    assert (image.built, registry.uploads(), registry.dangling()) == (True, [], [])
    assert watcher.began_at is not None
    assert watcher.began_at >= there
    assert list((tmp_path / "state" / "images").glob("*.uploads")) == []


def test_an_abandoned_push_leaves_no_upload(
    world: dict[str, str], tmp_path: Path, registry: RegistryRoom, asked: ImageRequest
) -> None:
    """As when the operation was cancelled."""
    images = pipeline(world, tmp_path)
    with pytest.raises(_Cancelled):
        images.ensure(asked, _stop_midway(registry))
    assert registry.uploads()  # the key's, and on a busy machine that of a small layer beside it
    images.abandon(asked)
    assert registry.uploads() == []


def test_what_nobody_resumes_is_ended(
    world: dict[str, str], tmp_path: Path, registry: RegistryRoom, asked: ImageRequest
) -> None:
    """A key that was made anew in between leaves no upload of the old one."""
    images = pipeline(world, tmp_path)
    with pytest.raises(_Cancelled):
        images.ensure(asked, _stop_midway(registry))
    write_key(Path(asked.backend.repo) / "circuit" / "mon.key", 20 << 20)
    assert images.ensure(asked, quiet).built
    assert registry.uploads() == []


def test_a_push_that_hangs_can_be_cancelled(
    world: dict[str, str], tmp_path: Path, registry: RegistryRoom, asked: ImageRequest
) -> None:
    """With the registry stopped mid-push, beats go on; cancelling ends it; the next attempt leaves no upload open."""
    seen: list[str] = []

    def beat(text: str, *_: object) -> None:
        seen.append(text)
        if registry.received() and "pushing" in text:
            if "stopped" not in seen:
                seen.append("stopped")
                _signal(registry, signal.SIGSTOP)
            elif len(seen) > seen.index("stopped") + 20:
                raise _Cancelled

    images = pipeline(world, tmp_path)
    began = time.monotonic()
    with pytest.raises(_Cancelled):
        images.ensure(asked, beat)
    assert time.monotonic() - began < 30
    _signal(registry, signal.SIGCONT)
    image = images.ensure(asked, quiet)
    assert (image.built, registry.uploads()) == (True, [])


_PUSH = """
import sys
from pathlib import Path
from domain.messages.image import ImageRequest
from tests.support.images.inputs import pipeline
images = pipeline({"DOCKER_HOST": sys.argv[1]}, Path(sys.argv[2]))
images.ensure(ImageRequest.model_validate_json(sys.stdin.read()), lambda *details: None)
"""


@pytest.mark.parametrize("victims", ["the worker", "all"])
def test_a_killed_push(
    world: dict[str, str], tmp_path: Path, registry: RegistryRoom, asked: ImageRequest, victims: str
) -> None:
    """SIGKILL of the worker, or of everything, mid-push: the next attempt goes on and gives one manifest.

    Only distribution 2.8 loses an upload whose body broke off: it can neither be resumed nor ended there.
    """
    with subprocess.Popen(
        [sys.executable, "-c", _PUSH, world["DOCKER_HOST"], str(tmp_path)], stdin=subprocess.PIPE
    ) as worker:
        assert worker.stdin is not None
        worker.stdin.write(asked.model_dump_json().encode())
        worker.stdin.close()
        until(lambda: registry.received() > _MET, "the push of mon.key is under way", 60)
        _signal(registry, signal.SIGSTOP)
        process = _upload_process(worker.pid)
        worker.kill()
        if victims == "all":
            os.kill(process, signal.SIGKILL)
    there = registry.received()
    _signal(registry, signal.SIGCONT)
    watcher = _Watcher()
    image = pipeline(world, tmp_path).ensure(asked, watcher)
    lost = victims == "all" and registry.kind == KINDS[0]
    assert (image.built, len(registry.uploads()), registry.dangling()) == (True, int(lost), [])
    assert len(list(registry.storage.glob("**/_manifests/revisions/sha256/*"))) == 1
    assert watcher.began_at is not None
    assert lost or watcher.began_at >= there


def _signal(registry: RegistryRoom, number: signal.Signals) -> None:
    assert registry.process is not None
    registry.process.send_signal(number)


def _upload_process(parent: int) -> int:
    """The child of one of the worker's threads."""
    children = [
        int(child)
        for task in Path(f"/proc/{parent}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    assert len(children) == 1
    return children[0]


def test_a_key_that_changes_while_it_is_pushed(
    world: dict[str, str], tmp_path: Path, registry: RegistryRoom, asked: ImageRequest
) -> None:
    """The push fails and is worth another try; no tag names what was sent, and then no upload is left of it."""
    key = Path(asked.backend.repo) / "circuit" / "mon.key"

    def beat(text: str, *_: object) -> None:
        if registry.received() and "pushing" in text:
            os.truncate(key, 1 << 20)

    images = pipeline(world, tmp_path)
    with pytest.raises(Unavailable, match="changed while it was being sent"):
        images.ensure(asked, beat)
    assert registry.tags() == []
    assert images.ensure(asked, quiet).built
    assert (registry.uploads(), registry.dangling()) == ([], [])
