"""Writes one release into its namespace: every object compared first, applied server-side, fenced, and verified."""

import time
from collections.abc import Iterator

from activities.cluster.fence import check_fence, owner_of
from activities.cluster.inventory import Inventory, namespace_missing, take
from domain import names
from domain.errors import ApplyConflict, Forbidden, ObjectRejected, Unavailable
from domain.kubernetes import Manifest
from domain.messages.release import Applied, ApplyRequest
from domain.ports import Beat, Cluster, Login
from planning.kubernetes import rbac
from planning.manifests import ownership, render
from planning.plan.plan import family

RECREATE_WAIT = 20.0  # seconds for a deleted object to be gone
WAY = ("Service", "EndpointSlice")  # from clients to the coordinator
SETTLE = 5.0  # seconds for kube-proxy on every node to learn of a new Service: a call made before may hang for minutes
POLL = 0.1  # seconds; nothing watches these kinds


class Application:
    """Application of one release to a namespace; may be killed between any two lines and run again."""

    def __init__(self, cluster: Cluster, request: ApplyRequest, owner: str, beat: Beat) -> None:
        self._cluster = cluster
        self._request = request
        self._spec = request.spec
        self._owner = owner
        self._beat = beat
        self._changed = False
        self._warnings: list[str] = []

    def run(self, login: Login | None) -> Applied:
        """Make the namespace equal to the rendering; OwnedByAnother, Forbidden, ApplyConflict, ObjectRejected."""
        live = self._begin()
        deployment: Manifest = {}
        wanted = list(self._manifests(login))
        for manifest in wanted:
            deployment = self._write(manifest, live)
        self._prune(wanted, live)
        self._mark_namespace()
        return Applied(
            config_hash=render.config_hash(self._spec, lagrange=self._request.release.lagrange),
            generation=deployment["metadata"]["generation"],
            changed=self._changed,
            warnings=[*render.image_warnings(self._request.image_user), *self._warnings],
        )

    def run_way(self) -> Applied:
        """Only the way to the coordinator; the same errors."""
        live = self._begin()
        for manifest in self._manifests(None):
            if manifest["kind"] in WAY:
                self._write(manifest, live)
        made = live.find("Service", names.COORDINATOR_SERVICE) is None
        return Applied(config_hash="", generation=0, changed=self._changed, settle=SETTLE if made else 0.0)

    def _begin(self) -> Inventory:
        """Return the existing objects after the owner check, and create the namespace where it is missing."""
        self._fence()
        live = take(self._cluster, self._spec)
        objects = live.judged(self._owner)
        ownership.judge_target(live.namespace, objects, self._spec, self._owner, readable=live.readable)
        if live.readable and live.namespace is None:
            self._create_namespace()
        return live

    def _manifests(self, login: Login | None) -> Iterator[Manifest]:
        """In dependency order, the Deployment last."""
        if login is not None:
            yield render.pull_secret(self._spec, login.user, login.reveal(), self._owner)
        yield from render.render(
            self._spec,
            self._request.release,
            owner=self._owner,
            image_user=self._request.image_user,
            pull_secret=login is not None,
        )

    def _fence(self) -> None:
        check_fence(self._cluster, self._request.cluster_uid, self._spec.cluster)

    def _create_namespace(self) -> None:
        try:
            self._cluster.apply(render.namespace_object(self._spec))
        except Forbidden:
            raise namespace_missing(self._spec.namespace) from None
        self._changed = True

    def _write(self, manifest: Manifest, live: Inventory) -> Manifest:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        self._beat(f"applying {kind} {name}")
        self._fence()
        before = live.find(kind, name)
        if before and family(before) != family(manifest) and family(manifest):
            self._remove(before)  # the address family of a slice or a Service is immutable
            before = None
        try:
            after = self._cluster.apply(manifest)
        except (ObjectRejected, Forbidden) as error:
            if error.diagnosis.code == "NOT_FOUND":
                raise namespace_missing(self._spec.namespace) from None
            if not render.dispensable(manifest, self._spec):
                raise
            self._warnings.append(f"{kind} {name} was left out, since clients use COORDINATOR_SERV: {error}")
            return {}
        if before is None or before["metadata"]["resourceVersion"] != after["metadata"]["resourceVersion"]:
            self._changed = True
        return after

    def _prune(self, wanted: list[Manifest], live: Inventory) -> None:
        """Remove what an earlier release had and this one has not, and the v1 Endpoints that our slice replaces."""
        kept = {(manifest["kind"], manifest["metadata"]["name"]) for manifest in wanted}
        old = live.find("Secret", names.PULL_SECRET)
        if old and ("Secret", names.PULL_SECRET) not in kept and owner_of(old) == self._owner:
            self._remove(old)
        old = live.find("Endpoints", names.COORDINATOR_SERVICE)
        if old:
            # beside our slice it would go on routing to the old coordinator, by its mirrored slice
            self._remove(old)

    def _remove(self, old: Manifest) -> None:
        kind, metadata = old["kind"], old["metadata"]
        self._fence()
        self._cluster.delete(kind, metadata["name"], metadata["namespace"], uid=metadata["uid"])
        self._changed = True
        deadline = time.monotonic() + RECREATE_WAIT
        while (left := self._cluster.get(kind, metadata["name"], metadata["namespace"])) is not None:
            if left["metadata"]["uid"] != metadata["uid"]:
                return
            if time.monotonic() > deadline:
                raise Unavailable(f"{kind} {metadata['name']} is still being deleted", on=metadata["namespace"])
            self._beat(f"waiting until {kind} {metadata['name']} is gone")
            time.sleep(POLL)

    def _mark_namespace(self) -> None:
        """Annotate the Namespace where allowed; our own objects carry the mark in any case (R2)."""
        try:
            self._fence()
            self._cluster.apply(render.namespace_marks(self._spec, self._request.release.stage, self._owner))
        except (Forbidden, ApplyConflict) as error:
            snippet = rbac.snippet("Namespace", "patch")
            self._warnings.append(f"The namespace was not annotated with its stage: {error} {snippet}".strip())
