"""A Deployment that disturbs nothing, and a connection that counts lists and watches."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from clients.kubernetes.connection import ApiConnection, configuration
from clients.kubernetes.errors import Call
from domain import names
from domain.kubernetes import Manifest

KINDS = ("deployments", "events", "pods", "replicasets")
READ = ["get", "list", "watch"]


def deployment(namespace: str, replicas: int) -> Manifest:
    """Our Deployment with pods that no node takes, so that nothing else in the world is disturbed."""
    labels = {"app": "client", names.ROLE_LABEL: names.ROLE_VALUE, "stage": "abc"}
    spec = {"nodeSelector": {"no-such": "node"}, "containers": [{"name": "client", "image": "toy:1"}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": names.DEPLOYMENT, "namespace": namespace},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "client"}},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


class Counting(ApiConnection):
    """Counts lists and watches by the plural of their kind."""

    def __init__(self, kubeconfig: str) -> None:
        super().__init__(lambda: configuration("default", {}, kubeconfig))
        self.lists: Counter[str] = Counter()
        self.watches: Counter[str] = Counter()

    def call(self, call: Call, method: str, path: str, **given: Any) -> Any:
        """As Connection.call."""
        self.lists[path.rpartition("/")[2]] += 1
        return super().call(call, method, path, **given)

    def stream(self, call: Call, path: str, query: Mapping[str, str], *, read_timeout: float) -> Any:
        """As Connection.stream."""
        self.watches[path.rpartition("/")[2]] += 1
        return super().stream(call, path, query, read_timeout=read_timeout)
