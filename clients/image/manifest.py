"""The configuration and the manifest of a prover image, bit for bit a function of its inputs."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from clients.docker.engine import BaseImage
from clients.image.layers import LAYER_TYPE
from clients.registry.client import MANIFEST_TYPE
from clients.registry.content import Piece
from domain.messages.image import ImageRequest
from domain.spec import Backend
from planning.image.command import base_config, client_config

INPUTS_LABEL = "prover-cluster/inputs"
"""Of an image's configuration: equal for images that hold the same, whatever their commit and stage."""

_SUBMODULES_LABEL = "prover-cluster/submodules"
_SCHEMA_LABEL = "prover-cluster/config-schema"
_LABEL = "org.opencontainers.image"
_TITLE = f"{_LABEL}.title"
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_EPOCH = "1970-01-01T00:00:00Z"  # a digest must not depend on when it was made


class Layer(NamedTuple):
    """A blob of the image; uncompressed, so its digest is also its diff id.

    Without content it is one of the base's, which the Engine has.
    """

    digest: str
    title: str
    size: int  # bytes
    content: list[Piece] | None = None


class ImageDescription(NamedTuple):
    """An image as it will be at the registry."""

    manifest: bytes
    digest: str
    config: Layer
    layers: list[Layer]  # lowest first
    inputs: str


def describe(request: ImageRequest, base: BaseImage, bottom: Sequence[Layer], top: Sequence[Layer]) -> ImageDescription:
    """Return the image of the base's layers and those on top of them."""
    base = base._replace(config=_for_clients(base.config, request.backend))
    known = json.dumps([base.layers, base.config, base.platform, [layer.digest for layer in top]])
    inputs = hashlib.sha256(known.encode()).hexdigest()
    config = _config(base, top, _labels(request, inputs))
    described = Layer(digest_of(config), "the image's configuration", len(config), [Piece(config)])
    layers = [*bottom, *top]
    manifest = _canonical(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": _CONFIG_TYPE, "digest": described.digest, "size": described.size},
            "layers": [_descriptor(layer) for layer in layers],
        }
    )
    return ImageDescription(manifest, digest_of(manifest), described, layers, inputs)


def digest_of(content: bytes) -> str:
    """`sha256:` and 64 hex digits."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _labels(request: ImageRequest, inputs: str) -> dict[str, str]:
    source = request.source
    pins = {_SUBMODULES_LABEL: json.dumps(source.submodules, sort_keys=True)} if source.submodules else {}
    created = {f"{_LABEL}.created": source.committed} if source.committed else {}
    return {
        f"{_LABEL}.revision": source.commit,
        f"{_LABEL}.version": source.stage,
        INPUTS_LABEL: inputs,
        _SCHEMA_LABEL: request.config_schema,
        **created,
        **pins,
    }


def _for_clients(config: dict[str, Any], backend: Backend) -> dict[str, Any]:
    """Where nothing has to change it is the same to the byte."""
    given = client_config(base_config(config), backend)
    own = {"Entrypoint": given.entrypoint, "Cmd": given.command, "WorkingDir": given.workdir}
    return {key: value for key, value in (config | own).items() if value or key not in own}


def _config(base: BaseImage, top: Sequence[Layer], labels: dict[str, str]) -> bytes:
    merged = {**base.config, "Labels": {**base.config.get("Labels", {}), **labels}}
    diff_ids = [*base.layers, *(layer.digest for layer in top)]
    return _canonical(
        {
            **base.platform,
            "created": _EPOCH,
            "config": merged,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
    )


def _descriptor(layer: Layer) -> dict[str, Any]:
    return {
        "mediaType": LAYER_TYPE,
        "digest": layer.digest,
        "size": layer.size,
        "annotations": {_TITLE: layer.title},
    }


def _canonical(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
