"""`--direct`: the same looks by the caller's own kubeconfig, for a night without Temporal or a worker.

The only module of the CLI that talks to Kubernetes itself; it is loaded for `--direct` alone.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from activities import capacity, diagnose, reading
from activities.inventory import OURS
from activities.plan import Planner
from clients import cluster as kubernetes
from clients.credentials import WorkerSecrets
from clients.evidence import packed
from clients.source import GitSources
from domain import names
from domain.errors import CredentialsRejected, Forbidden, TransientError
from domain.ports import Cluster
from domain.spec import ClusterSpec
from domain.status import Release
from domain.steps import DiagnoseReport, DiagnoseRequest, NodesReport, NodesRequest, PlanReport, PlanRequest, Source
from planning import found, live, render
from starter import exits
from starter.bundle_file import write
from starter.invocation import Invocation
from worker.settings import WorkerSettings

UNKNOWN_OWNER = "<Temporal>"


class Direct:
    """Looks at one cluster, with the rights of whoever calls."""

    def __init__(self, asked: Invocation, spec: ClusterSpec) -> None:
        """KUBECONFIG and KUBE_CONTEXTS are read as a worker reads them; SettingsInvalid."""
        self._asked = asked
        self._spec = spec
        self._ends = None if asked.timeout is None else time.monotonic() + asked.timeout
        settings = WorkerSettings.read(asked.values)
        self._cluster: Cluster = kubernetes.connect(spec.cluster, settings.contexts, settings.kubeconfig)

    def nodes(self) -> NodesReport:
        """A verdict for each node."""
        with self._own_words():
            asked = NodesRequest(spec=self._spec, replicas=self._spec.replicas)
            return capacity.look(self._cluster, asked, self._beat)

    def plan(self) -> PlanReport:
        """What a deploy would change; whose mark the objects would bear is known only where they bear it already."""
        spec, source = self._spec, self._source()
        release = Release(
            stage=source.stage,
            image=render.image_reference(spec, source.stage),
            endpoint=str(spec.coordinator),
            replicas=spec.replicas,
        )
        request = PlanRequest(spec=spec, release=release, deployment_id=spec.deployment_id)
        with self._own_words():
            planner = Planner(self._cluster, request, self._owner(), self._beat, looking=True)
            return planner.run(WorkerSecrets(self._asked.values))

    def diagnose(self, file: Path | None) -> DiagnoseReport:
        """Everything that is wrong with the clients; with a file also the evidence, written here."""
        request = DiagnoseRequest(spec=self._spec)
        with self._own_words():
            seen = diagnose.look(self._cluster, request, self._beat)
            if file:
                write(file, packed(diagnose.evidence(self._cluster, request, seen, self._beat)))
        where = {"bundle": str(file), "host": diagnose.host_name()} if file else {}
        return seen.report().model_copy(update=where)

    def status(self) -> found.Standing:
        """What stands in the namespace, whoever made it."""
        namespace = self._spec.namespace
        with self._own_words():
            home = reading.read(self._cluster, "Namespace", namespace, "")
            kinds = [*OURS, ("Endpoints", names.COORDINATOR_SERVICE)]
            objects = [reading.read(self._cluster, kind, name, namespace) for kind, name in kinds]
            seen = diagnose.look(self._cluster, DiagnoseRequest(spec=self._spec), self._beat)
        standing = found.standing(
            namespace, home.manifest, [one.manifest for one in objects if one.manifest], seen.observed
        )
        unread = [one.unread for one in [home, *objects] if one.unread]
        exists = bool(home.manifest or home.unread)
        return standing.model_copy(update={"warnings": [*unread, *seen.warnings], "namespace_exists": exists})

    def _owner(self) -> str:
        """The mark of this very deployment, wherever Temporal is; anybody else's stays foreign."""
        seen = reading.read(self._cluster, "Deployment", names.DEPLOYMENT, self._spec.namespace).manifest
        mark = live.annotations(seen or {}).get(names.OWNER_ANNOTATION, "")
        ours = self._spec.deployment_id
        return mark if mark.endswith(f"/{ours}") else f"{UNKNOWN_OWNER}/{ours}"

    def _source(self) -> Source:
        spec = self._spec
        if spec.stage:
            return Source(commit="", stage=spec.stage)
        return GitSources().resolve(spec.backend.repo, stage="", allow_dirty=spec.allow_dirty)

    def _beat(self, text: str) -> None:
        if self._ends is not None and time.monotonic() > self._ends:
            raise exits.Exit(exits.TIMED_OUT, f"gave up after {self._asked.timeout:g} s while {text}")

    @contextmanager
    def _own_words(self) -> Iterator[None]:
        """Errors speak of the worker's kubeconfig; here it is the caller's."""
        try:
            yield
        except (TransientError, CredentialsRejected, Forbidden) as error:
            raise exits.Exit(exits.FAILED, str(error).replace("the worker's", "your")) from error
