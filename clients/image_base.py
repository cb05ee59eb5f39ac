"""The base image in the Docker Engine: its configuration and, when the registry lacks them, its layers."""

import contextlib
import gzip
import json
import socket
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound

from domain.errors import ImageInputMissing, Unavailable

_SECONDS = 60  # for each answer of the Engine
_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"
_KEPT = (  # of the image's configuration; the rest describes a container
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
)
_PLATFORM = {"Architecture": "architecture", "Os": "os", "Variant": "variant"}


class BaseImage(NamedTuple):
    """What the prover image is built upon; layers by the digest of their uncompressed tar, lowest first."""

    id: str
    config: dict[str, Any]
    platform: dict[str, str]
    layers: list[str]


class Engine:
    """The Docker Engine; every method raises Unavailable with code DOCKER_DOWN when it does not answer."""

    def __init__(self, host: str | None) -> None:
        """`host` as in DOCKER_HOST, None for the default socket."""
        self._host = host

    def base_image(self, name: str) -> BaseImage:
        """The image by name; ImageInputMissing when the Engine does not have it."""
        with self._client() as client:
            found = self._inspected(client, name)
        layers = (found.get("RootFS") or {}).get("Layers") or []
        config = {key: value for key in _KEPT if (value := (found.get("Config") or {}).get(key))}
        platform = {ours: found[theirs] for theirs, ours in _PLATFORM.items() if found.get(theirs)}
        return BaseImage(found["Id"], config, platform, list(layers))

    def insecure_ranges(self) -> list[str]:
        """Address ranges whose registries may be reached without TLS, as the Engine is configured."""
        with self._client() as client:
            found: dict[str, Any] = client.info().get("RegistryConfig") or {}
        names = [name for name, index in (found.get("IndexConfigs") or {}).items() if not index.get("Secure")]
        return [*(found.get("InsecureRegistryCIDRs") or []), *names]

    @contextlib.contextmanager
    def saved(self, image: BaseImage, folder: Path, progress: Callable[[int], None]) -> Iterator["Saved"]:
        """The image's layers in a file without a name, which leaves nothing behind whatever happens."""
        with tempfile.TemporaryFile(dir=folder) as file:
            with self._client() as client:
                for chunk in client.api.get_image(image.id, chunk_size=_CHUNK):
                    file.write(chunk)
                    progress(file.tell())
            file.seek(0)
            with tarfile.open(fileobj=file) as archive:
                yield Saved(archive, image)

    @contextlib.contextmanager
    def _client(self) -> Iterator[docker.DockerClient]:
        try:
            self._probe()
            client = docker.DockerClient(base_url=self._host, timeout=_SECONDS, version="auto")
            try:
                yield client
            finally:
                client.close()
        except (DockerException, requests.RequestException, ConnectionError, FileNotFoundError) as error:
            raise self._down(error) from error

    def _probe(self) -> None:
        """The docker package leaks its socket when nobody listens, so knock first."""
        if self._shown.startswith("unix://"):
            with socket.socket(socket.AF_UNIX) as knock:
                knock.connect(self._shown.removeprefix("unix://"))

    def _inspected(self, client: docker.DockerClient, name: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = client.images.get(name).attrs
        except ImageNotFound as error:
            raise ImageInputMissing(
                f"the Docker Engine has no image {name}",
                on=f"PROVER_BASE_IMAGE={name}",
                because=f"the prover image is built upon it (asked at {self._shown})",
                do=f"build it (docker build -t {name} <the client's directory>), or set PROVER_BASE_IMAGE",
            ) from error
        return found

    @property
    def _shown(self) -> str:
        return self._host or "unix:///var/run/docker.sock"

    def _down(self, error: Exception) -> Unavailable:
        said = error.explanation if isinstance(error, APIError) else str(error)
        return Unavailable(
            f"Docker does not answer at {self._shown}",
            on=f"DOCKER_HOST={self._shown}",
            evidence=str(said)[:200],
            do="start it (systemctl start docker, or make up), or set DOCKER_HOST on the worker; it is tried again",
            code="DOCKER_DOWN",
        )


class Saved:
    """A saved image; layers are read by their diff id, decompressed where the Engine keeps them compressed."""

    def __init__(self, archive: tarfile.TarFile, image: BaseImage) -> None:
        self._archive = archive
        manifest = json.loads(self._read("manifest.json"))[0]
        self._members: dict[str, str] = dict(zip(image.layers, manifest["Layers"], strict=True))

    def size(self, layer: str) -> int:
        """Bytes of the uncompressed layer."""
        return sum(len(chunk) for chunk in self.chunks(layer))

    def chunks(self, layer: str) -> Iterator[bytes]:
        """The uncompressed layer."""
        with self._open(self._members[layer]) as raw:
            packed = raw.read(len(_GZIP)) == _GZIP
            raw.seek(0)
            with gzip.open(raw) if packed else contextlib.nullcontext(raw) as plain:
                while chunk := plain.read(_CHUNK):
                    yield chunk

    def _read(self, name: str) -> bytes:
        with self._open(name) as file:
            return file.read()

    def _open(self, name: str) -> IO[bytes]:
        file = self._archive.extractfile(name)
        if file is None:
            raise KeyError(name)
        return file
