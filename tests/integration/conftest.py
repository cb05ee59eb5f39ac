"""The world's cluster, and a namespace of each test alone."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from clients.cluster import KubernetesCluster, connect


@pytest.fixture(scope="module")
def cluster(world: dict[str, str]) -> Iterator[KubernetesCluster]:
    """The world's cluster as an administrator."""
    found = connect("default", {}, world["KUBECONFIG"])
    yield found
    found.close()


@pytest.fixture
def namespace(cluster: KubernetesCluster) -> Iterator[str]:
    """A namespace of this test alone."""
    name = f"test-{uuid4().hex[:8]}"
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    cluster.delete("Namespace", name, "")
