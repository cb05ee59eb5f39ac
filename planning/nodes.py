"""Decides which nodes can take a prove-client, before anything is applied: one client a node, over all namespaces."""

from domain.ports import Manifest
from domain.spec import ClusterSpec
from domain.steps import NodesReport


def judge(
    nodes: list[Manifest], pods: list[Manifest] | None, spec: ClusterSpec, replicas: int, namespace: str
) -> NodesReport:
    """A verdict for each node and, with fewer usable than `replicas`, a diagnosis by the largest cause.

    `pods` are those of all namespaces; None when we may not read them, which is a warning and never a failure (R2).
    """
    raise NotImplementedError
