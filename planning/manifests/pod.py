"""The pod of one prove-client: where it may run, what it may do, and what makes it restart."""

from typing import Any

from domain import names
from domain.spec import DEFAULT_WORKDIR, ClusterSpec, ConfigSchema
from domain.status import Release
from planning.manifests import client_config, labels

CONFIG_DIRECTORY = "/opt/config"
CONFIG_FILE = "client.yaml"
CONFIG_VOLUME = "config"
HOSTNAME = "kubernetes.io/hostname"


def template(spec: ClusterSpec, release: Release, *, image_user: str, pull_secret: bool) -> dict[str, Any]:
    """Return the pod template; equal inputs give equal templates, so that nothing restarts without a reason.

    The owner mark is not part of it: taking a fleet over must not restart it.
    """
    return {
        "metadata": {
            "labels": labels.pod_labels(spec, release.stage),
            "annotations": {names.CONFIG_HASH_ANNOTATION: client_config.config_hash(spec, lagrange=release.lagrange)},
        },
        "spec": _pod(spec, release, image_user=image_user, pull_secret=pull_secret),
    }


def runs_as_non_root(image_user: str) -> bool:
    """Return whether kubelet can verify that the image does not run as root, which takes a number other than 0."""
    user = image_user.partition(":")[0]
    return user.isascii() and user.isdigit() and int(user) != 0


def image_warnings(image_user: str) -> list[str]:
    """Return why the image's USER may be refused; empty when Pod Security "restricted" admits it."""
    if runs_as_non_root(image_user):
        return []
    user = image_user.partition(":")[0]
    if user in ("", "0", "root"):
        what = "the prover image runs as root (its USER is " + (f"{user!r})" if user else "not set)")
    else:
        what = f"the prover image names its user ({user!r}), so that Kubernetes cannot verify that it is not root"
    effect = "pods run without runAsNonRoot, and a namespace that enforces Pod Security 'restricted' refuses them"
    return [f"{what}: {effect}. Set a numeric USER other than 0 in the base image (PROVER_BASE_IMAGE)."]


def resources(spec: ClusterSpec) -> dict[str, Any]:
    """Return the requests and limits of a client's container."""
    fixed = ({"memory": spec.client_memory} if spec.client_memory else {}) | spec.client_resources
    requests = ({"cpu": spec.client_cpu} if spec.client_cpu else {}) | fixed
    return ({"requests": requests} if requests else {}) | ({"limits": fixed} if fixed else {})


def _pod(spec: ClusterSpec, release: Release, *, image_user: str, pull_secret: bool) -> dict[str, Any]:
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": spec.client_grace,
        "securityContext": _pod_security(image_user),
        "affinity": _affinity(spec),
        "tolerations": [{"key": spec.node_taint.key, "operator": "Equal", "value": spec.node_taint.value}],
        "containers": [_container(spec, release)],
        "volumes": [
            {
                "name": CONFIG_VOLUME,
                "configMap": {
                    "name": names.CONFIG_MAP,
                    "items": [{"key": names.CONFIG_KEY, "path": CONFIG_FILE}],
                },
            }
        ],
    }
    return pod | ({"imagePullSecrets": [{"name": names.PULL_SECRET}]} if pull_secret else {})


def _pod_security(image_user: str) -> dict[str, Any]:
    context: dict[str, Any] = {"seccompProfile": {"type": "RuntimeDefault"}}
    return context | ({"runAsNonRoot": True} if runs_as_non_root(image_user) else {})


def _affinity(spec: ClusterSpec) -> dict[str, Any]:
    label = {"key": spec.node_label.key, "operator": "In", "values": [spec.node_label.value]}
    return {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [label]}]}
        },
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {
                    "labelSelector": {"matchLabels": {names.ROLE_LABEL: names.ROLE_VALUE}},
                    "namespaceSelector": {},  # of every namespace: two fleets must not book one node
                    "topologyKey": HOSTNAME,
                }
            ]
        },
    }


def _container(spec: ClusterSpec, release: Release) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": names.CONTAINER,
        "image": release.image,
        # A tag alone is mutable: a node that has an older image of this name must ask again.
        "imagePullPolicy": "IfNotPresent" if "@sha256:" in release.image else "Always",
        "env": _environment(spec),
        "volumeMounts": [{"name": CONFIG_VOLUME, "mountPath": CONFIG_DIRECTORY, "readOnly": True}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        # The client writes the reason of its end on stdout; this keeps it in the pod's status, where diagnosis reads.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    asked = resources(spec)
    return container | ({"resources": asked} if asked else {})


def _environment(spec: ClusterSpec) -> list[dict[str, Any]]:
    config = f"{CONFIG_DIRECTORY}/{CONFIG_FILE}"
    if spec.backend.client_workdir == DEFAULT_WORKDIR:  # the original's, relative
        config = f"config/{CONFIG_FILE}"
    own_name = {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}
    environment: list[dict[str, Any]] = [
        {"name": "RUST_LOG", "value": "info"},
        {"name": "CLIENT_PROVER_ID", "valueFrom": own_name},
        {"name": "CLIENT_CONFIG", "value": config},
    ]
    if spec.config_schema is ConfigSchema.FLAT:  # beside the struct schema this variable makes the client panic
        environment.append({"name": "CLIENT_CIRCUIT", "value": spec.circuit_name})
    if spec.coordinator_serv:
        environment.append({"name": "CLIENT_UPSTREAM", "value": spec.coordinator_serv})
    return environment
