"""The prover images and their bases that this host's Docker Engine keeps, and the removal of one."""

from collections.abc import Mapping
from typing import Any

from docker.errors import APIError, ImageNotFound

from clients.docker.build import BASE_REPOSITORY, CONTEXT_LABEL
from clients.docker.connection import connected
from domain.images import StoredImage
from domain.spec import ImageTarget
from planning.image import retention

_SECONDS = 60  # for each answer; removing a layer of tens of GB takes its time
_LABEL = "org.opencontainers.image"
_SERVER_ERROR = 500


class LocalImages:
    """The Engine of `environ`; every method raises Unavailable with code DOCKER_DOWN when it does not answer."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def images(self, target: ImageTarget) -> list[StoredImage]:
        """Return base images that we built, and images tagged for this repository by the original script."""
        names = [f"{host}/{target.repository}" for host in dict.fromkeys((target.push_host, target.pull_host))]
        names += [target.repository] if "docker.io" in (target.push_host, target.pull_host) else []
        with connected(self._environ, _SECONDS) as client:
            found = client.api.images()
        listed = [(image, _ours(image, names)) for image in found]
        return [_stored(image, tags, names) for image, tags in listed if tags]

    def remove(self, image: StoredImage) -> str:
        """Take away its tags of ours, and the image with the last one; why it stays, or nothing."""
        with connected(self._environ, _SECONDS) as client:
            for tag in image.tags:
                try:
                    client.api.remove_image(tag)
                except ImageNotFound:
                    continue
                except APIError as error:
                    if error.response is None or error.response.status_code >= _SERVER_ERROR:
                        raise
                    return f"The Docker Engine keeps {tag}: {error.explanation}"
        return ""


def _ours(image: Mapping[str, Any], names: list[str]) -> list[str]:
    tags = [str(tag) for tag in image.get("RepoTags") or []]
    built = CONTEXT_LABEL in (image.get("Labels") or {})
    prefixes = [f"{name}:{retention.TAG_PREFIX}" for name in names] + ([f"{BASE_REPOSITORY}:"] if built else [])
    return sorted(tag for tag in tags if tag.startswith(tuple(prefixes)))


def _stored(image: Mapping[str, Any], tags: list[str], names: list[str]) -> StoredImage:
    """By the digest of its manifest where a registry gave it one, else by the Engine's own."""
    labels: Mapping[str, Any] = image.get("Labels") or {}
    digests = [str(one).partition("@") for one in image.get("RepoDigests") or []]
    known = [digest for name, _, digest in digests if name in names]
    base = all(tag.startswith(f"{BASE_REPOSITORY}:") for tag in tags)
    return StoredImage(
        place=retention.ENGINE,
        digest=known[0] if known else str(image["Id"]),
        tags=tags,
        stage="" if base else str(labels.get(f"{_LABEL}.version", "")),
        commit="" if base else str(labels.get(f"{_LABEL}.revision", "")),
        size=int(image.get("Size") or 0),
        created=retention.from_epoch(image.get("Created") or 0),
    )
