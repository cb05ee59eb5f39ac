"""The paths of the Kubernetes REST API by kind: a table in place of a thousand typed models."""

from typing import NamedTuple
from urllib.parse import quote

from domain.kubernetes import Manifest


class ResourceType(NamedTuple):
    """API version and plural of one kind."""

    version: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group; empty is the core group."""
        return self.version.rpartition("/")[0]

    @property
    def root(self) -> str:
        """`/api/v1` or `/apis/<group>/<version>`."""
        return f"/apis/{self.version}" if self.group else f"/api/{self.version}"


RESOURCE_TYPES = {
    "Namespace": ResourceType("v1", "namespaces", namespaced=False),
    "Node": ResourceType("v1", "nodes", namespaced=False),
    "Pod": ResourceType("v1", "pods"),
    "Service": ResourceType("v1", "services"),
    "Endpoints": ResourceType("v1", "endpoints"),
    "ConfigMap": ResourceType("v1", "configmaps"),
    "Secret": ResourceType("v1", "secrets"),
    "ServiceAccount": ResourceType("v1", "serviceaccounts"),
    "ResourceQuota": ResourceType("v1", "resourcequotas"),
    "LimitRange": ResourceType("v1", "limitranges"),
    "Event": ResourceType("v1", "events"),
    "Deployment": ResourceType("apps/v1", "deployments"),
    "ReplicaSet": ResourceType("apps/v1", "replicasets"),
    "EndpointSlice": ResourceType("discovery.k8s.io/v1", "endpointslices"),
    "PodDisruptionBudget": ResourceType("policy/v1", "poddisruptionbudgets"),
    "Role": ResourceType("rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ResourceType("rbac.authorization.k8s.io/v1", "rolebindings"),
    "ClusterRole": ResourceType("rbac.authorization.k8s.io/v1", "clusterroles", namespaced=False),
    "ClusterRoleBinding": ResourceType("rbac.authorization.k8s.io/v1", "clusterrolebindings", namespaced=False),
}
ACCESS_REVIEW = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def collection(kind: str, namespace: str = "") -> str:
    """Return the path of all objects of a kind, in one namespace or in all."""
    place = RESOURCE_TYPES[kind]
    if place.namespaced and namespace:
        return f"{place.root}/namespaces/{quote(namespace, safe='')}/{place.plural}"
    return f"{place.root}/{place.plural}"


def item(kind: str, name: str, namespace: str = "") -> str:
    """Return the path of one object."""
    return f"{collection(kind, namespace)}/{quote(name, safe='')}"


def item_of(manifest: Manifest) -> str:
    """Return the path of the object that a manifest describes."""
    metadata = manifest["metadata"]
    return item(manifest["kind"], metadata["name"], metadata.get("namespace", ""))


def log_of(pod: str, namespace: str) -> str:
    """Return the path of the logs of a pod's containers."""
    return f"{item('Pod', pod, namespace)}/log"


def label(kind: str, name: str, namespace: str = "") -> str:
    """Return the object's name for messages: `Deployment prover-cli-t in namespace provers`."""
    named = f"{kind} {name}".strip()
    return (
        f"{named} in namespace {namespace}"
        if namespace and kind in RESOURCE_TYPES and RESOURCE_TYPES[kind].namespaced
        else named
    )
