"""Activities that look at one Kubernetes cluster and change nothing: plan, diagnose, keep evidence (prover-kube.…)."""

import time

from temporalio import activity

from activities.cluster.fence import known_cluster
from activities.inspection import diagnose
from activities.inspection.plan import Planner
from domain.messages.inspection import DiagnoseReport, DiagnoseRequest, PlanReport, PlanRequest
from domain.ports import Cluster, Evidence, Reach, Secrets


class InspectionActivities:
    """Needs the clusters by name, this worker's secrets, the prefix of our owner mark, and a place for evidence."""

    def __init__(
        self,
        clusters: dict[str, Cluster],
        secrets: Secrets,
        owner_prefix: str,
        evidence: Evidence,
        reach: Reach | None = None,
    ) -> None:
        """`owner_prefix` is `<Temporal cluster id>/<Temporal namespace>`; the workflow id completes the mark.

        `reach` is how this machine tries a coordinator.
        """
        self._clusters = clusters
        self._secrets = secrets
        self._owner_prefix = owner_prefix
        self._evidence = evidence
        self._reach = reach

    @activity.defn
    def plan(self, request: PlanRequest) -> PlanReport:
        """Return what a deploy would change, object by object, by the API server's dry-run."""
        owner = f"{self._owner_prefix}/{request.deployment_id}"
        cluster = self._cluster(request.spec.cluster)
        return Planner(cluster, request, owner, activity.heartbeat, looking=False).run(self._secrets)

    @activity.defn
    def diagnose(self, request: DiagnoseRequest) -> DiagnoseReport:
        """Everything that is wrong with what is deployed; with `bundle` the evidence is kept on this worker."""
        return self._look(request)

    @activity.defn
    def capture_evidence(self, request: DiagnoseRequest) -> DiagnoseReport:
        """Diagnose and always keep the evidence, before a rollback or removal."""
        return self._look(request.model_copy(update={"bundle": True}))

    def _look(self, request: DiagnoseRequest) -> DiagnoseReport:
        cluster = self._cluster(request.spec.cluster)
        seen = diagnose.look(cluster, request, activity.heartbeat, self._reach)
        if not request.bundle:
            return seen.report()
        content = diagnose.evidence(cluster, request, seen, activity.heartbeat)
        path = self._evidence.keep(diagnose.bundle_name(request, time.time()), content)
        return seen.report().model_copy(update={"bundle": path, "host": diagnose.host_name()})

    def _cluster(self, name: str) -> Cluster:
        return known_cluster(self._clusters, name)
