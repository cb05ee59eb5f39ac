"""What an image of a test is made of: a base image in the world's Docker Engine, a circuit, a request, credentials."""

import contextlib
import io
import os
import tarfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker

from clients.image.images import PushedImages
from clients.registry.credentials import RegistryLogin
from domain.messages.image import ImageRequest
from domain.messages.source import Source
from domain.spec import Backend, ImageTarget, SecretRef
from tests.support.registry.server import PASSWORD, USER, fetch

REPOSITORY = "fluidex/prover"
STAGE = "1111111"
TAG = f"client-{STAGE}"
MEBI = 1 << 20
KEY_SIZE = 17 * MEBI  # large enough for a layer of its own
SMALL_SIZE = 2 * MEBI  # shares a layer with others


class OneLogin:
    """The same login for every reference; a test may change it."""

    def __init__(self, user: str = USER, password: str = PASSWORD) -> None:
        self.user = user
        self.password = password

    def login(self, ref: SecretRef | None, host: str) -> RegistryLogin | None:
        """As `domain.ports.Secrets` has it."""
        assert host
        return RegistryLogin(self.user, self.password) if ref else None


def quiet(*_: object) -> None:
    """Progress that nobody hears."""


@contextmanager
def base_image(
    world: dict[str, str], client: bytes = b"#!client\n", command: str = '["/usr/bin/client"]'
) -> Iterator[str]:
    """A FROM scratch image with a client and a user, in the world's Docker Engine."""
    name = f"prover-base-{uuid.uuid4().hex[:8]}"
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        head = tarfile.TarInfo("usr/bin/client")
        head.size, head.mode = len(client), 0o755
        archive.addfile(head, io.BytesIO(client))
    with contextlib.closing(docker.DockerClient(base_url=world["DOCKER_HOST"])) as engine:
        changes = ["USER 65532", f"CMD {command}", "ENV A=1"]
        engine.api.import_image_from_data(content.getvalue(), repository=name, tag="latest", changes=changes)
        yield name
        engine.images.remove(name, force=True)


def circuit(folder: Path, key_size: int = KEY_SIZE) -> Path:
    """A backend's repository with a circuit directory: one key that is a layer, and files that share one."""
    found = folder / "circuit"
    found.mkdir(parents=True)
    (found / "circuit.r1cs").write_text("circuit.r1cs")
    (found / "vk.bin").write_bytes(os.urandom(SMALL_SIZE))
    write_key(found / "mon.key", key_size)
    return folder


def write_key(path: Path, size: int) -> None:
    """Bytes that no other key has, in whole MiB."""
    block = os.urandom(MEBI)
    with path.open("wb") as file:
        for index in range(size // MEBI):
            file.write(index.to_bytes(8, "big") + block[8:])


def request(repo: Path, base: str, host: str, *, commit: str = STAGE[0] * 40, **more: Any) -> ImageRequest:
    """The image of a commit, with credentials; `more` replaces fields of the request or of its target."""
    auth = SecretRef(ref="env:IMAGE_AUTH")
    target = ImageTarget(repository=REPOSITORY, push_host=host, pull_host=host, push_auth=auth, pull_auth=auth)
    of_target = {name: more.pop(name) for name in list(more) if name in ImageTarget.model_fields}
    asked = ImageRequest(
        backend=Backend(repo=str(repo), base_image=base),
        circuit_dir="circuit",
        source=Source(commit=commit, stage=commit[:7]),
        target=target.model_copy(update=of_target),
    )
    return asked.model_copy(update=more)


def pipeline(world: dict[str, str], folder: Path, password: str = PASSWORD, *, state: str = "state") -> PushedImages:
    """Images of a worker that keeps its state in a folder of the test."""
    return PushedImages(world["DOCKER_HOST"], OneLogin(password=password), folder / state)


def manifest(host: str, digest: str, repo: str = REPOSITORY) -> dict[str, Any]:
    """The manifest at a registry."""
    found: dict[str, Any] = fetch(host, f"{repo}/manifests/{digest}")
    return found


def layers(host: str, digest: str) -> dict[str, str]:
    """Digests by title."""
    found = manifest(host, digest)["layers"]
    return {layer["annotations"]["org.opencontainers.image.title"]: layer["digest"] for layer in found}
