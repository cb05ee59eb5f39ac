"""Short activities against one Kubernetes cluster: check, apply, await, remove. Task queue prover-kube.<cluster>."""

from temporalio import activity

from domain.ports import Cluster, Secrets
from domain.status import Observation
from domain.steps import (
    Applied,
    ApplyRequest,
    NodesReport,
    NodesRequest,
    Removed,
    RolloutRequest,
    Target,
    TargetRequest,
)


class KubeActivities:
    """Needs the clusters by name, this worker's secrets, and the prefix of our owner mark."""

    def __init__(self, clusters: dict[str, Cluster], secrets: Secrets, owner_prefix: str) -> None:
        """`owner_prefix` is `<Temporal cluster id>/<Temporal namespace>`; the workflow id completes the mark."""
        self._clusters = clusters
        self._secrets = secrets
        self._owner_prefix = owner_prefix

    @activity.defn
    def inspect_target(self, request: TargetRequest) -> Target:
        """Fence and ownership, before anything is written; OwnedByAnother, Forbidden."""
        raise NotImplementedError

    @activity.defn
    def check_nodes(self, request: NodesRequest) -> NodesReport:
        """A verdict for each node; the caller decides."""
        raise NotImplementedError

    @activity.defn
    def apply_release(self, request: ApplyRequest) -> Applied:
        """Server-side apply of every object, in dependency order."""
        raise NotImplementedError

    @activity.defn
    def await_rollout(self, request: RolloutRequest) -> Observation:
        """Return when complete, or with a fatal or needs-human diagnosis; heartbeats progress."""
        raise NotImplementedError

    @activity.defn
    def observe(self, request: RolloutRequest) -> Observation:
        """The live state, once."""
        raise NotImplementedError

    @activity.defn
    def remove_release(self, request: TargetRequest) -> Removed:
        """Remove what this deployment owns, and wait until its pods are gone; heartbeats progress."""
        raise NotImplementedError
