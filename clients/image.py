"""Makes the prover image of a commit exist in the registry: base image plus circuit files, sent only where missing.

The manifest is computed here from the inputs alone, so comparing its digest with the registry's says whether there
is anything to do.
"""

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from clients import image_layers
from clients.image_base import BaseImage, Engine
from clients.image_inputs import circuit_entries
from clients.image_layers import Entry
from clients.image_state import ImageState
from clients.registry import MANIFEST_TYPE, Registry
from clients.registry_connection import Breaker, insecure
from clients.registry_content import Piece, length
from clients.registry_delivery import Address, Parcel, deliver
from domain.errors import CredentialsRejected, PermanentError, Unavailable
from domain.names import image_tag
from domain.ports import Beat, Secrets
from domain.steps import Image, ImageRequest

_BEAT_SECONDS = 1.0
_END_SECONDS = 15.0  # a transfer that is broken off ends its upload, if the registry answers
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_EPOCH = "1970-01-01T00:00:00Z"  # a digest must not depend on when it was made
_LABEL = "org.opencontainers.image"
_INPUTS_LABEL = "prover-cluster/inputs"
_GIGA, _MEGA = 1 << 30, 1 << 20


class PushedImages:
    """Images built on this host and pushed to a registry."""

    def __init__(self, docker_host: str | None, secrets: Secrets, state_dir: Path) -> None:
        """`state_dir` keeps locks, known digests and uploads under way, in `images/`."""
        self._engine = Engine(docker_host)
        self._secrets = secrets
        self._folder = state_dir / "images"

    def ensure(self, request: ImageRequest, beat: Beat) -> Image:
        """The image exists afterwards, under its tag and by digest, at both hosts as far as this worker can see.

        Raises ImageInputMissing, CredentialsRejected, CredentialsMissing, Unavailable (DOCKER_DOWN, REGISTRY_DOWN)
        and what `beat` raises; then nothing of the transfer goes on, and its upload is ended if the registry answers.
        """
        build = _Build(self._engine, self._secrets, self._folder, request)
        return _Transfer(build).run(beat)


