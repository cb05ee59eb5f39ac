"""The base image in the Docker Engine: its configuration and, when the registry lacks them, its layers."""

import contextlib
import gzip
import json
import posixpath
import shutil
import socket
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound

from clients.registry_content import Piece
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
        """The image's layers in a file without a name, so that nothing is left behind whatever happens."""
        with contextlib.ExitStack() as files:
            file = files.enter_context(tempfile.TemporaryFile(dir=folder))
            with self._client() as client:
                for chunk in client.api.get_image(image.id, chunk_size=_CHUNK):
                    file.write(chunk)
                    progress(file.tell())
            file.flush()
            file.seek(0)
            archive = files.enter_context(tarfile.open(fileobj=file))
            yield Saved(file, archive, image, lambda: files.enter_context(tempfile.TemporaryFile(dir=folder)))

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
        told = error.explanation if isinstance(error, APIError) else getattr(error, "strerror", "")
        said = told or str(error)
        return Unavailable(
            "Docker does not answer",
            on=f"DOCKER_HOST={self._shown}",
            evidence=str(said)[:200],
            do="start it (systemctl start docker, or make up), or set DOCKER_HOST on the worker",
            code="DOCKER_DOWN",
        )


class Saved:
    """A saved image; a layer's content is a range of an open file, decompressed where the Engine packs it."""

    def __init__(
        self, file: IO[bytes], archive: tarfile.TarFile, image: BaseImage, spare: Callable[[], IO[bytes]]
    ) -> None:
        """`spare` makes a file without a name for a layer that has to be unpacked."""
        self._file = file
        self._archive = archive
        self._spare = spare
        manifest = json.loads(self._open("manifest.json").read())[0]
        self._members: dict[str, str] = dict(zip(image.layers, manifest["Layers"], strict=True))

    def layer(self, diff_id: str) -> Piece:
        """The uncompressed layer."""
        member = self._archive.getmember(self._members[diff_id])
        while member.issym():  # the Engine stores equal layers once
            member = self._archive.getmember(posixpath.normpath(posixpath.join(member.name, "..", member.linkname)))
        with self._open(member.name) as raw:
            if raw.read(len(_GZIP)) != _GZIP:
                return Piece(fd=self._file.fileno(), offset=member.offset_data, size=member.size)
            raw.seek(0)
            spare = self._spare()
            with gzip.open(raw) as plain:
                shutil.copyfileobj(plain, spare, _CHUNK)
        spare.flush()
        return Piece(fd=spare.fileno(), size=spare.tell())

    def _open(self, name: str) -> IO[bytes]:
        file = self._archive.extractfile(name)
        if file is None:
            raise KeyError(name)
        return file
