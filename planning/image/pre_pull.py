"""Short-lived pods that have nodes pull an image before clients are replaced: where, made how, and read how. Pure."""

import base64
import hashlib
import json
from enum import Enum, auto
from typing import Any, NamedTuple

from domain import names
from domain.diagnosis import Diagnosis, Severity
from domain.kubernetes import Manifest, Snapshot
from domain.spec import ClusterSpec
from domain.status import Release
from planning.capacity import node, rollout_simulation
from planning.capacity.occupancy import NodeUsage
from planning.capacity.requests import of_client
from planning.diagnosis import image_pull
from planning.diagnosis.pod import pod_finding
from planning.diagnosis.release_view import ReleaseView
from planning.kubernetes import objects
from planning.manifests import labels, render
from planning.plan import plan
from planning.text import sanitize

UNPLACED = 30.0  # seconds that a pod may wait for its node; the node was well when it was chosen
SLACK = 60.0  # seconds beyond the pod's own deadline after which nobody will say anything any more
_KEY = ".dockerconfigjson"
_COMMAND = "/only-pulled"  # in no image: a container that cannot be started has its image all the same
_USER = 65532  # Pod Security "restricted" wants one that is not root
# Named, for a quota may demand that; nothing, for clients may fill node and quota.
_NOTHING = {"cpu": "0", "memory": "0"}
_AFTER_PULL = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"}
_NOT_SAID = "ContainerStatusUnknown"  # what is written for a container that nobody ever saw
_APP = "image-pull"


class NodePull(Enum):
    """How far one node is."""

    PULLING = auto()
    PULLED = auto()
    LEFT_OUT = auto()  # it could not be had to pull, which says nothing against the image
    STUCK = auto()  # its registry has been away for long: hopeless if it is so for all
    FAILED = auto()  # no client would get this image here


class Pull(NamedTuple):
    """Pull by one node: `trouble` may be transient; `seconds` are those of the pull, so far or in all."""

    node: str
    state: NodePull
    seconds: float = 0.0
    trouble: Diagnosis | None = None


class Chosen(NamedTuple):
    """Nodes to which clients of the new release may come."""

    lacking: list[str]  # without the image, those that run a client first
    having: list[str]
    left_out: dict[str, str]  # runs a client, and no other may come → why


def app(spec: ClusterSpec) -> str:
    """Return the label `app` of the pods, which is never the clients'."""
    return _APP if spec.deploy_name != _APP else f"{_APP}-pods"


def name(deployment_id: str, image: str, node_name: str) -> str:
    """Return the pod name, equal for an equal pull, so that the pod of a killed worker is found again."""
    told = hashlib.sha256(f"{deployment_id}\n{image}\n{node_name}".encode()).hexdigest()[:12]
    digest = image.partition("@sha256:")[2][:8] or hashlib.sha256(image.encode()).hexdigest()[:8]
    return f"{names.DEPLOYMENT}-pull-{digest}-{told}"


def choose(
    nodes: list[Manifest], clients: list[Manifest], provers: list[Manifest], spec: ClusterSpec, release: Release
) -> Chosen:
    """Where new clients may come to: in place of the old ones, and beside them as far as a rollout goes there first.

    `clients` are ours, `provers` those of everybody whose pods may be read; `nodes` as `plan.slim` leaves them.
    """
    holding = {objects.node_name(pod) for pod in clients if not objects.finished(pod)} - {""}
    booked = {objects.node_name(pod) for pod in provers if not objects.finished(pod)} | holding
    requests = of_client(spec).requests
    chosen, free, left_out = [], [], {}
    for found in sorted(nodes, key=objects.name):
        held = objects.name(found) in holding
        judged = node.node_fitness(found, spec, {} if held else requests, NodeUsage())
        if held and judged.reasons:
            left_out[judged.name] = ", ".join(reason.text for reason in judged.reasons)
        elif held:
            chosen.append(found)
        elif not judged.reasons and judged.name not in booked:
            free.append(found)
    # An old client holds its node until it has ended, so the first new ones go to free nodes where there are any.
    more = rollout_simulation.unavailable(spec, release.replicas) + max(0, release.replicas - len(chosen))
    asked = [*chosen, *free[:more]]
    return Chosen(
        lacking=[objects.name(found) for found in asked if not plan.has_image(found, release.image)],
        having=[objects.name(found) for found in asked if plan.has_image(found, release.image)],
        left_out=left_out,
    )


def pod(
    spec: ClusterSpec, owner: str, named: str, place: tuple[str, str], *, deployment: Manifest, pull_secret: bool
) -> Manifest:
    """Return a pod that does nothing but need the image; `place` is image and node.

    It goes with the Deployment, by Kubernetes' own garbage collection. It has neither the clients' `app` nor their
    role: nobody counts it as a client, and it keeps none off its node.
    """
    image, node_name = place
    owned = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": objects.name(deployment),
        "uid": objects.uid(deployment),
    }
    pulling = {"imagePullSecrets": [{"name": names.PULL_SECRET}]} if pull_secret else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": named,
            "namespace": spec.namespace,
            "labels": {
                "app": app(spec),
                "app.kubernetes.io/name": _APP,
                "app.kubernetes.io/managed-by": names.FIELD_MANAGER,
                "app.kubernetes.io/part-of": labels.PRODUCT,
            },
            "annotations": {names.OWNER_ANNOTATION: owner},
            "ownerReferences": [owned],
        },
        "spec": _pod_spec(spec, image, node_name) | pulling,
    }


