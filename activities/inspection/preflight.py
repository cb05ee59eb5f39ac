"""The cluster's part of a preflight: everything that could stop a deploy there, looked at, and nothing changed.

What a deploy itself refuses by (rights, namespace, ownership, objects on trial, nodes) is decided by the very same
functions.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from temporalio import activity

from activities.cluster import capacity, inventory
from activities.cluster.dry_run import refusals
from activities.cluster.fence import known_cluster
from activities.inspection.checks import Checks
from activities.inspection.probe import Probe
from domain.errors import Forbidden, ObjectRejected
from domain.kubernetes import Manifest
from domain.messages.inspection import Check, CheckVerdict, PreflightReport, PreflightRequest
from domain.messages.nodes import NodesRequest
from domain.ports import Beat, Cluster, Reach, Secrets, Trials
from domain.spec import ClusterSpec
from planning.kubernetes import rbac
from planning.manifests import dry_run
from planning.preflight import checks


@dataclass(frozen=True)
class PreflightCluster:
    """Clients that the checks of one cluster use; `owner` is the mark of the deployment about to be made."""

    cluster: Cluster
    trials: Trials
    secrets: Secrets
    reach: Reach
    owner: str


class PreflightActivities:
    """Needs the clusters by name, twice, this worker's secrets, the prefix of our owner mark, and a way to connect."""

    def __init__(
        self,
        clusters: Mapping[str, Cluster],
        trials: Mapping[str, Trials],
        secrets: Secrets,
        owner_prefix: str,
        reach: Reach,
    ) -> None:
        """`owner_prefix` is `<Temporal cluster id>/<Temporal namespace>`; the workflow id completes the mark."""
        self._clusters = clusters
        self._trials = trials
        self._secrets = secrets
        self._owner_prefix = owner_prefix
        self._reach = reach

    @activity.defn
    def preflight_cluster(self, request: PreflightRequest) -> PreflightReport:
        """Every check of the cluster's side; heartbeats name the one at work."""
        name = request.spec.cluster
        cluster = known_cluster(self._clusters, name)
        owner = f"{self._owner_prefix}/{request.deployment_id}"
        site = PreflightCluster(cluster, self._trials[name], self._secrets, self._reach, owner)
        results = cluster_checks(site, request, activity.heartbeat, activity.is_worker_shutdown)
        return PreflightReport(checks=results)


def cluster_checks(
    site: PreflightCluster, request: PreflightRequest, beat: Beat, stopping: Callable[[], bool] = lambda: False
) -> list[Check]:
    """All of them, in the order in which a deploy would meet them; needs neither Temporal nor a worker."""
    results = Checks(beat)
    looks = _ClusterChecks(site, request, results.beat)
    results.look("pull credentials for pods", looks.pull_secret)
    if results.look("Kubernetes", looks.kubernetes).verdict is not CheckVerdict.FAILED:
        _in_cluster(results, looks)
    coordinator = results.look("coordinator", looks.coordinator)
    if request.probe and looks.namespace_found:
        host, port = checks.coordinator_of(request.spec)
        probe = Probe(site.cluster, site.trials, request, site.owner, results.beat)
        told = results.look("probe", lambda: probe.run(host, port, stopping))
        results.found[results.found.index(coordinator)] = checks.outvoted(coordinator, told)
    elif request.probe:
        results.look("probe", lambda: checks.unknown("probe", "there is no namespace yet to run it in"))
    return results.found


def _in_cluster(results: Checks, looks: "_ClusterChecks") -> None:
    results.look("rights", looks.rights)
    results.look("optional rights", looks.optional_rights)
    results.look("namespace", looks.namespace)
    results.look("ownership", looks.ownership)
    results.look("nodes", looks.nodes)
    results.look("quota", looks.quota)
    if looks.namespace_found:  # else nothing can be tried in it
        results.look("objects", looks.objects)
        results.look("pod admission", looks.pod)


class _ClusterChecks:
    """Checks of the cluster, one method each; each may raise what a deploy would."""

    def __init__(self, site: PreflightCluster, request: PreflightRequest, beat: Beat) -> None:
        self._site = site
        self._cluster = site.cluster
        self._request = request
        self._spec: ClusterSpec = request.spec
        self._beat = beat
        self.namespace_found = False

    def pull_secret(self) -> Check:
        login = self._site.secrets.login(self._spec.image.pull_auth, self._spec.image.pull_host)
        return checks.pull_login("pull credentials for pods", login, self._spec.image.pull_host)

    def kubernetes(self) -> Check:
        return checks.ok("Kubernetes", f"cluster {self._spec.cluster} answers, it is {self._cluster.uid()}")

    def rights(self) -> Check:
        asked = [*inventory.required_rights(self._spec), *rbac.node_rights()]
        lacking = inventory.review_rights(self._cluster, self._spec)
        return checks.required_rights(lacking.required, lacking.on_nodes, len(asked), self._spec.namespace)

    def optional_rights(self) -> Check:
        asked = [*rbac.optional_rights(), *rbac.optional_cluster_rights()]
        lacking, in_cluster = inventory.review_optional_rights(self._cluster, self._spec)
        return checks.optional_rights(lacking, in_cluster, len(asked), self._spec.namespace)

    def namespace(self) -> Check:
        try:
            self.namespace_found = inventory.check_namespace(self._cluster, self._spec)
        except Forbidden:
            self.namespace_found = True  # for all that we know: what is tried in it will tell
            raise
        return checks.namespace(self._spec, exists=self.namespace_found)

    def ownership(self) -> Check:
        return checks.ownership(inventory.judge_ownership(self._cluster, self._spec, self._site.owner))

    def nodes(self) -> Check:
        asked = NodesRequest(spec=self._spec, replicas=self._spec.replicas)
        return checks.nodes(capacity.look(self._cluster, asked, self._beat), self._spec)

    def quota(self) -> Check:
        try:
            return checks.quota(self._cluster.find("ResourceQuota", self._spec.namespace))
        except Forbidden as error:
            return checks.unknown("quota", error.diagnosis.what, rbac.snippet("ResourceQuota", "list"))

    def objects(self) -> Check:
        manifests = self._manifests()
        return checks.dry_run(refusals(self._cluster, manifests, self._beat), len(manifests))

    def pod(self) -> Check:
        known = self._request.image_user is not None
        try:
            warnings = self._site.trials.create(dry_run.pod(self._manifests()[-1]), dry_run=True)
        except Forbidden as error:
            return checks.unknown("pod admission", error.diagnosis.what, rbac.snippet("Probe", "create"))
        except ObjectRejected as error:
            return checks.pod(error, [], user_known=known)
        return checks.pod(None, warnings, user_known=known)

    def coordinator(self) -> Check:
        host, port = checks.coordinator_of(self._spec)
        return checks.coordinator(host, port, self._site.reach(host, port))

    def _manifests(self) -> list[Manifest]:
        asked = self._request
        return dry_run.manifests(self._spec, self._site.owner, stage=asked.stage, image_user=asked.image_user)
