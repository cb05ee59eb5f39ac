"""Inputs of the image benchmarks: incompressible keys on disk, base images in the Engine, and requests.

The key directory is complete for the product, which refuses one without circuit, monomial key and verification key.
"""

import contextlib
import io
import os
import shutil
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker

from bench.world.embedded import World
from domain.messages.image import ImageRequest
from domain.messages.source import Source
from domain.spec import Backend, ImageTarget, SecretRef

MIB = 1 << 20
REPOSITORY = "bench/prover"
TOTAL = int(os.environ.get("BENCH_IMAGE_MIB", "1024")) * MIB
"""Bytes of all keys of `image-cold` and `image-commit`."""
CLIENT = 8 * MIB
"""Bytes of a base image: a client binary."""


class Anonymous:
    """No credentials for anybody."""

    def login(self, ref: SecretRef | None, host: str) -> None:
        """None: the registry is asked without."""
        assert ref is None, host


class Keys:
    """A circuit directory `build/circuit` under `repo`, with random keys of the given sizes in bytes."""

    def __init__(self, repo: Path, *sizes: int) -> None:
        """`mon.key` is the first; each is large enough for a layer of its own."""
        self.repo = repo
        self.folder = repo / "build" / "circuit"
        self.folder.mkdir(parents=True)
        (self.folder / "circuit.r1cs").write_text("the circuit")
        (self.folder / "vk.bin").write_text("the verification key")
        self.paths = [self.folder / ("mon.key" if not number else f"part{number}.key") for number in range(len(sizes))]
        for path, size in zip(self.paths, sizes, strict=True):
            path.touch()
            os.truncate(path, size)
            self.change(path)

    def change(self, path: Path) -> None:
        """Other random content of the same size, in place."""
        with path.open("r+b") as file:
            for _ in range(path.stat().st_size // MIB):
                file.write(os.urandom(MIB))

    def request(self, base: str, host: str, *, commit: int = 0, repository: str = REPOSITORY) -> ImageRequest:
        """For the image of a made-up commit; `host` is that of an anonymous registry."""
        sha = f"{commit:040x}"
        return ImageRequest(
            backend=Backend(repo=str(self.repo), base_image=base),
            circuit_dir="build/circuit",
            source=Source(commit=sha, stage=f"c{commit}"),
            target=ImageTarget(repository=repository, push_host=host, pull_host=host),
        )


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Yield a directory that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="prover-bench-") as found:
        yield Path(found)


@contextlib.contextmanager
def base_images(world: World, count: int = 1, *, size: int = CLIENT) -> Iterator[list[str]]:
    """Names of base images of one random file in the world's Engine, removed afterwards."""
    names = [f"bench-base-{uuid.uuid4().hex[:8]}:1" for _ in range(count)]
    with contextlib.closing(docker.DockerClient(base_url=world.env["DOCKER_HOST"])) as client:
        try:
            for name in names:
                repository, _, tag = name.partition(":")
                changes = ["USER 65532", 'ENTRYPOINT ["/client"]']
                client.api.import_image_from_data(_archive(size), repository=repository, tag=tag, changes=changes)
            yield names
        finally:
            for name in names:
                with contextlib.suppress(docker.errors.ImageNotFound):
                    client.images.remove(name, force=True)


def room_for(size: int, folder: Path) -> None:
    """Refuse to fill the disk that the world lives on."""
    free = shutil.disk_usage(folder).free
    if free < size:
        raise SystemExit(
            f"{folder} has {free // MIB} MiB free, this benchmark needs {size // MIB}: set BENCH_IMAGE_MIB"
        )


def _archive(size: int) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        head = tarfile.TarInfo("client")
        head.size, head.mode = size, 0o755
        archive.addfile(head, io.BytesIO(os.urandom(size)))
    return content.getvalue()
