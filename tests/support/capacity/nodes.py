"""Nodes, clients and a spec for tables of capacity."""

from typing import Any

from domain.kubernetes import Manifest
from domain.spec import ClusterSpec, Endpoint, ImageTarget

LABEL = {"fluidexnode": "computation"}
TAINT = {"key": "dedicated", "value": "computation", "effect": "NoSchedule"}


def spec(**changes: Any) -> ClusterSpec:
    """Return a spec with the fields of a test."""
    image = ImageTarget(repository="prover")
    return ClusterSpec(**({"namespace": "fleet", "coordinator": Endpoint(ip="10.0.0.1"), "image": image} | changes))


def node(name: str, labels: dict[str, str] | None = None, *taints: dict[str, str], **extra: Any) -> Manifest:
    """Return a Ready node, labelled for clients by default."""
    conditions = [{"type": "Ready", "status": "True"}]
    has = {"cpu": "8", "memory": "16Gi", "pods": "110"}
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": LABEL if labels is None else labels},
        "spec": {"taints": list(taints)} | extra.get("spec", {}),
        "status": {"conditions": conditions, "allocatable": has | extra.get("has", {})} | extra.get("status", {}),
    }


def prover(on: str, namespace: str = "other", app: str = "client", phase: str = "Running") -> Manifest:
    """Return a prove-client on a node."""
    labels = {"role": "cluster-prover", "app": app}
    return {
        "kind": "Pod",
        "metadata": {"name": "prover-cli-t-x", "namespace": namespace, "labels": labels},
        "spec": {"nodeName": on},
        "status": {"phase": phase},
    }
