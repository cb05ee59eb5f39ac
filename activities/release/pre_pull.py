"""Has nodes pull a new image while the old clients run, by pods that live no longer than that."""

import contextlib
import time
from collections.abc import Callable, Mapping

from temporalio import activity

from activities.cluster import reading
from activities.cluster.fence import check_fence, known_cluster, owner_of, worker_stopping
from activities.cluster.outage import OUTAGE, Outage
from activities.release.pull_secret import PullSecret
from domain import names
from domain.errors import Forbidden, ObjectRejected, ProverError, Unavailable
from domain.images import PrePulled, PrePullRequest
from domain.kubernetes import Manifest, Snapshot
from domain.ports import Beat, Cluster, Login, Secrets, Trials
from planning.image import pre_pull
from planning.image.pre_pull import Chosen, NodePull
from planning.image.pre_pull_progress import Tally
from planning.kubernetes import objects, rbac
from planning.plan import plan

AGAIN = 1.0  # seconds before a pod is tried again that could not be made now


class PrePullActivities:
    """Needs the clusters by name, twice, this worker's secrets, and the prefix of our owner mark."""

    def __init__(
        self, clusters: Mapping[str, Cluster], trials: Mapping[str, Trials], secrets: Secrets, owner_prefix: str
    ) -> None:
        """`owner_prefix` is `<Temporal cluster id>/<Temporal namespace>`; the workflow id completes the mark."""
        self._clusters = clusters
        self._trials = trials
        self._secrets = secrets
        self._owner_prefix = owner_prefix

    @activity.defn
    def pre_pull(self, request: PrePullRequest) -> PrePulled:
        """Return when the nodes have the image, cannot be had to pull it, or no client would get it."""
        image, name = request.spec.image, request.spec.cluster
        cluster = known_cluster(self._clusters, name)
        owner = f"{self._owner_prefix}/{request.deployment_id}"
        pulling = PrePull(cluster, self._trials[name], request, owner, activity.heartbeat)
        login = self._secrets.login(image.pull_auth, image.pull_host)
        return pulling.run(login, activity.is_worker_shutdown, activity.shield_thread_cancel_exception)


