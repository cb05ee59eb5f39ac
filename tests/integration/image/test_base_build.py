"""The base image as the world's Docker Engine builds it from a context in a repository."""

import contextlib
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from clients.docker import build
from clients.docker.build import CONTEXT_LABEL, ensure_base
from clients.docker.engine import Engine
from clients.image.preflight import LocalImagePreflight
from clients.registry.credentials import WorkerSecrets
from domain.errors import ImageInputMissing, PermanentError, Unavailable
from sandbox.go import go_command
from sandbox.settings import REPOSITORY, Settings

_ACTOR = REPOSITORY / "tests" / "support" / "images" / "failing_client"
_PATIENCE = 20.0  # seconds for what the Engine does in its own time


@pytest.fixture(scope="module")
def actor(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A static program, for images that hold nothing else."""
    target = tmp_path_factory.mktemp("actor") / "actor"
    command = [go_command(Settings.from_environment()), "build", "-trimpath", "-ldflags=-s -w", "-o", str(target), "."]
    subprocess.run(command, cwd=_ACTOR, env={**os.environ, "CGO_ENABLED": "0"}, check=True)
    return target.read_bytes()


@pytest.fixture
def engine(world: dict[str, str]) -> Iterator[Any]:
    """The world's Engine, which keeps nothing that a test had built."""
    with contextlib.closing(docker.DockerClient(base_url=world["DOCKER_HOST"])) as client:
        before = {image.id for image in client.images.list()}
        yield client
        for image in client.images.list(name=build.BASE_REPOSITORY):
            if image.id not in before:
                client.images.remove(str(image.id), force=True)


class _Repo:
    """A repository whose context is new to the Engine."""

    def __init__(self, folder: Path, world: dict[str, str]) -> None:
        self.folder = folder
        self.environ = {"DOCKER_HOST": world["DOCKER_HOST"]}
        self.client = folder / "client"
        self.client.mkdir(parents=True)
        self.mark = uuid.uuid4().hex
        self.slow = f'FROM scratch\nCOPY actor client /\nRUN ["/actor", "say", "{self.mark}"]\n'
        self.write("Dockerfile", "FROM scratch\nCOPY client /client\nUSER 65532\n")
        self.write("client", self.mark)

    def write(self, name: str, content: str | bytes) -> None:
        (self.client / name).write_bytes(content.encode() if isinstance(content, str) else content)
        (self.client / name).chmod(0o755)

    def build(self, progress: Callable[[str], None] = lambda _: None) -> str:
        return ensure_base(self.environ, str(self.folder), "client", progress)

    def containers(self, engine: Any) -> list[str]:
        """Those in which a step of this repository's Dockerfile runs or ran."""
        return [one["Id"] for one in engine.api.containers(all=True) if self.mark in one["Command"]]

    def await_removal(self, engine: Any) -> None:
        """Wait for the Engine to remove them."""
        deadline = time.monotonic() + _PATIENCE
        while self.containers(engine):
            assert time.monotonic() < deadline, "a container of the build stays"
            time.sleep(0.02)


@pytest.fixture
def repo(tmp_path: Path, world: dict[str, str]) -> _Repo:
    """With a client that no other test has."""
    return _Repo(tmp_path / "repo", world)


def test_an_equal_context_is_built_once(engine: Any, repo: _Repo, tmp_path: Path, world: dict[str, str]) -> None:
    """Elsewhere, with other times: the image that is there is the answer; another byte is another image."""
    told: list[str] = []
    name = repo.build(told.append)
    built = engine.images.get(name)
    assert any(line.startswith("building the base image: ") for line in told)
    assert (name.startswith("prover-base:"), len(built.labels[CONTEXT_LABEL])) == (True, 64)
    again = _Repo(tmp_path / "again", world)
    again.write("client", (repo.client / "client").read_bytes())
    os.utime(again.client / "client", (7, 7))
    told.clear()
    assert again.build(told.append) == name
    assert [line for line in told if line.startswith("building")] == []
    assert engine.images.get(name).id == built.id
    again.write("client", uuid.uuid4().hex)
    assert again.build() != name


def test_the_pipeline_reads_it_like_any_base_image(engine: Any, repo: _Repo, world: dict[str, str]) -> None:
    """Its user and its layers."""
    assert engine.ping()
    base = Engine(world["DOCKER_HOST"]).base_image(repo.build())
    assert (base.config["User"], len(base.layers)) == ("65532", 1)


def test_a_preflight_tells_whether_it_is_built(engine: Any, repo: _Repo) -> None:
    """Without building; a context without a Dockerfile is a fault that names the setting."""
    assert engine.ping()
    image_preflight = LocalImagePreflight(repo.environ["DOCKER_HOST"], WorkerSecrets({}))
    size = sum(file.stat().st_size for file in repo.client.iterdir())
    told = (f"client: 2 files, {size} B", "")
    assert image_preflight.base_context(str(repo.folder), "client", "Dockerfile") == told
    assert image_preflight.base_context(str(repo.folder), "client", "Dockerfile") == told
    built = repo.build()
    assert image_preflight.base_context(str(repo.folder), "client", "Dockerfile") == (told[0], built)
    (repo.client / "Dockerfile").unlink()
    with pytest.raises(ImageInputMissing, match="PROVER_BASE_CONTEXT=client"):
        image_preflight.base_context(str(repo.folder), "client", "Dockerfile")


def test_another_dockerfile_of_the_same_context(engine: Any, repo: _Repo) -> None:
    """By the name that PROVER_BASE_DOCKERFILE gives, as an image of its own."""
    repo.write("prover.docker", "FROM scratch\nCOPY client /client\nUSER 7\n")
    usual = repo.build()
    other = ensure_base(repo.environ, str(repo.folder), "client", lambda _: None, "prover.docker")
    users = [engine.images.get(name).attrs["Config"]["User"] for name in (usual, other)]
    assert users == ["65532", "7"]
    (repo.client / "Dockerfile").unlink()
    image_preflight = LocalImagePreflight(repo.environ["DOCKER_HOST"], WorkerSecrets({}))
    assert image_preflight.base_context(str(repo.folder), "client", "prover.docker")[1] == ""


def test_files_alone_give_the_same_layers(engine: Any, repo: _Repo) -> None:
    """Built anew from nothing, what COPY takes from the context is the same bit for bit: no time goes with it."""
    name = repo.build()
    first = engine.images.get(name)
    engine.images.remove(name, force=True)
    assert repo.build() == name
    second = engine.images.get(name)
    assert first.id != second.id  # the Engine has forgotten all of it: it was built twice
    assert first.attrs["RootFS"] == second.attrs["RootFS"]


@pytest.mark.parametrize(
    ("dockerfile", "words"),
    [
        ("FROM scratch\nFOO\n", ["unknown instruction: FOO"]),
        ("", ["Dockerfile"]),
        ("FROM scratch\nCOPY nothing /\n", ["Step 2/3 : COPY nothing /", "file not found in build context"]),
        ('FROM scratch\nCOPY actor /\nRUN ["/actor", "end", "3", "MARK", "hopeless"]\n', ["hopeless", "code: 3"]),
    ],
)
def test_a_build_that_fails(engine: Any, repo: _Repo, actor: bytes, dockerfile: str, words: list[str]) -> None:
    """The setting and the end of the log are named; nothing is tagged and no container stays."""
    repo.write("actor", actor)
    repo.write("Dockerfile", dockerfile.replace("MARK", repo.mark))
    with pytest.raises(PermanentError) as caught:
        repo.build()
    said = str(caught.value)
    assert [word for word in ("BASE_BUILD", "PROVER_BASE_CONTEXT=client", *words) if word not in said] == []
    assert repo.containers(engine) == []


def test_a_registry_of_the_from_that_does_not_answer(repo: _Repo) -> None:
    """It may come back: worth another try."""
    repo.write("Dockerfile", f"FROM 127.0.0.1:9/none:{uuid.uuid4().hex}\n")
    with pytest.raises(Unavailable, match="BASE_BUILD"):
        repo.build()


class _Cancelled(Exception):
    pass


def test_a_silent_step_can_be_cancelled(engine: Any, repo: _Repo, actor: bytes) -> None:
    """Beats go on; when one raises the Engine ends the build, its container is gone, and nothing is tagged."""
    repo.write("actor", actor)
    repo.write("Dockerfile", repo.slow)
    seen: list[str] = []

    def progress(line: str) -> None:
        seen.append(line)
        if line.endswith(repo.mark) and seen.count(line) > 2:
            raise _Cancelled

    with pytest.raises(_Cancelled):
        repo.build(progress)
    assert not [one for one in threading.enumerate() if one.name == "base-build"]
    repo.await_removal(engine)


_BUILD = """
import sys
from clients.docker.build import ensure_base
ensure_base({"DOCKER_HOST": sys.argv[1]}, sys.argv[2], "client", lambda line: print(line, flush=True))
"""


def test_a_killed_build_is_done_again(engine: Any, repo: _Repo, actor: bytes) -> None:
    """SIGKILL of the worker in the middle of a step leaves no container; the next call builds."""
    repo.write("actor", actor)
    repo.write("Dockerfile", repo.slow)
    command = [sys.executable, "-c", _BUILD, repo.environ["DOCKER_HOST"], str(repo.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert any(line.endswith(f"{repo.mark}\n") for line in worker.stdout)
        worker.kill()
    repo.await_removal(engine)
    repo.write("Dockerfile", "FROM scratch\nCOPY actor client /\n")
    assert engine.images.get(repo.build())
