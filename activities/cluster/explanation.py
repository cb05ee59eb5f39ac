"""Reads what explains a snapshot: only what its troubles call for, and never more than is kept of it."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from domain import names
from domain.errors import ProverError
from domain.kubernetes import Manifest, Snapshot
from domain.ports import Cluster, Reach
from domain.spec import ClusterSpec, Shortage
from planning.capacity import node
from planning.diagnosis import client_log, coordinator, coordinator_way, findings
from planning.kubernetes import objects
from planning.manifests import client_config

MAX_LOGS = 2  # pods whose log is read: equal pods say equal things
LOG_LINES = 80  # more than ten minutes of an idle client, which polls every ten seconds
MAX_LOG = 12_000  # characters of one log
EVERY = 60.0  # seconds between two readings for clients that run as wanted
MAX_UNLISTED = 5  # nodes without the label that are looked up one by one
_ENDED = {"CRASH_LOOP", "OOM", "CANNOT_RUN", "EXIT_128"}
_OF_NODES = {"NODE_NOT_READY", "OOM", "EVICTED", "SPOT", "TERMINATING_STUCK"}
T = TypeVar("T")


def enrich(cluster: Cluster, spec: ClusterSpec, snapshot: Snapshot, reach: Reach | None = None) -> Snapshot:
    """Return the snapshot with the parts that explain it; parts that cannot be read stay None.

    `reach` is how this machine tries the coordinator, where that tells anything.
    Decide on the enriched snapshot: that nodes are free, or a quota has room again, takes findings back.
    """
    if snapshot.deployment is None:
        return snapshot
    patient = spec.shortage is Shortage.AUTOSCALE
    found = findings.findings(snapshot, app=spec.deploy_name, stage="", image="", autoscale=patient)
    codes = {finding.code for finding in found}
    reader = _ClusterReader(cluster, spec, snapshot)
    update: dict[str, Any] = {}
    waits = any(code.startswith("SCHED_") for code in codes)
    if waits or codes & _OF_NODES or any(map(_silent, snapshot.pods)):
        update["nodes"] = _unless_refused(reader.nodes)
    if waits and update["nodes"] is not None:
        update["neighbours"] = _unless_refused(lambda: reader.neighbours(update["nodes"]))
    if "QUOTA" in codes:
        update["quotas"] = _unless_refused(reader.quotas)
    if "IMAGE_AUTH" in codes:
        update["pull_hosts"] = _unless_refused(reader.pull_hosts)
    if codes & _ENDED:
        update["logs"] = dict(reader.last_words())
    elif not codes - coordinator.CODES:
        update |= reader.registration(reach)
    return snapshot.model_copy(update=update) if update else snapshot


class Registration:
    """Logs of running clients and the coordinator's reachability, read at an interval and kept in between."""

    def __init__(
        self,
        cluster: Cluster,
        reach: Reach | None,
        clock: Callable[[], float] = time.monotonic,
        every: float = EVERY,
    ) -> None:
        """`clock` and `every`, between two readings, in seconds."""
        self._cluster = cluster
        self._reach = reach
        self._clock = clock
        self._every = every
        self._known: dict[str, Any] = {}
        self._due_at = float("-inf")

    def add(self, spec: ClusterSpec, snapshot: Snapshot, *, fresh: bool = False) -> Snapshot:
        """Return the snapshot with the last reading; `fresh` reads now."""
        if fresh or self.due:
            self._known = _ClusterReader(self._cluster, spec, snapshot).registration(self._reach)
            self._due_at = self._clock() + self._every
        return snapshot.model_copy(update=self._known)

    @property
    def due(self) -> bool:
        """Whether the next look reads."""
        return self._clock() >= self._due_at


