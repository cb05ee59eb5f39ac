"""Looks at everything that decides whether clients fit: nodes, what runs on them, quotas; and has it judged."""

from activities.cluster import reading
from domain import names
from domain.errors import Forbidden
from domain.kubernetes import Manifest
from domain.messages.nodes import NodesReport, NodesRequest
from domain.ports import Beat, Cluster
from domain.spec import ClusterSpec
from planning.capacity import node, verdict
from planning.capacity.occupancy import Occupancy
from planning.capacity.verdict import ClusterCapacity

BEAT_EVERY = 1000  # objects
_NOT_ENDED = "status.phase!=Succeeded,status.phase!=Failed"


def look(cluster: Cluster, request: NodesRequest, beat: Beat, nodes: list[Manifest] | None = None) -> NodesReport:
    """Return the verdict on each node and on all; only the right to list nodes is required.

    `nodes` are all of them, where they are at hand.
    """
    spec = request.spec
    occupancy = _occupancy(cluster, spec, beat)
    key = spec.node_label.key
    found = nodes or cluster.find("Node", slim=lambda one: node.slim(one, key))
    beat(f"{len(found)} nodes, {occupancy.seen} pods")
    around = ClusterCapacity(
        nodes=found,
        occupancy=occupancy,
        quotas=_if_allowed(cluster, "ResourceQuota", spec.namespace),
        ranges=_if_allowed(cluster, "LimitRange", spec.namespace),
    )
    return verdict.capacity_report(around, spec, request.replicas, keep=request.keep)


def _occupancy(cluster: Cluster, spec: ClusterSpec, beat: Beat) -> Occupancy:
    """Of all namespaces where we may, else of our own."""
    deployment = reading.read(cluster, "Deployment", names.DEPLOYMENT, spec.namespace).manifest
    selector = reading.labels(spec, deployment)
    for namespace in ("", spec.namespace):
        occupancy = Occupancy(spec.namespace, selector, everywhere=not namespace)

        def take(pod: Manifest, occupancy: Occupancy = occupancy) -> None:
            occupancy.take(pod)
            if occupancy.seen % BEAT_EVERY == 0:
                beat(f"{occupancy.seen} pods")

        try:
            cluster.find("Pod", namespace, fields=_NOT_ENDED, slim=take)
        except Forbidden:
            continue
        return occupancy
    return Occupancy(spec.namespace, selector, everywhere=False)


def _if_allowed(cluster: Cluster, kind: str, namespace: str) -> list[Manifest] | None:
    try:
        return cluster.find(kind, namespace)
    except Forbidden:
        return None
