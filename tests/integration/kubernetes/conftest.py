"""An image that stands for a client, and activities with the rights that `proverctl rbac` prints."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.kubernetes.cluster import KubernetesCluster
from tests.support.kubernetes.release import Room

MANIFEST_TYPES = "application/vnd.oci.image.manifest.v1+json,application/vnd.docker.distribution.manifest.v2+json"


@pytest.fixture(scope="module")
def image(world: dict[str, str]) -> str:
    """Return the world's pause image by digest, as pods pull it, in place of a client."""
    registry = f"http://{world['WORLD_ANONYMOUS_REGISTRY']}/v2/pause"
    with urllib.request.urlopen(f"{registry}/tags/list", timeout=10) as answer:  # noqa: S310 - the world's registry
        tag = json.load(answer)["tags"][0]
    request = urllib.request.Request(f"{registry}/manifests/{tag}", headers={"Accept": MANIFEST_TYPES})  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        digest = answer.headers["Docker-Content-Digest"]
    return f"{world['WORLD_ANONYMOUS_REGISTRY_ALIAS']}/pause:{tag}@{digest}"


@pytest.fixture
def room(cluster: KubernetesCluster, world: dict[str, str], image: str, tmp_path: Path) -> Iterator[Room]:
    """Return a namespace and its rights."""
    made = Room(cluster, world, image, tmp_path)
    yield made
    made.close()
