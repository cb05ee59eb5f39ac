"""`--direct`: the same inspections with the caller's own kubeconfig, without Temporal or a worker.

The only module of the CLI that talks to Kubernetes itself; it is loaded for `--direct` alone.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from activities.cluster import capacity, reading
from activities.cluster.inventory import OURS
from activities.host.preflight import Host, host_checks
from activities.host.source import resolved
from activities.inspection import diagnose
from activities.inspection.plan import Planner
from activities.inspection.preflight import PreflightCluster, cluster_checks
from clients.backend.host import LocalBackendHost
from clients.git.work_tree import GitSources
from clients.image.preflight import LocalImagePreflight
from clients.kubernetes import cluster
from clients.kubernetes.pods import PodTrials
from clients.registry.credentials import WorkerSecrets
from clients.system.evidence import packed
from clients.system.tcp import reach
from domain import names
from domain.errors import CredentialsRejected, Forbidden, NotARepository, ProverError, TransientError
from domain.messages.inspection import (
    Check,
    CheckVerdict,
    DiagnoseReport,
    DiagnoseRequest,
    PlanReport,
    PlanRequest,
    PreflightReport,
    PreflightRequest,
)
from domain.messages.nodes import NodesReport, NodesRequest
from domain.messages.source import Source
from domain.spec import ClusterSpec
from domain.status import Release
from planning.backend.variables import circuit_request, source_request
from planning.diagnosis import findings
from planning.kubernetes.objects import annotations
from planning.manifests import circuit_name, live_deployment, render
from planning.settings.checks import is_url
from starter.cli import exits
from starter.cli.invocation import Invocation
from starter.direct.bundle_file import write
from worker.settings import WorkerSettings

UNKNOWN_OWNER = "<Temporal>"
KEPT_NOTE = (
    "Compared with the settings: a deploy keeps the number of clients and the endpoint that scale, reset-endpoint or a"
    " flag set, which only the deployment's workflow knows."
)


class Direct:
    """Inspections of one cluster with the caller's own rights."""

    def __init__(self, asked: Invocation, spec: ClusterSpec) -> None:
        """Read KUBECONFIG and KUBE_CONTEXTS as a worker does; raise SettingsInvalid."""
        self._asked = asked
        self._spec = spec
        self._ends = None if asked.timeout is None else time.monotonic() + asked.timeout
        self._settings = WorkerSettings.read(asked.values)
        self._secrets = WorkerSecrets(asked.values)
        self._cluster = cluster.connect(spec.cluster, self._settings.contexts, self._settings.kubeconfig)

    def nodes(self) -> NodesReport:
        """Return a verdict for each node."""
        with self._caller_wording():
            asked = NodesRequest(spec=self._spec, replicas=self._spec.replicas)
            return capacity.look(self._cluster, asked, self._heartbeat)

    def plan(self) -> PlanReport:
        """Return what a deploy would change; the owner mark is known only where the objects bear it already."""
        spec, source = self._source()
        release = Release(
            stage=source.stage,
            image=render.image_reference(spec, source.stage),
            endpoint=str(spec.coordinator),
            replicas=spec.replicas,
        )
        request = PlanRequest(spec=spec, release=release, deployment_id=spec.deployment_id)
        with self._caller_wording():
            planner = Planner(self._cluster, request, self._owner(), self._heartbeat, looking=True)
            report = planner.run(self._secrets)
        return report.model_copy(
            update={"notes": [KEPT_NOTE], "warnings": [*circuit_name.warnings(spec, source), *report.warnings]}
        )

    def preflight(self, probe_image: str) -> PreflightReport:
        """Return every check that can be made from here, with the caller's rights."""
        spec = self._spec
        asked = PreflightRequest(
            spec=spec, deployment_id=spec.deployment_id, probe=bool(probe_image), probe_image=probe_image
        )
        with self._caller_wording():
            host = self._host_checks(asked)
            known = asked.model_copy(update={"stage": host.stage, "image_user": host.image_user})
            trials = PodTrials(self._cluster.connection)
            site = PreflightCluster(self._cluster, trials, self._secrets, reach, self._owner())
            return PreflightReport(
                checks=[for_caller(check) for check in (*host.checks, *cluster_checks(site, known, self._heartbeat))]
            )

    def diagnose(self, file: Path | None) -> DiagnoseReport:
        """Return everything that is wrong with the clients; with a file also write the evidence there."""
        request = DiagnoseRequest(spec=self._spec)
        with self._caller_wording():
            seen = diagnose.look(self._cluster, request, self._heartbeat)
            if file:
                write(file, packed(diagnose.evidence(self._cluster, request, seen, self._heartbeat)))
        where = {"bundle": str(file), "host": diagnose.host_name()} if file else {}
        return self._with_circuit(seen.report()).model_copy(update=where)

    def status(self) -> live_deployment.LiveDeployment:
        """Return the objects of our names in the namespace, also those of others."""
        namespace = self._spec.namespace
        with self._caller_wording():
            home = reading.read(self._cluster, "Namespace", namespace, "")
            kinds = [*OURS, ("Endpoints", names.COORDINATOR_SERVICE)]
            objects = [reading.read(self._cluster, kind, name, namespace) for kind, name in kinds]
            seen = diagnose.look(self._cluster, DiagnoseRequest(spec=self._spec), self._heartbeat)
        standing = live_deployment.from_objects(
            namespace, home.manifest, [one.manifest for one in objects if one.manifest], seen.observed
        )
        unread = [one.unread for one in [home, *objects] if one.unread]
        exists = bool(home.manifest or home.unread)
        return standing.model_copy(update={"warnings": [*unread, *seen.warnings], "namespace_exists": exists})

    def _host_checks(self, asked: PreflightRequest) -> PreflightReport:
        """Check the backend host only when it is this machine: another one would be judged by what is missing here."""
        backend, settings = self._spec.backend, self._settings
        if not self._is_host:
            detail = f"repository, circuit, Docker and registry are looked at on the backend host {backend.host} alone"
            unseen = Check(name="backend host", verdict=CheckVerdict.UNKNOWN, detail=detail)
            return PreflightReport(checks=[unseen], stage=self._spec.stage)
        image_preflight = LocalImagePreflight(settings.docker_host, self._secrets)
        steps = LocalBackendHost(settings.state_dir, self._asked.values)
        return host_checks(
            Host(GitSources(settings.state_dir), image_preflight, steps, self._secrets), asked, self._heartbeat
        )

    @property
    def _is_host(self) -> bool:
        """Whether the backend's repository is on this machine."""
        backend = self._spec.backend
        return backend.host == "local" and (is_url(backend.repo) or Path(backend.repo).is_dir())

    def _with_circuit(self, report: DiagnoseReport) -> DiagnoseReport:
        """Compare the clients' circuit with the configuration of the backend's programs, where that is here."""
        spec, backend = self._spec, self._spec.backend
        if not (report.circuit and backend.repo):
            return report
        try:
            if not self._is_host:
                raise NotARepository("the repository is not on this machine", on=f"backend host {backend.host}")
            sources = GitSources(self._settings.state_dir)
            if backend.apart:
                here = backend.checked_out(sources.located(backend.repo, backend.ref))
                spec = spec.model_copy(update={"backend": here})
            profiles = LocalBackendHost(self._settings.state_dir, self._asked.values)
            source = resolved(sources, profiles, circuit_request(spec, report.circuit))
        except ProverError as error:
            warning = circuit_name.not_compared(_caller_text(str(error)))
            return report.model_copy(update={"warnings": [*report.warnings, warning]})
        found = findings.with_circuit(report.findings, report.circuit, source)
        return report.model_copy(update={"findings": found})

    def _owner(self) -> str:
        """Return the owner mark of this deployment in whatever Temporal cluster; other marks count as foreign."""
        ours, namespace = self._spec.deployment_id, self._spec.namespace
        for kind, name in (("Deployment", names.DEPLOYMENT), ("Namespace", namespace)):
            seen = reading.read(self._cluster, kind, name, namespace).manifest
            mark = annotations(seen or {}).get(names.OWNER_ANNOTATION, "")
            if mark.endswith(f"/{ours}"):
                return mark
        return f"{UNKNOWN_OWNER}/{ours}"

    def _source(self) -> tuple[ClusterSpec, Source]:
        """Return what would be deployed, and the spec with the configuration schema of its client."""
        spec = self._spec
        sources, backend = GitSources(self._settings.state_dir), spec.backend
        if circuit_name.is_settled(spec):
            return spec, Source(commit="", stage=spec.stage)
        if backend.apart:
            made = sources.checkout(backend.repo, backend.ref, self._heartbeat)
            spec = spec.model_copy(update={"backend": backend.checked_out(made.directory)})
        profiles = LocalBackendHost(self._settings.state_dir, self._asked.values)
        source = resolved(sources, profiles, source_request(spec))
        return circuit_name.settle(spec, source), source

    def _heartbeat(self, text: str) -> None:
        if self._ends is not None and time.monotonic() > self._ends:
            raise exits.Exit(exits.TIMED_OUT, f"gave up after {self._asked.timeout:g} s while {text}")

    @contextmanager
    def _caller_wording(self) -> Iterator[None]:
        """Name the caller's kubeconfig in errors, which mention the worker's."""
        try:
            yield
        except (TransientError, CredentialsRejected, Forbidden) as error:
            raise exits.Exit(exits.FAILED, _caller_text(str(error))) from error


def for_caller(check: Check) -> Check:
    """Return the check with the caller in place of the worker."""
    return check.model_copy(update={"detail": _caller_text(check.detail), "do": _caller_text(check.do)})


def _caller_text(text: str) -> str:
    return text.replace("the worker's", "your")