def _pod_spec(spec: ClusterSpec, image: str, node_name: str) -> dict[str, Any]:
    field = {"key": "metadata.name", "operator": "In", "values": [node_name]}
    return {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": max(spec.progress_deadline, 1),
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": _USER, "seccompProfile": {"type": "RuntimeDefault"}},
        # The scheduler decides, as for a client: a node that is named outright takes pods that it has no room for.
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": [field]}]}
            }
        },
        "tolerations": [{"key": spec.node_taint.key, "operator": "Equal", "value": spec.node_taint.value}],
        "containers": [
            {
                "name": names.CONTAINER,  # the diagnosis of an image looks for it
                "image": image,
                "imagePullPolicy": "IfNotPresent" if "@sha256:" in image else "Always",
                "command": [_COMMAND],
                "resources": {"requests": _NOTHING},
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    }


def evidence(snapshot: Snapshot) -> ReleaseView:
    """Pods and events as the judges of clients' pods take them."""
    events = objects.by_object(snapshot.events)
    return ReleaseView(snapshot, snapshot.deployment or {}, None, snapshot.pods, [], [], events, autoscale=False)


def judge(pod: Manifest, node_name: str, seen: ReleaseView, deadline: float) -> Pull:
    """How far the pull is; `deadline` in seconds is the pod's own."""
    events = seen.of(pod)
    seconds = objects.elapsed(_since(pod, events), seen.now) or 0.0
    if _arrived(pod, events):
        took = image_pull.pull_time(events)
        return Pull(node_name, NodePull.PULLED, took[0] if took else 0.0)
    if objects.finished(pod):
        return Pull(node_name, NodePull.LEFT_OUT, seconds, _ended(pod))
    found = pod_finding(pod, seen)
    age = objects.elapsed(objects.created(pod), seen.now) or 0.0
    if age > deadline + SLACK or (not objects.node_name(pod) and age > UNPLACED):
        return Pull(node_name, NodePull.LEFT_OUT, seconds, found or _silent(age))
    return Pull(node_name, _state(found), seconds, found if found and found.severity is not Severity.PROGRESS else None)


def _state(found: Diagnosis | None) -> NodePull:
    if found is None or found.severity in (Severity.PROGRESS, Severity.TRANSIENT):
        return NodePull.PULLING
    if not found.code.startswith("IMAGE_"):
        return NodePull.LEFT_OUT
    if found.severity is Severity.FATAL:
        return NodePull.FAILED
    # A cause that is not known may be the node's own, such as a disk that holds only one of the two images.
    return NodePull.STUCK if image_pull.explained(found.evidence) else NodePull.LEFT_OUT


def _arrived(pod: Manifest, events: list[Manifest]) -> bool:
    """Whether anything happened that only comes after the pull; whether the container then ran does not matter."""
    if image_pull.has_image(pod) or any(event.get("reason") == "Pulled" for event in events):
        return True
    states = [container.get("state") or {} for container in objects.container_statuses(pod)]
    return any(
        "running" in state
        or (state.get("waiting") or {}).get("reason") in _AFTER_PULL
        or (state.get("terminated") or {"reason": _NOT_SAID}).get("reason") != _NOT_SAID
        for state in states
    )


def _since(pod: Manifest, events: list[Manifest]) -> str:
    began = objects.earliest(objects.first_seen(event) for event in events if event.get("reason") == "Pulling")
    return began or objects.started(pod)


def _ended(pod: Manifest) -> Diagnosis:
    status = objects.status(pod)
    said = ": ".join(str(part) for part in (status.get("reason"), status.get("message")) if part)
    late = status.get("reason") == "DeadlineExceeded"
    return Diagnosis(
        code="DEADLINE" if late else "EVICTED",
        what="the node did not pull the image in time" if late else "the node ended the pod that was to pull the image",
        evidence=sanitize.one_line(said),
        severity=Severity.TRANSIENT,
    )


def _silent(age: float) -> Diagnosis:
    return Diagnosis(
        code="DEADLINE", what=f"nothing was heard of its pull for {age:.0f} s", severity=Severity.TRANSIENT
    )


def explain(found: Diagnosis, spec: ClusterSpec, release: Release, *, with_login: bool) -> Diagnosis:
    """Why the registry says no, beside what it was given: the credentials of this worker, or none."""
    if found.code != "IMAGE_AUTH":
        return found
    hosts = [render.registry_key(spec.image.pull_host)] if with_login else []
    pulling = {"spec": {"imagePullSecrets": [{"name": names.PULL_SECRET}] if with_login else []}}
    return image_pull.explain_access(found, release.image, pulling, hosts)


def place_of(pod: Manifest) -> Manifest:
    """All that is asked of a prover: where it is, and whether it has ended."""
    return {"spec": {"nodeName": objects.node_name(pod)}, "status": {"phase": objects.status(pod).get("phase")}}


def beside_others(secret: Manifest, old: Manifest | None) -> Manifest:
    """Return the new Secret with the old credentials for other hosts, which serving clients may need."""
    known = _hosts(old) | _hosts(secret)
    content = base64.b64encode(json.dumps({"auths": known}).encode()).decode()
    return secret | {"data": {_KEY: content}}


def _hosts(secret: Manifest | None) -> dict[str, Any]:
    try:
        found = json.loads(base64.b64decode(((secret or {}).get("data") or {}).get(_KEY) or "")).get("auths")
    except (ValueError, AttributeError):
        return {}  # nothing that kubelet could read either
    return found if isinstance(found, dict) else {}
