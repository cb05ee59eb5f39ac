"""The base image in the Docker Engine: its configuration and, when the registry lacks them, its layers."""

import contextlib
import gzip
import json
import posixpath
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import docker
from docker.errors import ImageNotFound

from clients.docker.connection import DEFAULT_HOST, connected
from clients.registry.content import Piece
from domain.errors import ImageInputMissing

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
    """Base of the prover image; layers by the digest of their uncompressed tar, lowest first."""

    id: str
    config: dict[str, Any]
    platform: dict[str, str]
    layers: list[str]


class Engine:
    """The Docker Engine; every method raises Unavailable with code DOCKER_DOWN when it does not answer."""

    def __init__(self, host: str | None) -> None:
        """`host` as in DOCKER_HOST, None for the default socket."""
        self.environ = {"DOCKER_HOST": host or DEFAULT_HOST}

    def base_image(self, name: str) -> BaseImage:
        """Return the image by name; ImageInputMissing when the Engine does not have it."""
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
        """Save the image's layers in a file without a name, so that nothing is left behind."""
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

    def _client(self) -> contextlib.AbstractContextManager[docker.DockerClient]:
        return connected(self.environ, _SECONDS)

    def _inspected(self, client: docker.DockerClient, name: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = client.images.get(name).attrs
        except ImageNotFound as error:
            raise ImageInputMissing(
                f"the Docker Engine has no image {name}",
                on=f"PROVER_BASE_IMAGE={name}",
                because=f"the prover image is built upon it (asked at {self.environ['DOCKER_HOST']})",
                do=f"build it (docker build -t {name} <the client's directory>), or set PROVER_BASE_IMAGE",
            ) from error
        return found


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
        """Return the uncompressed layer."""
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
