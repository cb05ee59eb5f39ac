"""Rollouts that cannot finish, on a real cluster: each is told from the others by its cause, and none by a timeout."""

import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from domain.diagnosis import Severity
from domain.ports import Manifest
from domain.snapshot import Snapshot
from domain.spec import ClusterSpec, Endpoint, ImageTarget, KeyValue
from domain.status import Observation, Release
from planning import render, rollout

OWNER = "test/owner"
ABSENT = "sha256:" + "a" * 64


class Fleet:
    """A deployment of one client in a namespace of its own, read as the product reads it."""

    def __init__(self, world: dict[str, str]) -> None:
        self.world = world
        self.namespace = f"diagnosis-{uuid.uuid4().hex[:8]}"
        self.image = f"{world['WORLD_ANONYMOUS_REGISTRY_ALIAS']}/pause:1"
        self.kubectl("create", "namespace", self.namespace)

    def kubectl(self, *arguments: str, documents: list[Manifest] | None = None) -> str:
        """Run the world's kubectl and see it succeed."""
        command = [self.world["WORLD_KUBECTL"], "--kubeconfig", self.world["KUBECONFIG"], *arguments]
        text = yaml.safe_dump_all(documents or [])
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def apply(self, *documents: Manifest) -> None:
        """Apply as the product does."""
        self.kubectl("apply", "--server-side", "--field-manager=test", "-f", "-", documents=list(documents))

    def deploy(
        self,
        image: str = "",
        *,
        user: str = "65535",
        without: tuple[str, ...] = (),
        container: dict[str, Any] | None = None,
        **spec: Any,
    ) -> None:
        """Roll out one client; it shares nodes with other tests, so it is no prover to the scheduler."""
        self.image = image or self.image
        target = ImageTarget(repository="pause", pull_host=self.world["WORLD_ANONYMOUS_REGISTRY_ALIAS"])
        endpoint = Endpoint(ip=self.world["COORDINATOR_EP"])
        wanted = ClusterSpec(
            **({"namespace": self.namespace, "coordinator": endpoint, "image": target, "replicas": 1} | spec)
        )
        release = Release(stage="abc", image=self.image)
        objects = render.render(wanted, release, owner=OWNER, image_user=user, pull_secret=False)
        template = objects[-1]["spec"]["template"]
        del template["spec"]["affinity"]["podAntiAffinity"]
        template["metadata"]["labels"]["role"] = "test"
        template["spec"]["containers"][0] |= container or {}
        self.apply(*(found for found in objects if found["kind"] not in without))

    def items(self, kind: str) -> list[Manifest]:
        """The live objects of a kind."""
        found: list[Manifest] = json.loads(self.kubectl("get", kind, "-n", self.namespace, "-o", "json"))["items"]
        return found

    def observe(self) -> Observation:
        """The present observation."""
        deployment = next(iter(self.items("deployments")), None)
        sets, pods, events = (self.items(kind) for kind in ("replicasets", "pods", "events"))
        snapshot = Snapshot(now=time.time(), deployment=deployment, replica_sets=sets, pods=pods, events=events)
        return rollout.observe(snapshot, app="client", stage="abc", image=self.image)

    def until(self, holds: Callable[[Observation], bool], seconds: float = 60) -> Observation:
        """The first observation that holds; fails with the last one."""
        deadline = time.monotonic() + seconds
        while not holds(seen := self.observe()):
            assert time.monotonic() < deadline, seen
            time.sleep(0.2)
        return seen

    def until_diagnosed(self, code: str, severity: Severity, seconds: float = 60) -> str:
        """The evidence of the finding."""

        def holds(seen: Observation) -> bool:
            return seen.diagnosis is not None and (seen.diagnosis.code, seen.diagnosis.severity) == (code, severity)

        found = self.until(holds, seconds).diagnosis
        assert found is not None
        return found.evidence


@pytest.fixture
def fleet(world: dict[str, str]) -> Iterator[Fleet]:
    """A fleet that is removed afterwards."""
    found = Fleet(world)
    yield found
    found.kubectl("delete", "namespace", found.namespace, "--wait=false")