class _ClusterReader:
    """Single reads for one deployment."""

    def __init__(self, cluster: Cluster, spec: ClusterSpec, snapshot: Snapshot) -> None:
        self._cluster = cluster
        self._spec = spec
        self._snapshot = snapshot

    def nodes(self) -> list[Manifest]:
        """Nodes with the clients' label, and those that hold a client without it."""
        label = self._spec.node_label
        found = self._cluster.find("Node", selector=str(label), slim=self._slim_node)
        known = {objects.name(one) for one in found}
        unlisted = {objects.node_name(pod) for pod in self._snapshot.pods if not objects.ready(pod)} - known - {""}
        others = (self._cluster.get("Node", name) for name in sorted(unlisted)[:MAX_UNLISTED])
        return [*found, *(self._slim_node(one) for one in others if one)]

    def neighbours(self, nodes: list[Manifest]) -> list[Manifest]:
        """Pods on those nodes: all of them when clients ask for room, else other clients."""
        there = {objects.name(one) for one in nodes}
        asks = self._spec.client_cpu or self._spec.client_memory or self._spec.client_resources
        selector = "" if asks else f"{names.ROLE_LABEL}={names.ROLE_VALUE}"
        return self._cluster.find(
            "Pod", selector=selector, slim=lambda pod: _slim_pod(pod) if objects.node_name(pod) in there else None
        )

    def quotas(self) -> list[Manifest]:
        """Return the quotas of the namespace."""
        return self._cluster.find("ResourceQuota", self._spec.namespace, slim=objects.bare)

    def pull_hosts(self) -> list[str]:
        """Return the hosts that `img-cred` has credentials for; the credentials are dropped at once."""
        secret = self._cluster.get("Secret", names.PULL_SECRET, self._spec.namespace)
        content = ((secret or {}).get("data") or {}).get(".dockerconfigjson") or ""
        try:
            auths = json.loads(base64.b64decode(content)).get("auths") if content else {}
            return sorted(str(host) for host in auths or {})
        except (ValueError, AttributeError):
            return []  # no Docker configuration: to kubelet it is as good as none

    def last_words(self) -> Iterator[tuple[str, str]]:
        """Yield pod name and last log lines of clients that ended."""
        ended = [pod for pod in self._snapshot.pods if any(map(_has_ended, objects.container_statuses(pod)))]
        for pod in ended[:MAX_LOGS]:
            text = self._log(pod, previous=True) or self._log(pod, previous=False)
            if text:
                yield objects.name(pod), text

    def registration(self, reach: Reach | None) -> dict[str, Any]:
        """Read Service, EndpointSlices and logs of running clients; the youngest pods first."""
        running = sorted(filter(objects.ready, self._snapshot.pods), key=objects.started, reverse=True)
        if not running:
            return {}
        deployment = self._snapshot.deployment
        logs = {objects.name(pod): self._log(pod, previous=False) for pod in running[:MAX_LOGS]}
        found: dict[str, Any] = {
            "logs": logs if any(logs.values()) else {},
            "circuit": clients_circuit(self._cluster, self._spec, deployment),
        }
        if not coordinator_way.override(deployment):  # else clients do not use the Service
            found["service"] = _unless_refused(lambda: self._one("Service"))
            found["slices"] = _unless_refused(lambda: [one for one in [self._one("EndpointSlice")] if one])
        target = coordinator_way.endpoint(deployment, found.get("slices"))
        if reach and target and not coordinator.heard(logs):
            found["coordinator"] = reach(*target)
        return found

    def _one(self, kind: str) -> Manifest | None:
        found = self._cluster.get(kind, names.COORDINATOR_SERVICE, self._spec.namespace)
        return objects.bare(found) if found else None

    def _log(self, pod: Manifest, *, previous: bool) -> str:
        def read() -> str:
            return self._cluster.logs(objects.name(pod), self._spec.namespace, previous=previous, lines=LOG_LINES)

        return client_log.own(_unless_refused(read) or "")[-MAX_LOG:]

    def _slim_node(self, found: Manifest) -> Manifest:
        return node.slim(found, self._spec.node_label.key)


def clients_circuit(cluster: Cluster, spec: ClusterSpec, deployment: Manifest | None) -> str:
    """Return the circuit that clients ask for, by their environment, else by their configuration; empty: unknown."""
    if deployment is None:
        return ""
    if named := objects.client_variable(deployment, "CLIENT_CIRCUIT"):
        return named
    read = _unless_refused(lambda: cluster.get("ConfigMap", names.CONFIG_MAP, spec.namespace))
    return client_config.circuit(str(((read or {}).get("data") or {}).get(names.CONFIG_KEY) or ""))


def _unless_refused(read: Callable[[], T]) -> T | None:
    """Return what was read; None without the right, or while the API server is away."""
    try:
        return read()
    except ProverError:
        return None


def _silent(pod: Manifest) -> bool:
    """Whether the client runs and is not Ready, which happens when its node is lost."""
    running = any((found.get("state") or {}).get("running") for found in objects.container_statuses(pod))
    return running and not objects.ready(pod) and not objects.terminating(pod)


def _has_ended(container: dict[str, Any]) -> bool:
    return any((container.get(part) or {}).get("terminated") for part in ("state", "lastState"))


def _slim_pod(pod: Manifest) -> Manifest:
    """Return a pod reduced to its owner, node and requests."""
    metadata, spec = pod["metadata"], objects.spec(pod)
    containers = [{"name": found.get("name"), "resources": found.get("resources")} for found in spec["containers"]]
    return {
        "metadata": {key: metadata[key] for key in ("name", "namespace", "uid", "labels") if key in metadata},
        "spec": {"nodeName": spec.get("nodeName"), "overhead": spec.get("overhead"), "containers": containers},
        "status": {"phase": objects.status(pod).get("phase")},
    }
