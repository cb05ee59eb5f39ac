"""The short-lived pod that tells whether a computation node reaches the coordinator, and how its end is read. Pure."""

from typing import Any

from domain import names
from domain.kubernetes import Manifest
from domain.messages.inspection import Check
from domain.spec import ClusterSpec
from planning.kubernetes import objects
from planning.manifests.labels import PRODUCT
from planning.preflight import checks
from planning.text import sanitize

POD_NAME = f"{names.DEPLOYMENT}-probe"  # one a deployment: the next run finds and removes what a killed one left
CHECK_NAME = "probe"
DEADLINE_SECONDS = 60  # seconds on its node, image pull included; Kubernetes ends it then, whoever forgot it
POD_USER = 65532  # a static binary needs no user of its own, and Pod Security "restricted" wants one that is not root
_TINY = {"cpu": "10m", "memory": "16Mi"}
_HOPELESS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerError", "RunContainerError"}


def pod(spec: ClusterSpec, owner: str, image: str, host: str, port: int) -> Manifest:
    """Return the pod, without the role label and the Deployment's: it is no client, and keeps none off its node."""
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    label = {"key": spec.node_label.key, "operator": "In", "values": [spec.node_label.value]}
    labels = {"app.kubernetes.io/name": CHECK_NAME, "app.kubernetes.io/managed-by": names.FIELD_MANAGER}
    body: dict[str, Any] = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": DEADLINE_SECONDS,
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": POD_USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [label]}]}
            }
        },
        "tolerations": [{"key": spec.node_taint.key, "operator": "Equal", "value": spec.node_taint.value}],
        "containers": [
            {
                "name": CHECK_NAME,
                "image": image,
                "args": [target],
                "resources": {"requests": _TINY, "limits": _TINY},
                "terminationMessagePolicy": "FallbackToLogsOnError",
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
            }
        ],
    }
    pulling = {"imagePullSecrets": [{"name": names.PULL_SECRET}]} if spec.image.pull_auth else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": POD_NAME,
            "namespace": spec.namespace,
            "labels": labels | {"app.kubernetes.io/part-of": PRODUCT},
            "annotations": {names.OWNER_ANNOTATION: owner},
        },
        "spec": body | pulling,
    }


def verdict(found: Manifest) -> Check | None:
    """Return the check by the pod's result; None as long as there is none."""
    phase, node = objects.status(found).get("phase"), str(objects.spec(found).get("nodeName") or "")
    if phase == "Succeeded":
        return checks.ok(CHECK_NAME, f"node {node} reaches the coordinator")
    if phase == "Failed":
        return _failed(found, node)
    for container in objects.container_statuses(found):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _HOPELESS:
            said = f"{waiting['reason']}: {waiting.get('message') or ''}"
            return _not_run(f"node {node} does not run the probe: {sanitize.one_line(said)}")
    return None


def unfinished(found: Manifest | None, waited: float) -> Check:
    """Return the check when the time is up."""
    if found is None:
        return checks.unknown(CHECK_NAME, "somebody removed the probe's pod", "run the preflight again")
    scheduled = objects.condition(found, "PodScheduled")
    if scheduled.get("status") == "False":
        said = f"no node took the probe's pod within {waited:.0f} s: {scheduled.get('message') or ''}"
        return checks.unknown(CHECK_NAME, said, "see `proverctl nodes`")
    return _not_run(f"the probe's pod was {objects.pod_state(found)} after {waited:.0f} s")


def _failed(found: Manifest, node: str) -> Check:
    ends = [(one.get("state") or {}).get("terminated") or {} for one in objects.container_statuses(found)]
    said = next((str(end["message"]).strip() for end in ends if end.get("exitCode") == 1 and end.get("message")), "")
    if said:
        remedy = "open the way from the nodes to COORDINATOR_EP:COORDINATOR_PORT, or start the coordinator"
        return checks.failed(CHECK_NAME, f"node {node} does not reach the coordinator: {said}", remedy)
    reason = next((str(end["reason"]) for end in ends if end.get("reason")), "")
    status = objects.status(found)
    why = status.get("message") or status.get("reason") or reason or "no reason given"
    return _not_run(f"the probe failed on node {node or '(none)'} before it could tell: {why}")


def _not_run(said: str) -> Check:
    return checks.unknown(
        CHECK_NAME, said, "see that nodes can pull and run PROBE_IMAGE: `<image> HOST:PORT` exits 0 or 1"
    )
