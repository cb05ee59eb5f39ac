"""One deployment in a namespace of its own that something is wrong with, followed and judged as the product does it."""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from activities.cluster.explanation import enrich
from clients.kubernetes.cluster import KubernetesCluster
from clients.kubernetes.errors import Call
from domain import names
from domain.diagnosis import Diagnosis, Severity
from domain.errors import ProverError, TransientError
from domain.kubernetes import Manifest, Snapshot
from domain.spec import ClusterSpec, Endpoint, ImageTarget, KeyValue
from domain.status import Observation, Release
from planning.diagnosis import findings, rollout_status
from planning.kubernetes import objects
from planning.manifests import render
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.fleet import Fleet

T = TypeVar("T")
OWNER = "test/owner"
STAGE = "abc"
FINAL = (Severity.FATAL, Severity.NEEDS_HUMAN)


@dataclass
class Scene:
    """What the cases of one run share."""

    world: dict[str, str]
    cluster: KubernetesCluster
    api: Api  # for kinds that the product does not know
    fleet: Callable[[], Fleet]  # a new fleet of fake nodes
    actor: str  # image of the actor
    alien: str  # image of the actor for another processor
    silent: str  # host:port that takes connections and says nothing
    broken_runtime: str  # a RuntimeClass that no node has
    webhook: str = ""  # URL of a webhook that says no
    authority: str = ""  # base64 of the CA that it is trusted by


@dataclass
class Verdict:
    """What the product came to say."""

    found: Diagnosis | None = None
    all: list[Diagnosis] = field(default_factory=list)
    observed: Observation = field(default_factory=Observation)
    snapshot: Snapshot = field(default_factory=Snapshot)
    at: float = 0.0  # Unix time
    lag: float = 0.0  # seconds from evidence and grace to this
    alarms: list[str] = field(default_factory=list)  # final findings of another kind on the way


