"""Service accounts with little right, small objects and patience, for tests on the world's cluster."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from clients.kubernetes.cluster import KubernetesCluster
from clients.kubernetes.errors import Call
from domain.kubernetes import Manifest

PATIENCE = 60.0  # seconds that a condition may take on a busy machine
RBAC = "rbac.authorization.k8s.io"


def limited_account(cluster: KubernetesCluster, namespace: str, rules: list[Manifest]) -> None:
    """Create a service account `limited` with just these rules in its namespace."""
    metadata = {"name": "limited", "namespace": namespace}
    cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    cluster.apply({"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": rules})
    cluster.apply(
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "limited"},
            "subjects": [{"kind": "ServiceAccount", **metadata}],
        }
    )


def account_kubeconfig(
    cluster: KubernetesCluster, world: dict[str, str], namespace: str, name: str, folder: Path
) -> str:
    """Write a kubeconfig with a token of the service account; return its path."""
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    token = cluster.connection.call(Call("create", "a token"), "POST", path, body=request)["status"]["token"]
    content = yaml.safe_load(Path(world["KUBECONFIG"]).read_text())
    named = content["clusters"][0]["name"]
    content["users"] = [{"name": name, "user": {"token": token}}]
    content["contexts"] = [{"name": name, "context": {"cluster": named, "user": name}}]
    content["current-context"] = name
    file = folder / f"{name}.kubeconfig"
    file.write_text(yaml.safe_dump(content))
    return str(file)


def config_map(namespace: str, **data: str) -> Manifest:
    """Return a small object to play with."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "toy", "namespace": namespace},
        "data": data,
    }


def until(condition: Callable[[], bool]) -> bool:
    """Whether the condition comes true within PATIENCE."""
    deadline = time.monotonic() + PATIENCE
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            return False
        pause.wait(0.05)
    return True
