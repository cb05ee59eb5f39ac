"""Nodes pull before a rollout: real kubelets under the rights that `proverctl rbac` prints, and a fleet of fakes."""

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from temporalio.exceptions import CancelledError
from temporalio.testing import ActivityEnvironment

from activities.release.activities import KubeActivities
from activities.release.pre_pull import PrePull, PrePullActivities
from clients.kubernetes.cluster import KubernetesCluster
from clients.kubernetes.pods import PodTrials
from clients.registry.credentials import WorkerSecrets
from domain import names
from domain.images import PrePulled, PrePullRequest
from domain.kubernetes import Manifest
from domain.spec import ClusterSpec, KeyValue
from domain.status import Release
from planning.image import pre_pull, pre_pull_progress
from planning.kubernetes import objects
from sandbox.image import _digest, _Registry
from sandbox.kubernetes.fleet import Fleet
from sandbox.settings import Settings
from tests.support.kubernetes.release import LOGIN, Room, listing
from tests.support.kubernetes.service_accounts import until

FLEET = 120
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


def new_image(*, program: bool) -> str:
    """Return an image that no node can have yet, as pods pull it: key-like bytes, with or without `pause`."""
    settings, name = Settings.from_environment(), f"pull-{uuid4().hex[:8]}"
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path, data in {"key": os.urandom(1 << 20), **({"pause": _pause(settings)} if program else {})}.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o755
            archive.addfile(entry, io.BytesIO(data))
    layer = content.getvalue()
    digest, registry = _digest, _Registry(settings.ports.anonymous_registry, name)
    run = {"Entrypoint": ["/pause"], "User": "65535"} if program else {}
    rootfs = {"type": "layers", "diff_ids": [digest(layer)]}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": run, "rootfs": rootfs}).encode()
    kinds = "application/vnd.oci.image"
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": f"{kinds}.manifest.v1+json",
            "config": {"mediaType": f"{kinds}.config.v1+json", "digest": digest(config), "size": len(config)},
            "layers": [{"mediaType": f"{kinds}.layer.v1.tar", "digest": digest(layer), "size": len(layer)}],
        }
    ).encode()
    for blob in (layer, config):
        registry.push_blob(blob)
    registry.push_manifest("new", manifest)
    return f"{settings.host}:{settings.ports.anonymous_registry}/{name}:new@{digest(manifest)}"


def _pause(settings: Settings) -> bytes:
    return Path(settings.bin / "pause").read_bytes()


class Serving:
    """A release that serves with one client, and pulls for the next one."""

    def __init__(self, room: Room, *, optional: bool = True) -> None:
        self.room = room
        self.kube: KubeActivities = room.grant(optional=optional)
        cluster = room.clusters[-1]
        trials = {"default": PodTrials(cluster.connection)}
        self.pulls = PrePullActivities({"default": cluster}, trials, WorkerSecrets(LOGIN), room.prefix)
        self.spec = room.spec()
        applied = room.apply(self.kube, self.spec, room.release())
        assert room.rollout(self.kube, self.spec, room.release(), applied.generation).complete
        self.before = self.clients()

    def clients(self) -> list[tuple[str, bool]]:
        """UID of each client, and whether it is Ready."""
        found = self.room.admin.find("Pod", self.room.namespace, selector=f"{names.ROLE_LABEL}={names.ROLE_VALUE}")
        return [(objects.uid(pod), objects.ready(pod)) for pod in found]

    def request(self, image: str) -> PrePullRequest:
        """Return a release with this image."""
        release = Release(stage="next", image=image, replicas=1)
        uid = self.room.clusters[-1].uid()
        return PrePullRequest(spec=self.spec, release=release, deployment_id=self.spec.deployment_id, cluster_uid=uid)

    def pull(self, image: str) -> PrePulled:
        """As the worker does it; at each beat the client that serves is looked at."""
        environment = ActivityEnvironment()

        def beat(*details: Any) -> None:
            self.room.beats.append(str(details[0]))
            assert self.clients() == self.before

        environment.on_heartbeat = beat
        found: PrePulled = environment.run(self.pulls.pre_pull, self.request(image))
        assert self.clients() == self.before
        return found

    def pods(self) -> list[Manifest]:
        """Those that pull."""
        return self.room.admin.find("Pod", self.room.namespace, selector=f"app={pre_pull.app(self.spec)}")

    def said(self, name: str, reason: str) -> list[str]:
        """Events of pods whose names begin so."""
        return [
            objects.message(event)
            for event in self.room.admin.events(self.room.namespace)
            if objects.about(event)[1].startswith(name) and event.get("reason") == reason
        ]


