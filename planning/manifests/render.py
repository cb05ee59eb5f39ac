"""Renders a release into the Kubernetes objects of one namespace: the original's names without its traps."""

import base64
import json
from ipaddress import ip_address
from typing import Any

from domain import names
from domain.errors import CredentialsMissing
from domain.kubernetes import Manifest
from domain.ports import TOKEN_USER
from domain.spec import ClusterSpec
from domain.status import Release
from planning.manifests import client_config, pod
from planning.manifests.client_config import config_hash, upstream
from planning.manifests.labels import labels, metadata, selector
from planning.manifests.pod import image_warnings
from planning.settings import endpoint

__all__ = [
    "config_hash",
    "dispensable",
    "image_reference",
    "image_warnings",
    "namespace_marks",
    "namespace_object",
    "pull_secret",
    "registry_key",
    "render",
    "require_password",
    "upstream",
]

SERVICE_PORT = 80
MIN_READY_SECONDS = 2  # a client whose configuration is wrong ends within the first second
DOCKER_HUB_HOSTS = {"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"}
DOCKER_HUB_KEY = "https://index.docker.io/v1/"


def render(
    spec: ClusterSpec, release: Release, *, owner: str, image_user: str = "", pull_secret: bool
) -> list[Manifest]:
    """Return ConfigMap, Service, EndpointSlice, PodDisruptionBudget, Deployment, in the order of applying.

    The EndpointSlice leads to the coordinator whatever COORDINATOR_SERV says; where that leads clients elsewhere, they
    do without the slice. `pull_secret` says whether `img-cred` exists.
    """
    return [
        _config_map(spec, release, owner),
        _service(spec, release, owner),
        _endpoint_slice(spec, release, owner),
        _disruption_budget(spec, release, owner),
        _deployment(spec, release, owner, pod.template(spec, release, image_user=image_user, pull_secret=pull_secret)),
    ]


def dispensable(manifest: Manifest, spec: ClusterSpec) -> bool:
    """Return whether clients work without this object, so that its refusal does not stop a deploy."""
    return manifest["kind"] == "EndpointSlice" and endpoint.overridden(spec)


def image_reference(spec: ClusterSpec, stage: str, digest: str = "") -> str:
    """Return the image of the pods: `host/repo:client-stage@sha256:…`, without a digest that is not known yet."""
    tagged = f"{spec.image.pull_host}/{spec.image.repository}:{names.image_tag(stage)}"
    return f"{tagged}@{digest}" if digest else tagged


def namespace_object(spec: ClusterSpec) -> Manifest:
    """Return the Namespace to create when it is missing (R7); its marks are applied separately."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": spec.namespace}}


def namespace_marks(spec: ClusterSpec, stage: str, owner: str) -> Manifest:
    """Return the server-side apply document with our two annotations on the Namespace and nothing else.

    Empty marks are left out, which removes what an earlier apply wrote: this is how tear-down takes them off.
    """
    marks = {names.STAGE_ANNOTATION: stage, names.OWNER_ANNOTATION: owner}
    kept = {key: value for key, value in marks.items() if value}
    return namespace_object(spec) | {
        "metadata": {"name": spec.namespace} | ({"annotations": kept} if kept else {}),
    }


def registry_key(host: str) -> str:
    """Return the key of a registry host in a Docker configuration: Docker Hub's is a URL of its own."""
    return DOCKER_HUB_KEY if host in DOCKER_HUB_HOSTS else host


def require_password(user: str, host: str) -> None:
    """Raise CredentialsMissing when pods cannot use a login: kubelet takes a user and a password only."""
    if user == TOKEN_USER:
        raise CredentialsMissing(
            f"the credentials for {host} are an identity token, with which pods cannot pull",
            on=f"Secret {names.PULL_SECRET}",
            because="kubelet takes a user and a password only",
            do="set IMAGE_PULL_AUTH to a reference to a user and a password that may pull",
        )


def pull_secret(spec: ClusterSpec, user: str, password: str, owner: str) -> Manifest:
    """Return the Secret `img-cred`; as the one manifest with a password it is never logged nor shown.

    CredentialsMissing as of `require_password`.
    """
    require_password(user, spec.image.pull_host)
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    login = {"username": user, "password": password, "auth": auth}
    config = json.dumps({"auths": {registry_key(spec.image.pull_host): login}})
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(names.PULL_SECRET, spec, owner),
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": base64.b64encode(config.encode()).decode()},
    }


def _config_map(spec: ClusterSpec, release: Release, owner: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(names.CONFIG_MAP, spec, owner, release.stage),
        "data": {names.CONFIG_KEY: client_config.config_text(spec, lagrange=release.lagrange)},
    }


def _family(spec: ClusterSpec) -> str:
    return f"IPv{ip_address(spec.coordinator.ip).version}"


def _service(spec: ClusterSpec, release: Release, owner: str) -> Manifest:
    port = {
        "name": names.COORDINATOR_PORT_NAME,
        "port": SERVICE_PORT,
        "targetPort": spec.coordinator.port,
        "protocol": "TCP",
    }
    service: dict[str, Any] = {"type": "ClusterIP", "ports": [port]}
    if not endpoint.overridden(spec):
        # kube-proxy ignores slices of the other family: without this an IPv6 coordinator would be dead silently.
        service |= {"ipFamilyPolicy": "SingleStack", "ipFamilies": [_family(spec)]}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(names.COORDINATOR_SERVICE, spec, owner, release.stage),
        "spec": service,
    }


def _endpoint_slice(spec: ClusterSpec, release: Release, owner: str) -> Manifest:
    meta = metadata(names.COORDINATOR_SERVICE, spec, owner, release.stage)
    ours = {
        "kubernetes.io/service-name": names.COORDINATOR_SERVICE,
        "endpointslice.kubernetes.io/managed-by": names.FIELD_MANAGER,
    }
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": meta | {"labels": labels(spec, release.stage) | ours},
        "addressType": _family(spec),
        "endpoints": [{"addresses": [endpoint.canonical(spec.coordinator.ip)], "conditions": {"ready": True}}],
        # The port's name must equal the Service's, else nothing is routed.
        "ports": [{"name": names.COORDINATOR_PORT_NAME, "port": spec.coordinator.port, "protocol": "TCP"}],
    }


def _max_unavailable(spec: ClusterSpec) -> int | str:
    return spec.max_unavailable if spec.max_unavailable.endswith("%") else int(spec.max_unavailable)


def _disruption_budget(spec: ClusterSpec, release: Release, owner: str) -> Manifest:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(names.DISRUPTION_BUDGET, spec, owner, release.stage),
        "spec": {
            # Never minAvailable: with one replica it would block every drain for ever.
            "maxUnavailable": _max_unavailable(spec),
            "selector": {"matchLabels": selector(spec)},
            # A client that does not run protects nothing, so it must not hold up a drain either.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def _deployment(spec: ClusterSpec, release: Release, owner: str, template: dict[str, Any]) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(names.DEPLOYMENT, spec, owner, release.stage),
        "spec": {
            "replicas": spec.replicas,
            "selector": {"matchLabels": selector(spec)},
            # One client a node and no node to spare: a surge pod would wait for ever.
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 0, "maxUnavailable": _max_unavailable(spec)},
            },
            "minReadySeconds": MIN_READY_SECONDS,
            "progressDeadlineSeconds": spec.progress_deadline,
            "template": template,
        },
    }
