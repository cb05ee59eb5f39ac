"""Short activities against one Kubernetes cluster: check, apply, await, remove. Task queue prover-kube.<cluster>."""

import time

from temporalio import activity

from activities.cluster import capacity
from activities.cluster.dry_run import refusals
from activities.cluster.fence import check_fence, known_cluster
from activities.cluster.inventory import check_rights, judge_ownership
from activities.release.apply import Application
from activities.release.removal import Removal
from activities.release.rollout import Rollout, look
from domain.messages.nodes import NodesReport, NodesRequest
from domain.messages.release import Applied, ApplyRequest, Removed, RolloutRequest, Target, TargetRequest
from domain.ports import Cluster, Reach, Secrets
from domain.status import Observation
from planning.manifests import dry_run
from planning.manifests.render import require_password


class KubeActivities:
    """Needs the clusters by name, this worker's secrets, and the prefix of our owner mark."""

    def __init__(
        self, clusters: dict[str, Cluster], secrets: Secrets, owner_prefix: str, reach: Reach | None = None
    ) -> None:
        """`owner_prefix` is `<Temporal cluster id>/<Temporal namespace>`; the workflow id completes the mark.

        `reach` is how this machine tries a coordinator.
        """
        self._clusters = clusters
        self._secrets = secrets
        self._owner_prefix = owner_prefix
        self._reach = reach

    @activity.defn
    def inspect_target(self, request: TargetRequest) -> Target:
        """Fence, rights, ownership and the objects on trial, before anything is written or built.

        WrongCluster, Forbidden, Refused, OwnedByAnother, ApplyConflict, ObjectRejected, CredentialsMissing.
        """
        cluster, owner = self._cluster(request.spec.cluster), self._owner(request.deployment_id)
        image = request.spec.image
        if login := self._secrets.login(image.pull_auth, image.pull_host):
            require_password(login.user, image.pull_host)
        uid = check_fence(cluster, request.cluster_uid, request.spec.cluster)
        warnings = check_rights(cluster, request.spec)
        target = judge_ownership(cluster, request.spec, owner, cluster_uid=uid)
        if target.namespace_exists:
            refused = refusals(cluster, dry_run.manifests(request.spec, owner), activity.heartbeat)
            if refused:
                raise refused[0]
        return target.model_copy(update={"warnings": [*target.warnings, *warnings]})

    @activity.defn
    def check_nodes(self, request: NodesRequest) -> NodesReport:
        """Return a verdict for each node; the caller decides."""
        return capacity.look(self._cluster(request.spec.cluster), request, activity.heartbeat)

    @activity.defn
    def apply_release(self, request: ApplyRequest) -> Applied:
        """Server-side apply of every object, in dependency order."""
        cluster = self._cluster(request.spec.cluster)
        login = self._secrets.login(request.spec.image.pull_auth, request.spec.image.pull_host)
        application = Application(cluster, request, self._owner(request.deployment_id), activity.heartbeat)
        return application.run(login)

    @activity.defn
    def apply_service(self, request: ApplyRequest) -> Applied:
        """Server-side apply of Service and EndpointSlice alone, for nodes should know them before a client starts."""
        cluster = self._cluster(request.spec.cluster)
        return Application(cluster, request, self._owner(request.deployment_id), activity.heartbeat).run_way()

    @activity.defn
    def await_rollout(self, request: RolloutRequest) -> Observation:
        """Return when complete, or with a fatal or needs-human diagnosis; heartbeats progress."""
        rollout = Rollout(self._cluster(request.spec.cluster), request, activity.heartbeat, reach=self._reach)
        return rollout.run(activity.is_worker_shutdown)

    @activity.defn
    def observe(self, request: RolloutRequest) -> Observation:
        """Return the live state, read once."""
        return look(self._cluster(request.spec.cluster), request, time.time())

    @activity.defn
    def remove_release(self, request: TargetRequest) -> Removed:
        """Remove what this deployment owns, and wait until its pods are gone; heartbeats progress."""
        cluster = self._cluster(request.spec.cluster)
        removal = Removal(cluster, request, self._owner(request.deployment_id), activity.heartbeat)
        return removal.run(activity.is_worker_shutdown)

    def _owner(self, deployment_id: str) -> str:
        return f"{self._owner_prefix}/{deployment_id}"

    def _cluster(self, name: str) -> Cluster:
        return known_cluster(self._clusters, name)
