"""Looks at one deployment once, says everything that is wrong with it, and gathers the evidence."""

import socket
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from activities.cluster import explanation, reading
from domain import names
from domain.diagnosis import Diagnosis
from domain.kubernetes import Snapshot
from domain.messages.inspection import DiagnoseReport, DiagnoseRequest
from domain.ports import Beat, Cluster, Reach
from domain.spec import Shortage
from domain.status import Observation
from planning.diagnosis import bundle, client_work, findings, rollout_status

LOG_LINES = 200
LOG_SECONDS = 12.0  # for all logs: a dead kubelet answers none, and a rollback waits for the evidence
MAX_PODS = 500  # in a report, those that are not ready first: it travels through Temporal
MAX_FINDINGS = 50  # causes, not pods: equal pods are one finding


class Look(NamedTuple):
    """Snapshot of a deployment, the findings about it, and what could not be read."""

    snapshot: Snapshot
    observed: Observation
    findings: list[Diagnosis]
    warnings: list[str]
    circuit: str = ""  # as in DiagnoseReport

    def report(self) -> DiagnoseReport:
        """Without the evidence, which is too large for Temporal."""
        pods = sorted(self.observed.pods, key=lambda pod: pod.ready)[:MAX_PODS]
        observed = self.observed.model_copy(update={"pods": pods})
        return DiagnoseReport(observed=observed, findings=self.findings, warnings=self.warnings, circuit=self.circuit)


def look(cluster: Cluster, request: DiagnoseRequest, beat: Beat, reach: Reach | None = None) -> Look:
    """Read and judge the deployment once; Forbidden when not even the Deployment may be read."""
    spec, warnings = request.spec, list[str]()
    beat("looking at the clients")
    deployment = cluster.get("Deployment", names.DEPLOYMENT, spec.namespace)
    selected = reading.labels(spec, deployment)
    snapshot = Snapshot(
        now=time.time(),
        deployment=deployment,
        replica_sets=reading.clients(cluster, spec.namespace, selected, "ReplicaSet", warnings),
        pods=reading.clients(cluster, spec.namespace, selected, "Pod", warnings),
        events=cluster.events(spec.namespace),
    )
    snapshot = explanation.enrich(cluster, spec, snapshot, reach)
    app, stage, image = selected.get("app", spec.deploy_name), request.stage, request.image
    waits = spec.shortage is Shortage.AUTOSCALE
    observed = rollout_status.observe(snapshot, app=app, stage=stage, image=image, autoscale=waits)
    found = findings.findings(snapshot, app=app, stage=stage, image=image, autoscale=waits)
    circuit = ""  # where tasks arrive the coordinator knows it, whatever the backend host's configuration says by now
    if not client_work.receives_tasks(snapshot):
        circuit = snapshot.circuit or explanation.clients_circuit(cluster, spec, deployment)
    return Look(snapshot, observed, found[:MAX_FINDINGS] if observed.diagnosis else [], warnings, circuit)


def evidence(
    cluster: Cluster, request: DiagnoseRequest, seen: Look, beat: Beat, clock: Callable[[], float] = time.monotonic
) -> dict[str, Any]:
    """Return the evidence bundle, with the logs that can be read in time."""
    logs: dict[str, str] = {}
    begun = clock()
    for pod, restarted in bundle.worth_reading(seen.snapshot.pods):
        if clock() - begun > LOG_SECONDS:
            break
        beat(f"reading the log of {pod}")
        for previous in (False, True) if restarted else (False,):
            text = cluster.logs(pod, request.spec.namespace, previous=previous, lines=LOG_LINES)
            if text:
                logs[f"{pod} (previous)" if previous else pod] = text
    return bundle.compose(request.spec, seen.snapshot, seen.observed, seen.findings, logs)


def bundle_name(request: DiagnoseRequest, now: float) -> str:
    """Return the file name of a bundle: cluster, namespace and time, so that files sort by age."""
    return f"{request.spec.cluster}-{request.spec.namespace}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}"


def host_name() -> str:
    """Where a bundle is."""
    return socket.gethostname()
