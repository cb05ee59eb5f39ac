"""Asks the API server what a deploy would make of each object, on trial (dry-run), and changes nothing."""

from activities.cluster import capacity, reading
from activities.cluster.fence import owner_of
from activities.cluster.reading import Found
from domain import names
from domain.errors import (
    ApplyConflict,
    CredentialsMissing,
    Forbidden,
    ObjectRejected,
    Unavailable,
)
from domain.kubernetes import Manifest
from domain.messages.inspection import Action, ObjectChange, PlanReport, PlanRequest
from domain.messages.nodes import NodesReport, NodesRequest
from domain.ports import Beat, Cluster, Secrets
from domain.spec import ClusterSpec
from planning.kubernetes import objects, rbac
from planning.manifests import render
from planning.plan import plan
from planning.plan.plan import DryRun

SAID_NO = {"ADMISSION_DOWN", "NAMESPACE_TERMINATING", "CONFLICT"}  # passing, and yet about this one object
NO_NAMESPACE = "The namespace does not exist yet, so the API server could not try the objects in it."
UNTRIED = "compared without the API server, for you may not have it tried: "


class Planner:
    """Maker of the plan of one release."""

    def __init__(self, cluster: Cluster, request: PlanRequest, owner: str, beat: Beat, *, looking: bool) -> None:
        """Take the cluster; `looking` means the caller's rights, which say nothing of the worker's."""
        self._cluster = cluster
        self._request = request
        self._spec: ClusterSpec = request.spec
        self._owner = owner
        self._beat = beat
        self._looking = looking
        self._exists = True
        self._warnings: list[str] = []

    def run(self, secrets: Secrets) -> PlanReport:
        """Return the plan; raise only when the cluster as a whole does not answer."""
        namespace = self._read("Namespace", self._spec.namespace)
        self._exists = bool(namespace.manifest or namespace.unread)
        deployment = self._read("Deployment", names.DEPLOYMENT)
        configuration = self._read("ConfigMap", names.CONFIG_MAP)
        release = plan.reused(self._request.release, deployment.manifest, configuration.manifest)
        changes = [self._mark(namespace, release.stage)]
        pull_secret, secret = self._secret(secrets)
        changes += secret
        trials = [
            self._trial(manifest)
            for manifest in render.render(
                self._spec, release, owner=self._owner, image_user=release.image_user, pull_secret=pull_secret
            )
        ]
        trials = [self._spared(trial) for trial in trials]
        changes += [plan.change(trial, self._spec, self._owner) for trial in trials]
        changes += self._removals(keep_secret=pull_secret)
        found, judged = self._nodes()
        pods = reading.clients(
            self._cluster,
            self._spec.namespace,
            reading.labels(self._spec, deployment.manifest),
            "Pod",
            self._warnings,
        )
        return plan.report(changes, trials[-1], pods, found, judged, self._spec, self._warnings)

    def _mark(self, namespace: Found, stage: str) -> ObjectChange:
        """Plan the Namespace: created when missing; its marks are optional."""
        manifest = render.namespace_marks(self._spec, stage, self._owner)
        trial = DryRun(manifest, note=namespace.unread, unread=bool(namespace.unread))
        if not namespace.unread:
            trial = self._tried(manifest, namespace)
        if trial.refusal and namespace.manifest:
            trial = DryRun(manifest, note=f"it would not be marked with its stage: {trial.refusal.what}", unread=True)
        return plan.change(trial, self._spec, self._owner)

    def _secret(self, secrets: Secrets) -> tuple[bool, list[ObjectChange]]:
        """Whether pods pull with a Secret, and what becomes of it."""
        target = self._spec.image
        try:
            login = secrets.login(target.pull_auth, target.pull_host)
            manifest = render.pull_secret(self._spec, login.user, login.reveal(), self._owner) if login else None
        except CredentialsMissing as error:
            action = Action.UNKNOWN if self._looking else Action.REFUSED
            note = str(error.diagnosis)
            return True, [ObjectChange(kind="Secret", name=names.PULL_SECRET, action=action, note=note)]
        if manifest is None:
            return False, []
        return True, [plan.change(self._trial(manifest), self._spec, self._owner)]

    def _trial(self, manifest: Manifest) -> DryRun:
        found = self._read(manifest["kind"], objects.name(manifest))
        if not self._exists:
            return self._untried(DryRun(manifest))
        if found.manifest and plan.family(found.manifest) != plan.family(manifest) and plan.family(manifest):
            return DryRun(manifest, found.manifest)
        return self._tried(manifest, found)

    def _spared(self, trial: DryRun) -> DryRun:
        """Leave out an optional object where it is refused."""
        if not trial.refusal or not render.dispensable(trial.manifest, self._spec):
            return trial
        note = f"it would be left out, since clients use COORDINATOR_SERV: {trial.refusal.what}"
        return DryRun(trial.manifest, note=note, unread=True)

    def _tried(self, manifest: Manifest, found: Found) -> DryRun:
        kind = manifest["kind"]
        self._beat(f"trying {kind} {objects.name(manifest)}")
        trial = DryRun(manifest, found.manifest, note=found.unread, unread=bool(found.unread))
        try:
            return trial._replace(result=self._cluster.apply(manifest, dry_run=True))
        except Forbidden as error:
            if not self._looking:
                return trial._replace(refusal=error.diagnosis)
            note = f"{UNTRIED}{error.diagnosis.what}. {rbac.snippet(kind, 'patch')}"
            return trial._replace(note=found.unread or note)
        except (ObjectRejected, ApplyConflict) as error:
            if error.diagnosis.code == "NOT_FOUND":
                return self._untried(trial)
            return trial._replace(refusal=error.diagnosis)
        except Unavailable as error:
            if error.diagnosis.code not in SAID_NO:
                raise
            return trial._replace(refusal=error.diagnosis)

    def _untried(self, trial: DryRun) -> DryRun:
        if NO_NAMESPACE not in self._warnings:
            self._warnings.append(NO_NAMESPACE)
        return trial

    def _removals(self, *, keep_secret: bool) -> list[ObjectChange]:
        """As the deploy does: what this release has not, and the v1 Endpoints that would route beside our slice."""
        gone = []
        if not keep_secret:
            gone.append(("Secret", names.PULL_SECRET, "the image is pulled without credentials"))
        found = [(self._read(kind, name).manifest, why) for kind, name, why in gone]
        changes = [plan.removal(old, why) for old, why in found if old and owner_of(old) == self._owner]
        service, endpoints = (self._read(kind, names.COORDINATOR_SERVICE) for kind in ("Service", "Endpoints"))
        if endpoints.manifest and service.manifest and owner_of(service.manifest) == self._owner:
            changes.append(plan.removal(endpoints.manifest, "the EndpointSlice takes its place"))
        return changes

    def _nodes(self) -> tuple[list[Manifest] | None, NodesReport | None]:
        self._beat("looking at the nodes")
        try:
            found = self._cluster.find("Node", slim=lambda one: plan.slim(one, self._spec))
        except Forbidden as error:
            self._warnings.append(reading.unknown(error, "What the nodes hold", "Node", "list"))
            return None, None
        asked = NodesRequest(spec=self._spec, replicas=self._spec.replicas)
        return found, capacity.look(self._cluster, asked, self._beat, found)

    def _read(self, kind: str, name: str) -> Found:
        return reading.read(self._cluster, kind, name, self._spec.namespace)