def test_the_client_serves_until_its_successor_has_nothing_to_pull(room: Room) -> None:
    """The rollout afterwards finds the image; all of it in a namespace that is restricted."""
    namespace = {"name": room.namespace, "labels": RESTRICTED}
    room.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": namespace})
    serving, wanted = Serving(room), new_image(program=True)
    found = serving.pull(wanted)
    assert (found.pulled, found.diagnosis, found.warnings) == (found.nodes, None, [])
    assert found.nodes >= 1
    pulled = serving.said(f"{names.DEPLOYMENT}-pull-", "Pulled")
    assert len([message for message in pulled if message.startswith("Successfully pulled")]) == found.nodes
    assert until(lambda: serving.pods() == [])
    assert room.beats[-1].startswith("image on ")
    release = room.release("next", wanted)
    applied = room.apply(serving.kube, serving.spec, release)
    assert room.rollout(serving.kube, serving.spec, release, applied.generation).complete
    (message,) = [
        said for said in serving.said(f"{names.DEPLOYMENT}-", "Pulled") if said not in pulled and wanted in said
    ]
    assert "already present on machine" in message


def test_an_image_without_any_program_is_pulled(room: Room) -> None:
    """FROM scratch with nothing but keys: it cannot run, and need not."""
    serving, wanted = Serving(room), new_image(program=False)
    found = serving.pull(wanted)
    assert (found.pulled, found.warnings) == (found.nodes, [])
    assert until(lambda: _reported(room, wanted) >= found.nodes)  # by kubelets, of their own accord
    again = serving.pull(wanted)
    assert again.pulled == again.nodes
    assert until(lambda: serving.pods() == [])


def _reported(room: Room, image: str) -> int:
    digest = image.partition("@")[2]
    return sum(digest in json.dumps(objects.status(node).get("images")) for node in room.admin.find("Node"))


def test_a_digest_that_is_not_there_stops_it_before_any_client_is_touched(room: Room) -> None:
    """With the registry's own words; the Deployment is as it was."""
    serving = Serving(room)
    deployment = room.admin.get("Deployment", names.DEPLOYMENT, room.namespace) or {}
    found = serving.pull(f"{room.image.partition('@')[0]}@sha256:{'0' * 64}")
    assert found.diagnosis is not None
    assert (found.diagnosis.code, "not found" in found.diagnosis.evidence) == ("IMAGE_NOT_FOUND", True)
    after = room.admin.get("Deployment", names.DEPLOYMENT, room.namespace) or {}
    assert after["metadata"]["generation"] == deployment["metadata"]["generation"]
    assert until(lambda: serving.pods() == [])


def test_a_cancel_leaves_no_pod(room: Room) -> None:
    """While nodes wait for a registry that does not answer."""
    serving, environment = Serving(room), ActivityEnvironment()
    beats: list[str] = []

    def beat(*details: Any) -> None:
        beats.append(str(details[0]))
        if serving.pods():
            environment.cancel()

    environment.on_heartbeat = beat
    with pytest.raises(CancelledError):
        environment.run(serving.pulls.pre_pull, serving.request(f"10.255.255.1:5000/none@sha256:{'0' * 64}"))
    assert "image on 0 of" in beats[-1]
    assert until(lambda: serving.pods() == [])
    assert serving.clients() == serving.before


def test_without_the_right_to_make_pods_it_goes_on(room: Room) -> None:
    """A warning with the rule; and what somebody left goes with the Deployment, which takes no right either."""
    assert until(lambda: "configmaps/kube-root-ca.crt" in listing(room.admin, room.namespace))
    serving = Serving(room, optional=False)
    found = serving.pull(new_image(program=False))
    assert (found.pulled, found.diagnosis) == (0, None)
    (warning,) = found.warnings
    assert "may not create pods" in warning
    assert "Role rule: {apiGroups: [''], resources: [pods], verbs: [create, delete]}" in warning
    _leave_pod(room, serving)
    room.run(serving.kube.remove_release, room.target(serving.spec))
    assert [one for one in listing(room.admin, room.namespace) if one.startswith("pods/")] == []


