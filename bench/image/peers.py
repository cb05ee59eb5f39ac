"""Peers: classic `docker build` and `docker push` by the Engine, and `crane append`.

Both get the best case: the context of the build is streamed to the Engine without a copy on disk, the commit comes in
a last line so that Docker's cache of the keys holds, and crane finds its layers as tar files that were made before,
one a key so that it sends several at once.
"""

import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import docker

from bench.image.inputs import Keys
from bench.timing import timed
from bench.world.embedded import World
from sandbox.binaries import CRANE, ensure_built
from sandbox.settings import Settings

_ENGINE_SECONDS = 1800  # an Engine gzips on one thread
_DOCKERFILE = "FROM {base}\nCOPY build/circuit /opt/circuit\nLABEL org.opencontainers.image.revision={commit}\n"


class Docker:
    """The world's Engine, driven by its API as the docker command does."""

    def __init__(self, world: World) -> None:
        """Nothing is built yet."""
        self._client = docker.DockerClient(base_url=world.env["DOCKER_HOST"], timeout=_ENGINE_SECONDS)
        self._names: set[str] = set()

    def image(self, keys: Keys, base: str, host: str, repository: str, commit: int = 0) -> float:
        """Seconds of build and push."""
        name = f"{host}/{repository}:c{commit}"
        start = time.perf_counter()
        self._build(keys, base, name, commit)
        self.push(name)
        return time.perf_counter() - start

    def push_base(self, base: str, host: str) -> str:
        """Put the base image into the registry and return its name."""
        name = f"{host}/bench/{base}"
        self._client.images.get(base).tag(name)
        self._names.add(name)
        self.push(name)
        return name

    def push(self, name: str) -> None:
        """As `docker push`."""
        _demand(self._client.api.push(name, stream=True, decode=True))

    def forget(self) -> None:
        """Remove all that was made, with what the build cache knows of it."""
        for name in self._names:
            with contextlib.suppress(docker.errors.ImageNotFound):
                self._client.images.remove(name, force=True)
        self._names.clear()

    def close(self) -> None:
        """Forget, and end the connection."""
        self.forget()
        self._client.close()

    def _build(self, keys: Keys, base: str, name: str, commit: int) -> None:
        self._names.add(name)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "Dockerfile").write_text(_DOCKERFILE.format(base=base, commit=commit))
            command = ["tar", "-c", "-C", folder, "Dockerfile", "-C", str(keys.repo), "build"]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as context:
                build = self._client.api.build(
                    fileobj=context.stdout, custom_context=True, tag=name, rm=True, decode=True
                )
                _demand(build)


class Crane:
    """go-containerregistry's command; its tar files are under `folder`."""

    def __init__(self, folder: Path) -> None:
        """Built on request."""
        self.program = str(ensure_built(Settings.from_environment(), CRANE) / "crane")
        self._folder = folder
        folder.mkdir()

    def pack(self, keys: Keys, paths: Iterable[Path] = ()) -> None:
        """Write one tar file a key: of these keys, or of all and of the small files."""
        chosen = list(paths)
        small = [path for path in keys.folder.iterdir() if path not in keys.paths]
        for members in [[path] for path in chosen or keys.paths] + ([] if chosen else [small]):
            names = [str(path.relative_to(keys.folder)) for path in members]
            prefix = "--transform=s,^,opt/circuit/,"
            subprocess.run(
                ["tar", "-c", "-f", self._folder / f"{names[0]}.tar", prefix, "-C", keys.folder, *names], check=True
            )

    def append(self, base: str, tag: str) -> list[str]:
        """Return the command."""
        layers = [f"--new_layer={path}" for path in sorted(self._folder.iterdir())]
        return [self.program, "append", f"--base={base}", f"--new_tag={tag}", *layers]

    def image(self, base: str, tag: str) -> float:
        """Seconds of `crane append`."""
        return timed(self.append(base, tag))

    def verify(self, reference: str) -> None:
        """Check configuration and manifest, read every blob and compare its digest.

        Not by `crane validate` without --fast: it takes every layer for gzip, and ours are plain tar.
        """
        timed([self.program, "validate", "--fast", f"--remote={reference}"])
        with tempfile.TemporaryDirectory(dir=self._folder.parent) as folder:
            timed([self.program, "pull", "--format=oci", reference, folder])


@contextlib.contextmanager
def peers(world: World, folder: Path) -> Iterator[tuple[Docker, Crane]]:
    """Both, and nothing of theirs left afterwards."""
    engine = Docker(world)
    try:
        yield engine, Crane(folder)
    finally:
        engine.close()


def _demand(news: Iterable[dict[str, Any]]) -> None:
    for line in news:
        if "error" in line:
            raise RuntimeError(json.dumps(line))