class Case:
    """A deployment; without a fleet it shares the real nodes and is no prover to the scheduler."""

    def __init__(self, scene: Scene, name: str) -> None:
        self.scene = scene
        self.cluster = scene.cluster
        self.namespace = f"dx-{name.replace('_', '-')[:40]}-{uuid.uuid4().hex[:6]}"
        self.fleet: Fleet | None = None
        self.image = scene.actor
        self.spec = self._spec()
        self._apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})

    def nodes(self, count: int, **how: Any) -> list[str]:
        """So many fake nodes, that only this case's pods are for."""
        self.fleet = self.fleet or self.scene.fleet()
        key, _, value = self.fleet.key_value.partition("=")
        self.spec = self.spec.model_copy(
            update={"node_label": KeyValue(key=key, value=value), "node_taint": KeyValue(key=key, value=value)}
        )
        return self.fleet.create(count, **how)

    def deploy(
        self,
        image: str = "",
        *,
        args: tuple[str, ...] = (),
        user: str = "65535",
        without: tuple[str, ...] = (),
        container: Mapping[str, Any] | None = None,
        pod: Mapping[str, Any] | None = None,
        template: Mapping[str, Any] | None = None,
        deployment: Mapping[str, Any] | None = None,
        pull_secret: bool = False,
        **spec: Any,
    ) -> None:
        """Apply what the product renders, changed in this or that."""
        self.image = image or self.image
        self.spec = self.spec.model_copy(update=spec)
        manifests = render.render(
            self.spec, Release(stage=STAGE, image=self.image), owner=OWNER, image_user=user, pull_secret=pull_secret
        )
        made = manifests[-1]["spec"]["template"]
        if self.fleet is None:
            del made["spec"]["affinity"]["podAntiAffinity"]
            made["metadata"]["labels"][names.ROLE_LABEL] = "test"
        made["metadata"] |= template or {}
        made["spec"] |= pod or {}
        made["spec"]["containers"][0] |= ({"args": list(args)} if args else {}) | dict(container or {})
        manifests[-1]["spec"] |= deployment or {}
        for found in manifests:
            if found["kind"] not in without:
                self._apply(found)

    def put(self, manifest: Manifest) -> None:
        """Apply an object into this case's namespace."""
        metadata = {"namespace": self.namespace} | manifest["metadata"]
        self._apply(manifest | {"metadata": metadata})

    def _apply(self, manifest: Manifest) -> None:
        """As the product's worker does it: what fails for the moment is tried again."""
        patiently(lambda: self.cluster.apply(manifest))

    def pods(self) -> list[Manifest]:
        """Return the pods of the deployment."""
        return patiently(lambda: self.cluster.find("Pod", self.namespace, selector=f"app={self.spec.deploy_name}"))

    def event(self, about: Manifest, reason: str, message: str, source: str) -> None:
        """Return an event as a controller writes it."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        involved = {"kind": "Pod", "namespace": self.namespace, "apiVersion": "v1"}
        involved |= {"name": objects.name(about), "uid": objects.uid(about)}
        body: Manifest = {
            "metadata": {"name": f"{objects.name(about)}.{uuid.uuid4().hex[:12]}", "namespace": self.namespace}
        }
        body |= {"involvedObject": involved, "reason": reason, "message": message, "type": "Normal", "count": 1}
        body |= {"firstTimestamp": now, "lastTimestamp": now, "source": {"component": source}}
        self.scene.api.post(f"/api/v1/namespaces/{self.namespace}/events", body)

    def patch(self, plural: str, name: str, body: Mapping[str, Any], group: str = "/api/v1") -> None:
        """Somebody changes an object."""
        self.scene.api.patch(f"{group}/namespaces/{self.namespace}/{plural}/{name}", body)

    def wait(self, holds: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Until it holds."""
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, f"{self.namespace}: {what} within {seconds} s"
            time.sleep(0.2)

    def settle(self) -> None:
        """Until the rollout is done."""
        seen = self.verdict(lambda found: found.observed.complete, seconds=90)
        assert seen.observed.complete, f"{self.namespace}: {seen.observed}"

    def verdict(
        self, done: Callable[[Verdict], bool], *, seconds: float = 180, expected: str = "", autoscale: bool = False
    ) -> Verdict:
        """Follow until `done`; final findings of another code than `expected` are alarms on the way."""
        deadline, last = time.monotonic() + seconds, Verdict()
        alarms: list[str] = []
        for snapshot in self.cluster.follow(self.namespace, self.spec.deploy_name, lambda: time.monotonic() > deadline):
            if snapshot is None:
                continue
            last = self._judge(snapshot, autoscale=autoscale)
            last.alarms = alarms
            found = last.found
            if found and found.code != expected and found.severity in FINAL:
                alarms.append(str(found))
            if done(last):
                return last
        return last

    def measure(self, seen: Verdict) -> None:
        """Set the lag: since the grace was over, or since the API server has what was needed last, if that is later.

        Not since it happened on the node: kubelets take some time to tell it, busy ones much. What was written after
        the verdict was not needed.
        """
        found = seen.found
        assert found is not None
        kinds = ("Deployment", "ReplicaSet", "Pod", "Event")
        times = [_written(one) for kind in kinds for one in self.cluster.find(kind, self.namespace)]
        due = (objects.seconds(found.since) or 0.0) + found.grace if found.severity in FINAL else 0.0
        seen.lag = seen.at - max([due, *(time for time in times if time <= seen.at)])

    def _judge(self, snapshot: Snapshot, *, autoscale: bool) -> Verdict:
        full = enrich(self.cluster, self.spec, snapshot)
        wanted: dict[str, Any] = {"app": self.spec.deploy_name, "stage": STAGE, "image": self.image}
        seen = rollout_status.observe(full, **wanted, autoscale=autoscale)
        every = findings.findings(full, **wanted, autoscale=autoscale)
        found = seen.diagnosis
        return Verdict(found, every, seen, full, time.time())

    def remove(self) -> None:
        """Everything of the case."""
        for pod in self.pods():
            if (pod["metadata"]).get("finalizers"):
                self.patch("pods", objects.name(pod), {"metadata": {"finalizers": None}})
        patiently(lambda: self.cluster.delete("Namespace", self.namespace, ""))
        if self.fleet:
            patiently(self.fleet.close)

    def _spec(self) -> ClusterSpec:
        registry = self.scene.world["WORLD_ANONYMOUS_REGISTRY_ALIAS"]
        return ClusterSpec(
            namespace=self.namespace,
            coordinator=Endpoint(ip=self.scene.world["COORDINATOR_EP"]),
            image=ImageTarget(repository="actor", push_host=registry, pull_host=registry),
            stage=STAGE,
            replicas=1,
            client_grace=1,
        )


def _written(found: Manifest) -> float:
    """Unix time, in whole seconds, at which the API server took the last change of an object."""
    return max(objects.seconds(one.get("time")) or 0.0 for one in found["metadata"]["managedFields"])


def patiently(do: Callable[[], T], seconds: float = 60) -> T:
    """Return the result, however often another test restarts the API server meanwhile."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return do()
        except (TransientError, httpx.TransportError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def refusal(do: Callable[[], object]) -> Diagnosis:
    """Return the diagnosis of the refusal of a call of ours."""
    try:
        do()
    except ProverError as error:
        return error.diagnosis
    raise AssertionError("nothing was refused")


def events_of(cluster: KubernetesCluster, namespace: str) -> list[str]:
    """Reasons and texts, for the message of a failing test."""
    return [f"{found.get('reason')}: {objects.message(found)}" for found in cluster.events(namespace)]


@contextmanager
def removed(case: Case) -> Iterator[Case]:
    """Yield the case and remove it afterwards."""
    try:
        yield case
    finally:
        case.remove()


def post(cluster: KubernetesCluster, path: str, body: Manifest) -> Manifest:
    """Create by POST, where server-side apply will not do."""
    made: Manifest = cluster.connection.call(Call("create", path), "POST", path, body=body)
    return made
