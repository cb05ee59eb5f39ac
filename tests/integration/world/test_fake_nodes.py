"""Fake nodes must behave to scheduler and controllers as real ones do, and leave the real ones alone."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest

from sandbox.kubernetes.fleet import Fleet

_STATE_SECONDS = 60.0


class Kubectl:
    """The world's kubectl in a namespace of the test's own."""

    def __init__(self, world: dict[str, str]) -> None:
        self._command = [world["WORLD_KUBECTL"], f"--kubeconfig={world['KUBECONFIG']}"]
        self.namespace = f"fleet-{uuid4().hex[:8]}"

    def __call__(self, *words: str, manifest: object = None) -> str:
        """Output of a command that succeeds."""
        text = None if manifest is None else json.dumps(manifest)
        done = subprocess.run([*self._command, *words], input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def items(self, kind: str, *words: str) -> list[dict[str, Any]]:
        """Return the objects of a kind in the namespace."""
        found: list[dict[str, Any]] = json.loads(self("get", kind, "-n", self.namespace, "-o", "json", *words))["items"]
        return found

    def deploy(self, fleet: Fleet, replicas: int, requests: dict[str, str] | None = None) -> None:
        """Create a Deployment whose pods run nowhere but on the fleet."""
        key, _, value = fleet.key_value.partition("=")
        pod = {
            "nodeSelector": {key: value},
            "tolerations": [{"key": key, "value": value, "effect": "NoSchedule"}],
            "terminationGracePeriodSeconds": 1,
            "containers": [{"name": "one", "image": "none", "resources": {"limits": requests or {}}}],
        }
        template = {"metadata": {"labels": {"app": "fleet"}}, "spec": pod}
        spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "fleet"}}, "template": template}
        metadata = {"name": "fleet", "namespace": self.namespace}
        deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
        self("apply", "-f", "-", manifest=deployment)


@pytest.fixture
def kubectl(world: dict[str, str]) -> Iterator[Kubectl]:
    """kubectl; its namespace goes with the test."""
    found = Kubectl(world)
    found("create", "namespace", found.namespace)
    yield found
    found("delete", "namespace", found.namespace, "--wait=false")


def _until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _STATE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.2)


def _ready(pod: dict[str, Any]) -> bool:
    conditions = {entry["type"]: entry["status"] for entry in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and conditions.get("PodScheduled") == "True"


def test_pods_of_a_deployment_run_on_the_fleet_alone(fleet: Fleet, kubectl: Kubectl) -> None:
    """500 pods on 100 nodes are Ready, and gone again."""
    names = fleet.create(100)
    kubectl.deploy(fleet, 500)
    kubectl("-n", kubectl.namespace, "rollout", "status", "deployment/fleet", "--timeout=60s")
    pods = kubectl.items("pods")
    assert len(pods) == 500
    assert all(map(_ready, pods))
    assert {pod["spec"]["nodeName"] for pod in pods} <= set(names)

    kubectl("-n", kubectl.namespace, "delete", "deployment", "fleet")
    _until(lambda: not fleet.pods(), "pods are left")


def test_a_node_says_what_it_is_told_to(fleet: Fleet, kubectl: Kubectl) -> None:
    """Cordoned, labelled, tainted, sized and deleted as asked; what is not asked for stays."""
    first, second, third = fleet.create(3, allocatable={"nvidia.com/gpu": "1"})
    fleet.cordon(first)
    fleet.label(first, {"zone": "a"})
    fleet.taint(second, "dedicated=other:NoSchedule")
    fleet.allocatable(second, {"cpu": "2"})
    fleet.delete(third)

    nodes = {node["metadata"]["name"]: node for node in kubectl.items("nodes", f"--selector={fleet.selector}")}
    assert set(nodes) == {first, second}
    assert nodes[first]["spec"]["unschedulable"]
    assert nodes[first]["metadata"]["labels"]["zone"] == "a"
    assert {"key": "dedicated", "value": "other", "effect": "NoSchedule"} in nodes[second]["spec"]["taints"]
    assert nodes[second]["status"]["allocatable"]["cpu"] == "2"
    assert nodes[second]["status"]["allocatable"]["nvidia.com/gpu"] == "1"


def test_a_node_that_is_not_ready_takes_its_pod_along_and_brings_it_back(fleet: Fleet, kubectl: Kubectl) -> None:
    """The node is tainted and the pod is not Ready; when the node is well, both are."""
    (name,) = fleet.create(1)
    kubectl.deploy(fleet, 1)
    _until(lambda: [_ready(pod) for pod in fleet.pods()] == [True], "the pod is not Ready")

    fleet.not_ready(name)
    _until(lambda: [_ready(pod) for pod in fleet.pods()] == [False], "the pod is Ready on a node that is not")
    fleet.ready(name)
    _until(lambda: [_ready(pod) for pod in fleet.pods()] == [True], "the pod stays as it is")


def test_a_pod_of_custom_status_is_left_to_its_test(fleet: Fleet, kubectl: Kubectl) -> None:
    """A pod that is nobody else's is Running; beside it, on the same node, one stays Pending."""
    (name,) = fleet.create(1)
    for kind in ("custom", "usual"):
        metadata = {"name": kind, "namespace": kubectl.namespace, "annotations": {"kwok.x-k8s.io/status": kind}}
        spec = {"nodeName": name, "containers": [{"name": "one", "image": "none"}]}
        kubectl("create", "-f", "-", manifest={"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    def phases() -> dict[str, str]:
        return {pod["metadata"]["name"]: pod["status"]["phase"] for pod in fleet.pods(name)}

    _until(lambda: phases()["usual"] == "Running", "kwok does not run a pod")
    assert phases()["custom"] == "Pending"


def test_the_probe_says_what_it_reaches(world: dict[str, str], kubectl: Kubectl) -> None:
    """From a real node, as a stranger: `ok` and exit 0 for an open port, the reason and exit 1 for a closed one."""
    host, port = world["IMAGE_HOST_ALIAS"].split(":")
    for name, address in {"open": f"{host}:{port}", "closed": f"{host}:1"}.items():
        tolerations = [{"key": "dedicated", "value": "computation", "effect": "NoSchedule"}]
        container = {
            "name": "probe",
            "image": world["PROBE_IMAGE"],
            "args": [address],
            "securityContext": {"runAsNonRoot": True, "allowPrivilegeEscalation": False},
        }
        spec = {"restartPolicy": "Never", "tolerations": tolerations, "containers": [container]}
        metadata = {"name": name, "namespace": kubectl.namespace}
        kubectl("create", "-f", "-", manifest={"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    ended = {"open": "Succeeded", "closed": "Failed"}
    for name, phase in ended.items():
        wait = ["wait", f"--for=jsonpath={{.status.phase}}={phase}", f"pod/{name}", "--timeout=60s"]
        kubectl("-n", kubectl.namespace, *wait)

    assert kubectl("-n", kubectl.namespace, "logs", "open") == "ok\n"
    said = kubectl("-n", kubectl.namespace, "logs", "closed")
    assert said.count("\n") == 1
    assert "refused" in said or "timeout" in said