class _Transfer:
    """Runs a build in a thread of its own, so that a socket that blocks can neither stop beats nor cancellation."""

    def __init__(self, build: "_Build") -> None:
        self._build = build
        self._image: Image | None = None
        self._error: BaseException | None = None

    def run(self, beat: Beat) -> Image:
        thread = threading.Thread(target=self._work, name="image", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                beat(self._build.progress)
                thread.join(_BEAT_SECONDS)
        except BaseException:
            self._build.breaker.trip()
            thread.join(_END_SECONDS)
            raise
        if self._image is None:
            raise self._error or RuntimeError("the image build ended without a result")
        return self._image

    def _work(self) -> None:
        try:
            self._image = self._build.run()
        except BaseException as error:  # noqa: BLE001 - it is raised again in the caller's thread
            self._error = error


class _Layer(NamedTuple):
    """A blob of the image; uncompressed, so its digest is also its diff id. Without content the registry has it."""

    digest: str
    title: str
    content: list[Piece] | None
    size: int


class _Build:
    """One run of the pipeline; `progress` may be read from another thread."""

    def __init__(self, engine: Engine, secrets: Secrets, folder: Path, request: ImageRequest) -> None:
        self.breaker = Breaker()
        self.progress = "looking at the base image"
        self._engine = engine
        self._secrets = secrets
        self._request = request
        self._target = request.target
        self._tag = image_tag(request.source.stage)
        key = [self._target.push_host, self._target.repository, request.backend.repo, request.circuit_dir]
        self._state = ImageState(folder, json.dumps([*key, request.backend.base_image]))

    def run(self) -> Image:
        base = self._engine.base_image(self._request.backend.base_image)
        entries = circuit_entries(self._request.backend.repo, self._request.circuit_dir)
        ranges = self._engine.insecure_ranges()
        registry = self._registry(ranges)
        registry.manifest_digest(self._tag)  # wrong credentials show before hours of reading keys
        self.progress = f"waiting for another build for {self._target.push_host}/{self._target.repository}"
        with self._state.locked(self.breaker.check) as lock, contextlib.ExitStack() as files:
            self._sweep(registry)
            bottom = self._base_layers(registry, base, files)
            top = [self._layer(group) for group in image_layers.group(entries)]
            config = _config(base, top, self._labels(base, top))
            manifest = _manifest(config, [*bottom, *top])
            digest = _digest(manifest)
            if built := registry.manifest_digest(self._tag) != digest:
                described = _Layer(_digest(config), "the image's configuration", [Piece(config)], len(config))
                address = self._address(ranges, lock)
                missing = [layer for layer in (*bottom, *top, described) if not self._there(registry, layer)]
                self._deliver(address, missing)
                registry.put_manifest(self._tag, manifest)
                self._verify(registry, digest)
        warnings = self._pull_host_warnings(ranges, digest)
        return Image(
            reference=f"{self._target.pull_host}/{self._target.repository}:{self._tag}@{digest}",
            digest=digest,
            user=str(base.config.get("User", "")),
            built=built,
            warnings=warnings,
        )

    def _registry(self, ranges: Sequence[str]) -> Registry:
        host = self._target.push_host
        login = self._secrets.login(self._target.push_auth, host)
        plain = insecure(host, ranges)
        return Registry(host, self._target.repository, login, breaker=self.breaker, insecure=plain)

    def _sweep(self, registry: Registry) -> None:
        """End what a killed worker left open; the lock says that nobody else is at it."""
        for location in self._state.journal.open_ones():
            if registry.cancel(location):
                self._state.journal.closed(location)

    def _layer(self, entries: list[Entry]) -> "_Layer":
        title, content = image_layers.title(entries), image_layers.pieces(entries)
        identity = [entry.identity for entry in entries]
        digest = self._state.digest(identity)
        if digest is None:
            digest = image_layers.digest(content, self._counter("reading", title, length(content)))
            self._state.know(identity, digest)
        return _Layer(digest, title, content, length(content))

    def _base_layers(self, registry: Registry, base: BaseImage, files: contextlib.ExitStack) -> "list[_Layer]":
        """The base's layers; their content is fetched from the Engine only if the registry lacks one."""
        sizes = {layer: registry.blob_size(layer) for layer in base.layers}
        if None not in sizes.values():
            return [_Layer(layer, "the base image", None, size or 0) for layer, size in sizes.items()]
        saved = files.enter_context(
            self._engine.saved(base, self._state.folder, self._counter("reading", "base", None))
        )
        content = {layer: saved.layer(layer) for layer in base.layers}
        return [_Layer(layer, "the base image", [piece], piece.size) for layer, piece in content.items()]

    def _there(self, registry: Registry, layer: "_Layer") -> bool:
        return layer.content is None or registry.blob_size(layer.digest) is not None

    def _address(self, ranges: Sequence[str], lock: int) -> Address:
        host = self._target.push_host
        login = self._secrets.login(self._target.push_auth, host)
        journal = self._state.journal.path
        return Address(host, self._target.repository, insecure(host, ranges), login, journal, lock)

    def _deliver(self, address: Address, layers: "Sequence[_Layer]") -> None:
        def tell(title: str, sent: int, size: int) -> None:
            self.progress = f"pushing {title} {_amount(sent, size)}"

        parcels = {layer.digest: Parcel(layer.digest, layer.title, layer.content or []) for layer in layers}
        if parcels:
            self.progress = f"pushing {len(parcels)} blobs to {address.host}"
            deliver(address, list(parcels.values()), self.breaker, tell)

    def _verify(self, registry: Registry, digest: str) -> None:
        found = registry.manifest_digest(self._tag)
        if found != digest:
            raise Unavailable(
                f"tag {self._tag} names {found or 'nothing'} right after {digest} was pushed",
                on=f"{self._target.push_host}/{self._target.repository}",
                because="another push to the same tag came in between, or the registry changes what it is given",
                code="REGISTRY_DOWN",
            )

    def _pull_host_warnings(self, ranges: Sequence[str], digest: str) -> list[str]:
        host = self._target.pull_host
        if host == self._target.push_host:
            return []
        self.progress = f"looking for the image at {host}"
        login = self._secrets.login(self._target.pull_auth, host)
        registry = Registry(
            host,
            self._target.repository,
            login,
            breaker=self.breaker,
            insecure=insecure(host, ranges),
            settings="IMAGE_PULL_AUTH (by default IMAGE_AUTH_USER and IMAGE_AUTH_PASSWORD)",
        )
        try:
            found = registry.manifest_digest(digest)
        except CredentialsRejected:
            raise
        except (Unavailable, PermanentError) as error:
            return [f"the image could not be looked up at the pull host {host} from this worker: {error}"]
        if found is None:
            raise Unavailable(
                f"the pull host {host} does not have the image that was pushed to {self._target.push_host}",
                on=f"{host}/{self._target.repository}@{digest}",
                because="it lags behind, or IMAGE_HOST_ALIAS names another registry",
                do="check IMAGE_HOST_ALIAS",
                code="IMAGE_NOT_FOUND",
            )
        return []

    def _labels(self, base: BaseImage, layers: "Sequence[_Layer]") -> dict[str, str]:
        inputs = json.dumps([base.layers, base.config, base.platform, [layer.digest for layer in layers]])
        source = self._request.source
        return {
            f"{_LABEL}.revision": source.commit,
            f"{_LABEL}.version": source.stage,
            _INPUTS_LABEL: hashlib.sha256(inputs.encode()).hexdigest(),
        }

    def _counter(self, verb: str, title: str, total: int | None) -> Callable[[int], None]:
        def count(done: int) -> None:
            self.breaker.check()
            self.progress = f"{verb} {title} {_amount(done, total)}"

        return count


def _config(base: BaseImage, layers: Sequence[_Layer], labels: dict[str, str]) -> bytes:
    merged = {**base.config, "Labels": {**base.config.get("Labels", {}), **labels}}
    diff_ids = [*base.layers, *(layer.digest for layer in layers)]
    return _canonical(
        {
            **base.platform,
            "created": _EPOCH,
            "config": merged,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
    )


def _manifest(config: bytes, layers: Sequence[_Layer]) -> bytes:
    described = [{"mediaType": image_layers.LAYER_TYPE, "digest": layer.digest, "size": layer.size} for layer in layers]
    return _canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": _CONFIG_TYPE, "digest": _digest(config), "size": len(config)},
            "layers": described,
        }
    )


def _canonical(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _amount(done: int, total: int | None) -> str:
    unit, name = (_GIGA, "GB") if max(done, total or 0) >= _GIGA else (_MEGA, "MB")
    return f"{done / unit:.1f} {name}" if total is None else f"{done / unit:.1f}/{total / unit:.1f} {name}"