def test_a_healthy_rollout_completes_without_a_finding_that_asks_for_anything(fleet: Fleet) -> None:
    """It is complete once, scaled to none it is complete again, and never was anything called fatal."""
    seen: list[Observation] = []

    def complete(observation: Observation) -> bool:
        seen.append(observation)
        return observation.complete

    fleet.deploy()
    assert fleet.until(complete).ready == 1
    fleet.deploy(replicas=0)
    assert fleet.until(lambda observation: complete(observation) and not observation.wanted).pods == []
    worst = {found.diagnosis.severity for found in seen if found.diagnosis}
    assert worst <= {Severity.PROGRESS, Severity.TRANSIENT}


def test_image_that_is_not_in_the_registry(fleet: Fleet) -> None:
    """The registry's answer is fatal when it came twice, and its words are kept."""
    image = f"{fleet.world['WORLD_ANONYMOUS_REGISTRY_ALIAS']}/nothing:client-abc@{ABSENT}"
    fleet.deploy(image)
    assert "not found" in fleet.until_diagnosed("IMAGE_NOT_FOUND", Severity.FATAL)


def test_registry_that_refuses_us(fleet: Fleet) -> None:
    """No `img-cred` for a registry that wants credentials."""
    fleet.deploy(f"{fleet.world['IMAGE_HOST_ALIAS']}/fluidex/prover:client-abc@{ABSENT}")
    assert "401" in fleet.until_diagnosed("IMAGE_AUTH", Severity.FATAL)


def test_registry_that_is_away(fleet: Fleet) -> None:
    """A connection refused is waited for."""
    host = fleet.world["IMAGE_HOST_ALIAS"].partition(":")[0]
    fleet.deploy(f"{host}:9/prover:client-abc@{ABSENT}")
    assert "refused" in fleet.until_diagnosed("IMAGE_REGISTRY_DOWN", Severity.TRANSIENT)


def test_no_node_has_the_label(fleet: Fleet) -> None:
    """At first a node may be on its way."""
    fleet.deploy(node_label=KeyValue(key="fluidexnode", value="nowhere"))
    assert "affinity" in fleet.until_diagnosed("SCHED_NO_LABEL", Severity.TRANSIENT)


def test_no_node_is_large_enough(fleet: Fleet) -> None:
    """The scheduler's words name the resource."""
    fleet.deploy(client_cpu="4000")
    assert "Insufficient cpu" in fleet.until_diagnosed("SCHED_RESOURCES", Severity.TRANSIENT)


def test_quota_that_admits_no_pod(fleet: Fleet) -> None:
    """No pod exists; the ReplicaSet knows why."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "spec": {"hard": {"pods": "0"}}}
    fleet.apply(quota | {"metadata": {"name": "none", "namespace": fleet.namespace}})
    fleet.deploy()
    assert "exceeded quota" in fleet.until_diagnosed("QUOTA", Severity.FATAL)


def test_pod_security_that_forbids_root(fleet: Fleet) -> None:
    """An image that runs as root, where that is forbidden."""
    fleet.kubectl("label", "namespace", fleet.namespace, "pod-security.kubernetes.io/enforce=restricted")
    fleet.deploy(user="0")
    assert "runAsNonRoot" in fleet.until_diagnosed("PODSECURITY", Severity.FATAL)


def test_range_that_demands_less(fleet: Fleet) -> None:
    """A LimitRange smaller than what is asked for."""
    limits = [{"type": "Container", "max": {"memory": "1Mi"}}]
    kind = {"apiVersion": "v1", "kind": "LimitRange", "spec": {"limits": limits}}
    fleet.apply(kind | {"metadata": {"name": "small", "namespace": fleet.namespace}})
    fleet.deploy(client_memory="64Mi")
    assert "maximum memory" in fleet.until_diagnosed("LIMITRANGE", Severity.FATAL)


def test_configuration_that_is_gone(fleet: Fleet) -> None:
    """The pod waits for a ConfigMap that nobody makes: fatal after its grace."""
    fleet.deploy(without=("ConfigMap",))
    assert '"cluster-conf" not found' in fleet.until_diagnosed("CONFIG_MISSING", Severity.FATAL)


def test_client_that_cannot_be_started(fleet: Fleet) -> None:
    """A program that is not in the image ends as often as it is tried."""
    fleet.deploy(container={"command": ["/nonexistent"]})
    assert "no such file" in fleet.until_diagnosed("CANNOT_RUN", Severity.FATAL, seconds=120)
