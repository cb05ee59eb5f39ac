"""Plays one case of the model on the real scheduler and controllers, with fake nodes of its own."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from activities.cluster import capacity
from clients.kubernetes.cluster import KubernetesCluster
from domain import names
from domain.kubernetes import Manifest
from domain.messages.nodes import NodesReport, NodesRequest
from domain.spec import KeyValue
from domain.status import Release
from planning.kubernetes import objects
from planning.manifests import render
from planning.text import quantity
from sandbox.host.readiness import wait_until
from sandbox.kubernetes.fleet import Fleet
from sandbox.settings import Settings
from tests.support.capacity import cases
from tests.support.capacity.scheduler_model import Case, Node

PATIENCE = 120.0  # seconds for one rollout; cases share two cores
REST = 5.0  # seconds that a stuck state must stand still: longer than the scheduler waits before it tries again
LOOK = 1.0  # seconds between two looks
NOT_READY = "node.kubernetes.io/not-ready"
IMAGE = "prover@sha256:" + "0" * 64  # never pulled: the nodes are fake


@dataclass(frozen=True)
class Outcome:
    """What was foreseen, and what happened."""

    case: Case  # with `old` as the scheduler placed them
    report: NodesReport
    finished: bool
    seen: str  # the state in which it ended


class Stage:
    """A namespace and a fleet of one case."""

    def __init__(self, cluster: KubernetesCluster, name: str, elsewhere: str, case: Case) -> None:
        """`elsewhere` is the namespace of other people's pods."""
        self.cluster = cluster
        self.namespace = name
        self.elsewhere = elsewhere
        self.case = case
        self.fleet = Fleet(Settings.from_environment(), name)
        self.nodes: list[str] = []
        key, _, value = self.fleet.key_value.partition("=")
        self.label = KeyValue(key=key, value=value)

    def play(self) -> Outcome:
        """Clients run, nodes and quotas change, we judge, then the change is made and ends in one way or the other."""
        try:
            self._prepare()
            report = self._judge()
            deployment = self._apply(self.case, "new")
            finished, seen = self._await_end(deployment["metadata"]["generation"])
            return Outcome(self.case, report, finished, seen)
        finally:
            self.cluster.delete("Namespace", self.namespace, "")
            self.fleet.close()

    def _prepare(self) -> None:
        self.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})
        self.nodes = self.fleet.create(len(self.case.nodes)) if self.case.nodes else []
        count = len(self.case.old)
        if count:
            before = replace(self.case, replicas=count, ask=self.case.old_ask)
            self._apply(before, "new" if self.case.scaled else "old")
            self._until(lambda: self._available() == count, f"{count} clients run")
        placed = {objects.spec(pod)["nodeName"] for pod in self.cluster.find("Pod", self.namespace)}
        old = tuple(index for index, name in enumerate(self.nodes) if name in placed)
        nodes = tuple(self._possible(node, runs=index in old) for index, node in enumerate(self.case.nodes))
        self.case = replace(self.case, old=old, nodes=nodes)
        for name, node in zip(self.nodes, nodes, strict=True):
            self._alter(name, node)
        self._limit()

    def _possible(self, node: Node, *, runs: bool) -> Node:
        """No two clients share a node; and a client that is to stay on a dead one would be evicted after minutes."""
        if not runs:
            return node
        return replace(node, prover=False, ready=node.ready or self.case.scaled)

    def _alter(self, name: str, node: Node) -> None:
        """From a plain good node to the one of the case."""
        size = cases.resources(node.size)["requests"] | {"pods": str(node.pods)}
        self.fleet.allocatable(name, size)
        if not node.labelled:
            self.fleet.label(name, {self.label.key: None})
        own = [f"{self.label}:NoSchedule"] if node.tainted else []
        self.fleet.taint(name, *own, *(["reserved=db:NoSchedule"] if node.repels else []))
        if node.cordoned:
            self.fleet.cordon(name)
        if not node.ready:
            self.fleet.not_ready(name)
            self._until(lambda: NOT_READY in self._taints(name), f"{name} is tainted")
        for pod in cases.others(name, node, self.elsewhere):
            self.cluster.apply(pod)

    def _taints(self, name: str) -> list[str]:
        node = self.cluster.get("Node", name) or {}
        return [taint["key"] for taint in objects.spec(node).get("taints") or []]

    def _limit(self) -> None:
        """Quota and LimitRange come last, as administrators do it to us."""
        for found in [*cases.quotas(self.case), *cases.ranges(self.case)]:
            wanted = {key: value for key, value in found.items() if key != "status"}
            self.cluster.apply(wanted | {"metadata": {"name": "team", "namespace": self.namespace}})
        self._until(self._counted, "the quota counts what runs")

    def _counted(self) -> bool:
        expected = [objects.status(found)["used"] for found in cases.quotas(self.case)]
        used = [objects.status(found).get("used") or {} for found in self.cluster.find("ResourceQuota", self.namespace)]
        return [_numbered(amounts) for amounts in used] == [_numbered(amounts) for amounts in expected]

    def _judge(self) -> NodesReport:
        spec = cases.spec(self.case, label=self.label, taint=self.label, namespace=self.namespace)
        request = NodesRequest(spec=spec, replicas=self.case.replicas, keep=self.case.scaled)
        return capacity.look(self.cluster, request, lambda _: None)

    def _apply(self, case: Case, stage: str) -> Manifest:
        """Apply the Deployment that the product renders, without the two seconds until a client counts."""
        spec = cases.spec(case, label=self.label, taint=self.label, namespace=self.namespace)
        release = Release(stage=stage, image=IMAGE)
        deployment = render.render(spec, release, owner="truth", pull_secret=False)[-1]
        deployment["spec"]["minReadySeconds"] = 0
        return self.cluster.apply(deployment)

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for it; a case that does not come about is no case."""
        wait_until(lambda: None if condition() else "not yet", seconds=PATIENCE, what=f"{self.namespace}: {what}")

    def _available(self) -> int:
        deployment = self.cluster.get("Deployment", names.DEPLOYMENT, self.namespace) or {}
        return int(objects.status(deployment).get("availableReplicas") or 0)

    def _await_end(self, generation: int) -> tuple[bool, str]:
        deadline = time.monotonic() + PATIENCE
        standing, since = "", time.monotonic()
        while time.monotonic() < deadline:
            look = Look(self.cluster, self.namespace, generation, self.case)
            if look.finished:
                return True, look.state
            if not look.stuck or look.standing != standing:
                standing, since = look.standing if look.stuck else "", time.monotonic()
            elif time.monotonic() - since >= REST:
                return False, look.state
            time.sleep(LOOK)
        raise AssertionError(f"neither finished nor stuck after {PATIENCE} s: {look.state} of {self.case}")


class Look:
    """Deployment, ReplicaSets and pods at one moment."""

    def __init__(self, cluster: KubernetesCluster, namespace: str, generation: int, case: Case) -> None:
        """Read them all."""
        self._case = case
        self._generation = generation
        self._deployment = cluster.get("Deployment", names.DEPLOYMENT, namespace) or {}
        self._sets = cluster.find("ReplicaSet", namespace)
        self._pods = cluster.find("Pod", namespace)
        sets = {objects.name(found): f"{_numbers(found)} {_failure(found)}" for found in self._sets}
        pods = {objects.name(pod): str(objects.spec(pod).get("nodeName") or "") for pod in self._pods}
        self.standing = f"{sets} {pods}"  # without the scheduler's words, which count the nodes of all cases
        self.state = f"{self.standing} {sorted({_unscheduled(pod) for pod in self._pods})}"

    @property
    def finished(self) -> bool:
        """All clients are of the wanted template and available, and there are no others."""
        status, wanted = objects.status(self._deployment), self._case.replicas
        counts = {int(status.get(name) or 0) for name in ("replicas", "updatedReplicas", "availableReplicas")}
        return self._observed and counts == {wanted}

    @property
    def stuck(self) -> bool:
        """Every missing client is explained by a condition, and the controllers have nothing left to do."""
        if not self._observed or any(objects.terminating(pod) for pod in self._pods):
            return False
        wanted = sum(int(objects.spec(found)["replicas"]) for found in self._sets)
        placed = [pod for pod in self._pods if objects.spec(pod).get("nodeName")]
        unscheduled = [pod for pod in self._pods if _unscheduled(pod).startswith("0/")]
        refused = sum(
            int(objects.spec(found)["replicas"]) - int(objects.status(found).get("replicas") or 0)
            for found in self._sets
            if _failure(found)
        )
        # A client on a dead node is never Ready and stays where it is.
        ready = sum(objects.ready(pod) for pod in placed)
        dead = sum(not objects.ready(pod) and not self._node(pod).ready for pod in placed)
        least = self._case.replicas - self._case.unavailable
        return (
            wanted == self._case.replicas
            and ready + dead == len(placed)
            and ready + dead + len(unscheduled) + refused == wanted
            and ready < wanted
            and (self._case.scaled or ready <= least or not self._old)
        )

    def _node(self, pod: Manifest) -> Node:
        """Where it is; the fleet numbers its nodes."""
        return self._case.nodes[int(objects.node_name(pod).rpartition("-")[2])]

    @property
    def _observed(self) -> bool:
        status = objects.status(self._deployment)
        sets = all(
            found["metadata"]["generation"] == objects.status(found).get("observedGeneration") for found in self._sets
        )
        return bool(status.get("observedGeneration") == self._generation and sets)

    @property
    def _old(self) -> int:
        """Clients that are still wanted of templates other than the newest."""
        ordered = sorted(self._sets, key=lambda found: int(objects.annotations(found).get(objects.REVISION) or 0))
        return sum(int(objects.spec(found)["replicas"]) for found in ordered[:-1])


def _numbered(amounts: dict[str, str]) -> dict[str, Decimal]:
    return {name: quantity.amount(value) for name, value in amounts.items()}


def _numbers(replica_set: Manifest) -> str:
    status: dict[str, Any] = objects.status(replica_set)
    return f"{status.get('availableReplicas') or 0}/{objects.spec(replica_set)['replicas']}"


def _failure(replica_set: Manifest) -> str:
    """Why the API server refuses its pods."""
    condition = objects.condition(replica_set, "ReplicaFailure")
    message = str(condition.get("message") or "")
    refused = condition.get("status") == "True" and "forbidden" in message
    return message.partition("forbidden: ")[2] if refused else ""


def _unscheduled(pod: Manifest) -> str:
    """Return the scheduler's verdict; empty as long as there is none."""
    condition = objects.condition(pod, "PodScheduled")
    return str(condition.get("message") or "") if condition.get("reason") == "Unschedulable" else ""
