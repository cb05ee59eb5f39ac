"""Makes images of our static binaries and puts them into the anonymous registry, with plain HTTP and no Docker."""

import hashlib
import http.client
import io
import json
import tarfile
from pathlib import Path

from sandbox.errors import WorldError
from sandbox.kubernetes.node import PAUSE_IMAGE
from sandbox.services.registry import PROBE_IMAGE
from sandbox.settings import Settings

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"


def ensure_images(settings: Settings) -> None:
    """Push what every pod and every probe needs, unless the registry has exactly this."""
    _ensure_image(settings, PAUSE_IMAGE, user="65535:65535")
    _ensure_image(settings, PROBE_IMAGE, user="65532:65532")


def _ensure_image(settings: Settings, image: str, *, user: str) -> None:
    """`NAME:TAG` is of the binary NAME, which is its entrypoint."""
    name, _, tag = image.partition(":")
    layer = _layer(settings.bin / name)
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Entrypoint": [f"/{name}"], "User": user},
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, "digest": _digest(config), "size": len(config)},
            "layers": [{"mediaType": _LAYER, "digest": _digest(layer), "size": len(layer)}],
        }
    ).encode()
    registry = _Registry(settings.ports.anonymous_registry, name)
    if registry.manifest_digest(tag) == _digest(manifest):
        return
    registry.push_blob(layer)
    registry.push_blob(config)
    registry.push_manifest(tag, manifest)


class _Registry:
    def __init__(self, port: int, name: str) -> None:
        self._port = port
        self._name = name

    def manifest_digest(self, tag: str) -> str | None:
        headers = self._ask("HEAD", f"manifests/{tag}", headers={"Accept": _MANIFEST}, allowed=(200, 404))
        return headers.get("Docker-Content-Digest")

    def push_blob(self, content: bytes) -> None:
        location = self._ask("POST", "blobs/uploads/", allowed=(202,))["Location"]
        path = "/" + location.partition("://")[2].partition("/")[2] if "://" in location else location
        separator = "&" if "?" in path else "?"
        path = f"{path}{separator}digest={_digest(content)}"
        self._ask("PUT", path, body=content, headers={"Content-Type": "application/octet-stream"}, allowed=(201,))

    def push_manifest(self, tag: str, manifest: bytes) -> None:
        self._ask("PUT", f"manifests/{tag}", body=manifest, headers={"Content-Type": _MANIFEST}, allowed=(201,))

    def _ask(
        self,
        method: str,
        path: str,
        *,
        allowed: tuple[int, ...],
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> http.client.HTTPMessage:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        absolute = path if path.startswith("/") else f"/v2/{self._name}/{path}"
        try:
            connection.request(method, absolute, body=body, headers=headers or {})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise WorldError(f"{method} {absolute} on the anonymous registry: {error}") from error
        finally:
            connection.close()
        if answer.status not in allowed:
            raise WorldError(f"{method} {absolute} on the anonymous registry: {answer.status} {text[:300]!r}")
        return answer.headers


def _layer(binary: Path) -> bytes:
    content = binary.read_bytes()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo(binary.name)  # no times, no owners: the same binary makes the same image
        entry.size, entry.mode = len(content), 0o755
        archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