class PrePull:
    """Pull of one image by the nodes; may be killed between any two lines and run again, also twice at once."""

    def __init__(
        self,
        cluster: Cluster,
        trials: Trials,
        request: PrePullRequest,
        owner: str,
        beat: Beat,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` gives seconds."""
        self._cluster = cluster
        self._trials = trials
        self._request = request
        self._spec = request.spec
        self._owner = owner
        self._beat = beat
        self._clock = clock
        self._warnings: list[str] = []
        self._again_at = float("-inf")
        self._refused_at: float | None = None
        self._outage = Outage(cluster, request.spec.namespace, beat, clock)

    def run(
        self,
        login: Login | None,
        stopping: Callable[[], bool],
        shield: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
    ) -> PrePulled:
        """`shield` keeps a cancellation away while pods are removed; a worker that stops leaves them to the next."""
        self._fence()
        deployment = self._cluster.get("Deployment", names.DEPLOYMENT, self._spec.namespace)
        if deployment is None:
            return PrePulled()  # no client is there to be replaced
        chosen = self._choose(deployment)
        tally = Tally(chosen)
        try:
            self._sweep(chosen)
            if not tally.over:
                self._pull(tally, deployment, login, stopping)
        except BaseException:
            if not stopping():
                with shield(), contextlib.suppress(ProverError):  # what went wrong first is what matters
                    self._remove_pods()
            raise
        with shield():
            self._remove_pods()
        return tally.result(self._warnings)

    def _fence(self) -> None:
        check_fence(self._cluster, self._request.cluster_uid, self._spec.cluster)

    def _choose(self, deployment: Manifest) -> Chosen:
        spec = self._spec
        self._beat("looking at the nodes")
        selector = ",".join(f"{key}={value}" for key, value in reading.labels(spec, deployment).items())
        clients = self._cluster.find("Pod", spec.namespace, selector=selector)
        nodes = self._cluster.find("Node", slim=lambda one: plan.slim(one, spec))
        return pre_pull.choose(nodes, clients, self._provers(), spec, self._request.release)

    def _provers(self) -> list[Manifest]:
        """Of all fleets where we may read them, else of none: nodes that others hold are no place for our clients."""
        try:
            return self._cluster.find("Pod", selector=f"{names.ROLE_LABEL}={names.ROLE_VALUE}", slim=pre_pull.place_of)
        except Forbidden:
            return []

    def _pull(self, tally: Tally, deployment: Manifest, login: Login | None, stopping: Callable[[], bool]) -> None:
        secret = PullSecret(self._cluster, self._spec, self._owner, self._fence)
        if login is not None:
            secret.write(login)
        self._follow(tally, deployment, stopping, pull_secret=login is not None)
        if tally.failure:
            tally.failure = pre_pull.explain(
                tally.failure, self._spec, self._request.release, with_login=login is not None
            )
        if tally.failure and login is not None:
            secret.take_back(login, refused=tally.failure.code == "IMAGE_AUTH")

    def _follow(self, tally: Tally, deployment: Manifest, stopping: Callable[[], bool], *, pull_secret: bool) -> None:
        for snapshot in self._cluster.follow(self._spec.namespace, pre_pull.app(self._spec), stopping):
            if snapshot is None:
                self._outage.ask_why()
                continue
            self._outage.over()
            self._take(tally, snapshot)
            if tally.failure or tally.over:
                return
            self._make_pods(tally, deployment, pull_secret=pull_secret)
            self._beat(tally.progress())
            if tally.over:
                return
        raise worker_stopping("nodes pull an image")

    def _take(self, tally: Tally, snapshot: Snapshot) -> None:
        """Read the state of the pods and delete those that are done at once: there may be hundreds."""
        seen = pre_pull.evidence(snapshot)
        pods = {objects.name(pod): pod for pod in snapshot.pods if self._is_ours(pod) and not objects.terminating(pod)}
        now = self._clock()
        for node in [*tally.running, *tally.todo]:
            pod = pods.get(self._name(node))
            if pod is None:
                tally.missed(node, now)
            elif tally.saw(pre_pull.judge(pod, node, seen, self._spec.progress_deadline)):
                self._remove(pod)

    def _make_pods(self, tally: Tally, deployment: Manifest, *, pull_secret: bool) -> None:
        while (node := tally.turn) and self._clock() >= self._again_at:
            place = (self._request.release.image, node)
            pod = pre_pull.pod(
                self._spec, self._owner, self._name(node), place, deployment=deployment, pull_secret=pull_secret
            )
            self._fence()
            try:
                self._trials.create(pod, dry_run=False)
            except Forbidden as error:
                tally.give_up(f"{error.diagnosis.what}. {rbac.snippet('Probe', 'create')}")
            except (ObjectRejected, Unavailable) as error:
                self._later(tally, error)
            else:
                self._refused_at = None
                tally.begin(node, self._clock())

    def _later(self, tally: Tally, error: ObjectRejected | Unavailable) -> None:
        """Return whether a refusal is transient: a terminating pod of that name, admission down, a used quota."""
        now = self._clock()
        self._refused_at = now if self._refused_at is None else self._refused_at
        full = error.diagnosis.code == "QUOTA" and tally.running
        passing = isinstance(error, Unavailable) and (tally.running or now - self._refused_at < OUTAGE)
        if full or passing:
            self._again_at = now + (getattr(error, "delay", None) or AGAIN)
        else:
            tally.give_up(str(error.diagnosis.model_copy(update={"on": ""})))

    def _sweep(self, chosen: Chosen) -> None:
        """Of a run that was killed only pods that do well go on; what failed then is tried afresh."""
        wanted = {self._name(node): node for node in chosen.lacking}
        pods = self._pods()
        seen = pre_pull.evidence(Snapshot(now=time.time(), pods=pods))
        for pod in pods:
            node = wanted.get(objects.name(pod))
            found = pre_pull.judge(pod, node, seen, self._spec.progress_deadline) if node else None
            if not found or found.trouble or found.state not in (NodePull.PULLING, NodePull.PULLED):
                self._remove(pod)

    def _remove_pods(self) -> None:
        for pod in self._pods():
            self._remove(pod)

    def _remove(self, pod: Manifest) -> None:
        self._fence()
        try:
            self._cluster.delete("Pod", objects.name(pod), self._spec.namespace, uid=objects.uid(pod))
        except Forbidden as error:
            told = f"Pods that pulled an image were left, and end by themselves: {error.diagnosis.what}."
            rule = rbac.snippet("Probe", "delete")
            self._warnings = list(dict.fromkeys([*self._warnings, f"{told} {rule}".strip()]))

    def _pods(self) -> list[Manifest]:
        found = self._cluster.find("Pod", self._spec.namespace, selector=f"app={pre_pull.app(self._spec)}")
        return [pod for pod in found if self._is_ours(pod)]

    def _is_ours(self, pod: Manifest) -> bool:
        return owner_of(pod).endswith(f"/{self._request.deployment_id}")  # whichever Temporal it was made from

    def _name(self, node: str) -> str:
        return pre_pull.name(self._request.deployment_id, self._request.release.image, node)
