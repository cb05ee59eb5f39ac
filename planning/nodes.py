"""Judges nodes from lists that are at hand, with neither quotas nor what runs now told apart; see planning/capacity."""

from domain.ports import Manifest
from domain.spec import ClusterSpec
from domain.steps import NodesReport
from planning import capacity
from planning.occupancy import Occupancy


def judge(
    nodes: list[Manifest], pods: list[Manifest] | None, spec: ClusterSpec, replicas: int, namespace: str
) -> NodesReport:
    """`pods` are those of all namespaces; None when we may not read them."""
    occupancy = Occupancy.of(pods or [], namespace, {"app": spec.deploy_name})
    occupancy.everywhere = pods is not None
    return capacity.judge(capacity.Surroundings(nodes, occupancy), spec, replicas)
