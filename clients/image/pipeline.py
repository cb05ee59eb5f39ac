"""Run of the image pipeline, from the inputs to a manifest under its tags.

The manifest is computed here from the inputs alone, so comparing its digest with the registry's says whether there is
anything to do; with files and base as they were last time that takes two requests.
"""

import contextlib
import errno
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from clients.docker.build import ensure_base
from clients.docker.engine import BaseImage, Engine
from clients.image.circuit import circuit_entries, has_lagrange
from clients.image.layer_digests import Reader
from clients.image.layers import LayerFile, group
from clients.image.manifest import ImageDescription, Layer, describe
from clients.image.progress import ImageProgress
from clients.image.state import ImageState
from clients.image.tags import judge, pull_warnings
from clients.registry.blob_upload import discard
from clients.registry.client import Registry
from clients.registry.connection_pool import ConnectionPool
from clients.registry.transport import insecure
from clients.registry.upload_supervisor import Address, PendingBlob, deliver
from domain import names
from domain.errors import ProverError, Unavailable
from domain.messages.image import Image, ImageRequest
from domain.ports import Secrets

_AT_ONCE = 8  # questions to a registry; each is a connection of its own
_ABANDON_SECONDS = 30.0  # for the upload process to end its bodies
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


class Build:
    """`progress()` may be called from another thread, and `connections.cancel()` too."""

    def __init__(self, engine: Engine, secrets: Secrets, folder: Path, request: ImageRequest) -> None:
        self.connections = ConnectionPool()
        self._told = ImageProgress(self.connections.check)
        self.progress = self._told.now
        self._engine = engine
        self._secrets = secrets
        self._request = request
        self._target = request.target
        self._tag = names.image_tag(request.source.stage)
        backend = request.backend
        key = [self._target.push_host, self._target.repository, backend.repo, request.circuit_dir]
        self._state = ImageState(folder, json.dumps([*key, backend.base_image, backend.base_context]))

    def run(self) -> Image:
        """Build and push the image, and return it."""
        try:
            return self._run()
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            raise Unavailable(
                "this worker's disk has no room for the base image on its way to the registry",
                on=str(self._state.folder),
                evidence=f"{error.strerror} ({self._told.now()[0]})",
                do="free some space there, or set PROVER_STATE_DIR to a larger disk; keys are never copied",
                code="DISK_FULL",
            ) from error

    def _run(self) -> Image:
        self._told.say("looking at the base image")
        base = self._engine.base_image(self._base_name())
        entries = circuit_entries(self._request.backend.repo, self._request.circuit_dir, self._request.config_schema)
        ranges = self._engine.insecure_ranges()
        registry = self._registry(ranges)
        tagged = registry.manifest_digest(self._tag)  # wrong credentials show before hours of reading keys
        known = self._remembered(base, entries)
        replaced, built = "", False
        if known is None or tagged != known.digest or not self._twin_there(registry, known):
            known, replaced, built = self._make(registry, ranges, base, entries)
        return Image(
            reference=f"{self._target.pull_host}/{self._target.repository}:{self._tag}@{known.digest}",
            digest=known.digest,
            user=str(base.config.get("User", "")),
            built=built,
            replaced=replaced,
            lagrange=has_lagrange(entries),
            warnings=pull_warnings(self._request, known.digest, self._secrets, ranges, self.connections),
        )

    def _base_name(self) -> str:
        backend = self._request.backend
        if not backend.base_context:
            return backend.base_image
        return ensure_base(
            self._engine.environ, backend.repo, backend.base_context, self._said, backend.base_dockerfile
        )

    def _said(self, text: str) -> None:
        self.connections.check()
        self._told.say(text)

    def abandon(self) -> None:
        """End the uploads of the journal, as far as the registry answers; nothing while another build runs."""
        with contextlib.suppress(ProverError, TimeoutError), self._state.locked(_until_deadline(_ABANDON_SECONDS)):
            if self._state.journal.digests():
                self._sweep(self._registry(self._engine.insecure_ranges()), set())

    def _make(
        self, registry: Registry, ranges: Sequence[str], base: BaseImage, entries: Sequence[LayerFile]
    ) -> tuple[ImageDescription, str, bool]:
        """Return the image at the registry, the digest that its tag named before, and whether it was sent."""
        self._told.say(f"waiting for another build for {self._target.push_host}/{self._target.repository}")
        with self._state.locked(self.connections.check) as lock, contextlib.ExitStack() as files:
            top = Reader(self._state, self._told).layers(group(entries))
            bottom = self._base_layers(registry, base, files)
            image = describe(self._request, base, bottom, top)
            tagged = registry.manifest_digest(self._tag)
            replaced = judge(registry, self._request, image, tagged)
            if lacking := tagged != image.digest or not self._twin_there(registry, image):
                self._send(registry, ranges, lock, image)
        return image, replaced, lacking

    def _send(self, registry: Registry, ranges: Sequence[str], lock: int, image: ImageDescription) -> None:
        """Blobs first, then the tag that stays, then the one that may move: none ever names what is not there."""
        layers = {layer.digest: layer for layer in (*image.layers, image.config)}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            there = pool.map(lambda layer: self._there(registry, layer), layers.values())
            missing = {layer.digest: layer for layer, found in zip(layers.values(), there, strict=True) if not found}
        self._sweep(registry, set(missing))
        if missing:
            address = self._address(ranges, lock)
            self._told.push([(layer.digest, layer.title, layer.size) for layer in missing.values()])
            deliver(
                address, [self._pending(layer) for layer in missing.values()], registry, self.connections, self._told
            )
        for digest in (*(layer.digest for layer in image.layers), image.config.digest):
            self._state.know("place", self._target.push_host, digest, value=registry.repository)
        for tag in (names.image_twin(self._request.source.stage, image.digest), self._tag):
            registry.put_manifest(tag, image.manifest)
            self._verify(registry, tag, image.digest)

    def _remembered(self, base: BaseImage, entries: Sequence[LayerFile]) -> ImageDescription | None:
        """Return the image when everything about its layers is known already, else None."""
        top = Reader(self._state, self._told).remembered(group(entries))
        sizes = [self._state.known("size", digest) for digest in base.layers]
        if top is None or None in sizes:
            return None
        bottom = [_base_layer(digest, int(size or 0)) for digest, size in zip(base.layers, sizes, strict=True)]
        return describe(self._request, base, bottom, top)

    def _base_layers(self, registry: Registry, base: BaseImage, files: contextlib.ExitStack) -> list[Layer]:
        """Return the base's layers; their content is fetched from the Engine only if the registry misses one."""
        sizes = {layer: registry.blob_size(layer) for layer in base.layers}
        if None not in sizes.values():
            found = [_base_layer(digest, size or 0) for digest, size in sizes.items()]
        else:
            progress = self._told.counter("reading the base image")
            saved = files.enter_context(self._engine.saved(base, self._state.folder, progress))
            content = {digest: saved.layer(digest) for digest in base.layers}
            found = [
                _base_layer(digest, piece.size)._replace(content=[piece] if sizes[digest] is None else None)
                for digest, piece in content.items()
            ]
        for layer in found:
            self._state.know("size", layer.digest, value=str(layer.size))
        return [layer for digest in base.layers for layer in found if layer.digest == digest]

    def _registry(self, ranges: Sequence[str]) -> Registry:
        host = self._target.push_host
        login = self._secrets.login(self._target.push_auth, host)
        plain = insecure(host, ranges)
        return Registry(host, self._target.repository, login, connections=self.connections, insecure=plain)

    def _sweep(self, registry: Registry, wanted: set[str]) -> None:
        """End what a killed build left open and nobody resumes; the lock says that nobody else is at it."""
        for digest in self._state.journal.digests():
            if digest not in wanted:
                discard(registry, digest, self._state.journal)

    def _there(self, registry: Registry, layer: Layer) -> bool:
        return layer.content is None or registry.blob_size(layer.digest) is not None

    def _twin_there(self, registry: Registry, image: ImageDescription) -> bool:
        return registry.manifest_digest(names.image_twin(self._request.source.stage, image.digest)) == image.digest

    def _pending(self, layer: Layer) -> PendingBlob:
        """Return the blob to upload, with a repository of this registry that may hold it already."""
        place = self._state.known("place", self._target.push_host, layer.digest) or ""
        source = place if place != self._target.repository else ""
        return PendingBlob(layer.digest, layer.title, layer.content or [], source)

    def _address(self, ranges: Sequence[str], lock: int) -> Address:
        host = self._target.push_host
        login = self._secrets.login(self._target.push_auth, host)
        return Address(host, self._target.repository, insecure(host, ranges), login, self._state.journal, lock)

    def _verify(self, registry: Registry, tag: str, digest: str) -> None:
        found = registry.manifest_digest(tag)
        if found != digest:
            raise Unavailable(
                f"tag {tag} names {found or 'nothing'} right after {digest} was pushed",
                on=f"{self._target.push_host}/{self._target.repository}",
                because="another push to the same tag came in between, or the registry changes what it is given",
                code="REGISTRY_DOWN",
            )


def _base_layer(digest: str, size: int) -> Layer:
    return Layer(digest, "the base image", size)


def _until_deadline(seconds: float) -> Callable[[], None]:
    deadline = time.monotonic() + seconds

    def waiting() -> None:
        if time.monotonic() > deadline:
            raise TimeoutError

    return waiting