def _leave_pod(room: Room, serving: Serving) -> None:
    deployment = room.admin.get("Deployment", names.DEPLOYMENT, room.namespace)
    assert deployment is not None
    place = (f"10.255.255.1:5000/none@sha256:{'0' * 64}", Settings.from_environment().node_name(1))
    owner = f"{room.prefix}/{serving.spec.deployment_id}"
    left = pre_pull.pod(serving.spec, owner, "prover-cli-t-pull-left", place, deployment=deployment, pull_secret=False)
    PodTrials(room.admin.connection).create(left, dry_run=False)


def test_a_quota_of_pods_that_is_used_up_is_told(room: Room) -> None:
    """One of cores is not in the way, for these pods ask for none."""
    serving = Serving(room)
    _quota(room, {"requests.cpu": "0", "requests.memory": "0"})
    found = serving.pull(new_image(program=False))
    assert (found.pulled, found.warnings) == (found.nodes, [])
    _quota(room, {"pods": "1"})
    (warning,) = serving.pull(new_image(program=False)).warnings
    assert "exceeded quota" in warning


def _quota(room: Room, hard: dict[str, str]) -> None:
    """In force once the controller has counted."""
    metadata = {"name": f"quota-{uuid4().hex[:6]}", "namespace": room.namespace}
    made = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": {"hard": hard}}
    room.admin.apply(made)

    def counted() -> bool:
        found = room.admin.get("ResourceQuota", metadata["name"], room.namespace) or {}
        return (objects.status(found).get("hard") or {}) == hard

    assert until(counted)


class Counting:
    """Makes pods and counts how many there are at once."""

    def __init__(self, cluster: KubernetesCluster, selector: str) -> None:
        self.cluster = cluster
        self.selector = selector
        self.most = 0
        self.made = 0

    def create(self, pod: Manifest, *, dry_run: bool) -> list[str]:
        """As the product does it."""
        PodTrials(self.cluster.connection).create(pod, dry_run=dry_run)
        there = self.cluster.find("Pod", pod["metadata"]["namespace"], selector=self.selector)
        at_once = sum(not objects.terminating(one) for one in there)  # the others have done their duty
        self.most, self.made = max(self.most, at_once), self.made + 1
        return []


def fleet_of_clients(namespace: str, fleet: Fleet) -> Manifest:
    """Return a Deployment of ours with one pod a node."""
    key, _, value = fleet.key_value.partition("=")
    apart = {"labelSelector": {"matchLabels": {"app": "client"}}, "topologyKey": "kubernetes.io/hostname"}
    pod = {
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}},
        "nodeSelector": {key: value},
        "tolerations": [{"key": key, "value": value, "effect": "NoSchedule"}],
        "containers": [{"name": "client", "image": "toy:1"}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": names.DEPLOYMENT, "namespace": namespace},
        "spec": {
            "replicas": FLEET,
            "selector": {"matchLabels": {"app": "client"}},
            "template": {"metadata": {"labels": {"app": "client"}}, "spec": pod},
        },
    }


def test_a_fleet_pulls_a_few_nodes_at_a_time(room: Room) -> None:
    """Each node once, never more than the bound at the same time, and nothing is left."""
    with Fleet(Settings.from_environment(), "pull") as fleet:
        fleet.create(FLEET)
        room.admin.apply(fleet_of_clients(room.namespace, fleet))
        assert until(lambda: _ready(room) == FLEET)
        place = KeyValue(key="fleet", value=fleet.name)
        spec: ClusterSpec = room.spec(FLEET, node_label=place, node_taint=place)
        release = Release(stage="next", image=f"toy@sha256:{'0' * 64}", replicas=FLEET)
        request = PrePullRequest(
            spec=spec, release=release, deployment_id=spec.deployment_id, cluster_uid=room.admin.uid()
        )
        selector = f"app={pre_pull.app(spec)}"
        counting = Counting(room.admin, selector)
        pulling = PrePull(room.admin, counting, request, f"{room.prefix}/{spec.deployment_id}", room.beats.append)
        found = pulling.run(None, lambda: False)
        assert (found.nodes, found.pulled, found.warnings, counting.made) == (FLEET, FLEET, [], FLEET)
        assert counting.most == pre_pull_progress.AT_ONCE
        assert until(lambda: room.admin.find("Pod", room.namespace, selector=selector) == [])
        room.admin.delete("Deployment", names.DEPLOYMENT, room.namespace)


def _ready(room: Room) -> int:
    deployment = room.admin.get("Deployment", names.DEPLOYMENT, room.namespace) or {}
    return int(objects.status(deployment).get("readyReplicas") or 0)
