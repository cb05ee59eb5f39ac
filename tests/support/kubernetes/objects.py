"""Small live objects for tables: a Deployment, its ReplicaSets and pods as the API server shows them."""

from datetime import UTC, datetime
from typing import Any

from domain.kubernetes import Manifest

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
IMAGE = "pull.example.com/prover:client-abc@sha256:" + "a" * 64
OLD_IMAGE = "pull.example.com/prover:client-old@sha256:" + "b" * 64


def ago(seconds: float) -> str:
    """Return an API timestamp so many seconds before NOW."""
    return datetime.fromtimestamp(NOW - seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def template(stage: str = "abc", image: str = IMAGE) -> dict[str, Any]:
    """Return a pod template of one release."""
    return {
        "metadata": {"labels": {"app": "client", "role": "cluster-prover", "stage": stage}},
        "spec": {"containers": [{"name": "client", "image": image}]},
    }


def deployment(replicas: int = 2, *, generation: int = 3, revision: str = "2", **status: Any) -> Manifest:
    """Our Deployment at a revision; the status is that of a finished rollout unless told otherwise."""
    full = {
        "observedGeneration": generation,
        "replicas": replicas,
        "updatedReplicas": replicas,
        "readyReplicas": replicas,
        "availableReplicas": replicas,
    }
    return {
        "kind": "Deployment",
        "metadata": {
            "name": "prover-cli-t",
            "uid": "deployment",
            "generation": generation,
            "annotations": {"deployment.kubernetes.io/revision": revision},
        },
        "spec": {
            "replicas": replicas,
            "template": template(),
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
        },
        "status": full | status,
    }


def replica_set(
    name: str = "prover-cli-t-new", *, revision: str = "2", stage: str = "abc", image: str = IMAGE
) -> Manifest:
    """Return a ReplicaSet of our Deployment; its uid is its name."""
    return {
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "uid": name,
            "annotations": {"deployment.kubernetes.io/revision": revision},
            "ownerReferences": [{"controller": True, "uid": "deployment"}],
        },
        "spec": {"template": template(stage, image)},
    }


def old_replica_set() -> Manifest:
    """Return the ReplicaSet of the release before."""
    return replica_set("prover-cli-t-old", revision="1", stage="old", image=OLD_IMAGE)


def pod(name: str = "p1", *, owner: str = "prover-cli-t-new", age: float = 100, **status: Any) -> Manifest:
    """Return a pod that runs and is Ready unless its status says otherwise."""
    old = owner.endswith("old")
    running: dict[str, Any] = {
        "phase": "Running",
        "startTime": ago(age),
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "client", "restartCount": 0, "state": {"running": {"startedAt": ago(age)}}}],
    }
    shape = template("old", OLD_IMAGE) if old else template()
    return {
        "kind": "Pod",
        "metadata": shape["metadata"]
        | {
            "name": name,
            "namespace": "fleet",
            "uid": f"uid-{name}",
            "creationTimestamp": ago(age),
            "ownerReferences": [{"controller": True, "uid": owner}],
        },
        "spec": shape["spec"] | {"nodeName": f"node-{name}"},
        "status": running | status,
    }


def leaving(found: Manifest, *, since: float = 0) -> Manifest:
    """Return the same pod, its deletion due so many seconds ago."""
    return found | {"metadata": found["metadata"] | {"deletionTimestamp": ago(since)}}


def waiting(name: str = "p1", reason: str = "ContainerCreating", message: str = "", *, age: float = 5) -> Manifest:
    """Return a pod whose container waits."""
    state = {"waiting": {"reason": reason, "message": message}}
    return pod(
        name,
        age=age,
        phase="Pending",
        conditions=[{"type": "Ready", "status": "False"}],
        containerStatuses=[{"name": "client", "restartCount": 0, "state": state}],
    )


def crashed(name: str = "p1", *, restarts: int, code: int = 1, reason: str = "Error", log: str = "") -> Manifest:
    """Return a pod between two tries of its container."""
    ended = {"exitCode": code, "reason": reason, "message": log, "finishedAt": ago(3)}
    status = {
        "name": "client",
        "image": IMAGE,
        "restartCount": restarts,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}},
        "lastState": {"terminated": ended},
    }
    return pod(name, conditions=[{"type": "Ready", "status": "False"}], containerStatuses=[status])


def unscheduled(name: str = "p1", message: str = "", *, age: float = 5) -> Manifest:
    """Return a pod for which the scheduler finds no node."""
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": message,
        "lastTransitionTime": ago(age),
    }
    found = pod(name, age=age, phase="Pending", conditions=[condition], containerStatuses=[])
    del found["spec"]["nodeName"]
    del found["status"]["startTime"]
    return found


def event(about: Manifest, reason: str, message: str, count: int = 1) -> Manifest:
    """Return an event on an object."""
    return {
        "kind": "Event",
        "involvedObject": {"uid": about["metadata"]["uid"]},
        "reason": reason,
        "message": message,
        "count": count,
    }
