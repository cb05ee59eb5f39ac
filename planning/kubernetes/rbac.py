"""The least rights the worker needs, one verb list a kind, so that nobody has to grant more to be on the safe side."""

from typing import Any, NamedTuple

import yaml

from domain import names
from domain.kubernetes import Manifest, Right

NAME = "proverctl-worker"
OPTIONAL_NAME = "proverctl-worker-optional"
SLICES = "endpointslices"
_GROUP = "rbac.authorization.k8s.io"
_READ = ["get", "list", "watch"]
_WRITE = ["create", "patch", "delete"]  # no update: everything is applied on the server


class Grant(NamedTuple):
    """Verbs on one kind; on objects of these names alone where the API server can check that."""

    kind: str
    resource: str
    verbs: list[str]
    group: str = ""
    named: tuple[str, ...] = ()

    def rule(self) -> dict[str, Any]:
        """Return the grant as a rule of a Role."""
        found: dict[str, Any] = {"apiGroups": [self.group], "resources": [self.resource]}
        return found | ({"resourceNames": list(self.named)} if self.named else {}) | {"verbs": self.verbs}

    def rights(self) -> list[Right]:
        """Return the rights one by one, as the API server reviews them."""
        named = self.named or ("",)
        return [Right(verb=v, resource=self.resource, group=self.group, name=n) for n in named for v in self.verbs]


# `create` with a name is checked too, for server-side apply names the object in its URL. A list cannot be limited to a
# name, so what is listed or watched has a rule of its own; Secrets are neither listed nor watched.
_REQUIRED = [
    Grant("Deployment", "deployments", ["list", "watch"], "apps"),
    Grant("Deployment", "deployments", ["get", *_WRITE], "apps", (names.DEPLOYMENT,)),
    Grant("ReplicaSet", "replicasets", _READ, "apps"),
    Grant("Pod", "pods", _READ),
    Grant("Event", "events", ["list", "watch"]),
    Grant("ConfigMap", "configmaps", ["get", *_WRITE], "", (names.CONFIG_MAP, names.HISTORY_CONFIG_MAP)),
    Grant("Service", "services", ["get", *_WRITE], "", (names.COORDINATOR_SERVICE,)),
    Grant("EndpointSlice", SLICES, ["get", *_WRITE], "discovery.k8s.io", (names.COORDINATOR_SERVICE,)),
    Grant("Endpoints", "endpoints", ["get", "delete"], "", (names.COORDINATOR_SERVICE,)),
    Grant("PodDisruptionBudget", "poddisruptionbudgets", ["get", *_WRITE], "policy", (names.DISRUPTION_BUDGET,)),
    Grant("Secret", "secrets", ["get", *_WRITE], "", (names.PULL_SECRET,)),
]
_NODES = [Grant("Node", "nodes", _READ)]
# Missing ones turn an answer into "unknown" with a warning.
_HELPFUL = [  # in the namespace
    Grant("Log", "pods/log", ["get"]),
    Grant("ResourceQuota", "resourcequotas", ["list"]),
    Grant("LimitRange", "limitranges", ["list"]),
    Grant("Probe", "pods", ["create", "delete"]),  # short-lived: a preflight's, and those that have nodes pull
]
_OPTIONAL = [
    Grant("Pod", "pods", ["list"]),
    Grant("Namespace", "namespaces", ["get", "create", "patch"]),
]
_IN_NAMESPACE = [*_REQUIRED, *_HELPFUL]
_ALL = [*_IN_NAMESPACE, *_NODES, *_OPTIONAL]


def role(namespace: str) -> Manifest:
    """Return the Role in the deployment's namespace: required, all of it."""
    return _rights("Role", NAME, _REQUIRED, namespace)


def optional_role(namespace: str) -> Manifest:
    """Return the rights in the namespace that only help: logs, quotas, the pods of a probe and of pre-pulls."""
    return _rights("Role", OPTIONAL_NAME, _HELPFUL, namespace)


def role_binding(namespace: str, *, service_account: str, service_account_namespace: str) -> Manifest:
    """Bind the Role to the worker's service account."""
    return _binding("RoleBinding", NAME, ("Role", NAME), (service_account_namespace, service_account), namespace)


def cluster_role() -> Manifest:
    """Return the ClusterRole that reads nodes: required."""
    return _rights("ClusterRole", NAME, _NODES)


def optional_cluster_role() -> Manifest:
    """Return the rights that only tell the worker more: clients of other namespaces, the Namespace itself."""
    return _rights("ClusterRole", OPTIONAL_NAME, _OPTIONAL)


def documents(
    namespace: str,
    *,
    service_account: str = NAME,
    service_account_namespace: str = "",
    optional: bool = True,
) -> list[Manifest]:
    """Return all that an administrator applies: service account, required rights, with `optional` also the others.

    Bindings of cluster roles carry the service account's namespace and name, so that those of two workers are two.
    """
    home = service_account_namespace or namespace
    account = (home, service_account)
    account_object = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": service_account, "namespace": home},
    }
    suffix = f"{home}-{service_account}"
    required = [
        account_object,
        role(namespace),
        role_binding(namespace, service_account=service_account, service_account_namespace=home),
        cluster_role(),
        _binding("ClusterRoleBinding", f"{NAME}:{suffix}", ("ClusterRole", NAME), account),
    ]
    if not optional:
        return required
    bound = _binding("ClusterRoleBinding", f"{OPTIONAL_NAME}:{suffix}", ("ClusterRole", OPTIONAL_NAME), account)
    helpful = _binding("RoleBinding", OPTIONAL_NAME, ("Role", OPTIONAL_NAME), account, namespace)
    return [*required, optional_role(namespace), helpful, optional_cluster_role(), bound]


def required_rights(*, pull_secret: bool, slices: bool = True) -> list[Right]:
    """Return every right in the namespace without which no deploy ends well.

    Those on Secrets only with a pull secret, those on EndpointSlices only where clients go by them.
    """
    spared = {*(() if pull_secret else ("secrets",)), *(() if slices else (SLICES,))}
    return [right for grant in _REQUIRED for right in grant.rights() if right.resource not in spared]


def node_rights() -> list[Right]:
    """Return every right in the whole cluster without which no deploy ends well."""
    return [right for grant in _NODES for right in grant.rights()]


def optional_rights() -> list[Right]:
    """Return every right in the namespace whose lack only makes an answer "unknown"."""
    return [right for grant in _HELPFUL for right in grant.rights()]


def optional_cluster_rights() -> list[Right]:
    """Return the rights in the whole cluster whose lack only makes an answer "unknown"."""
    return [right for grant in _OPTIONAL for right in grant.rights()]


def snippet(kind: str, verb: str) -> str:
    """Return the rule that grants this verb on this kind, on one line; empty for what the worker never does."""
    found = (grant for grant in _ALL if grant.kind == kind and verb in grant.verbs)
    return next((_shown(grant) for grant in found), "")


def snippets(missing: list[Right], *, in_cluster: bool) -> list[str]:
    """Return the rules that hold these rights, of the namespace or of the whole cluster, each once."""
    grants = [*_NODES, *_OPTIONAL] if in_cluster else _IN_NAMESPACE
    return [_shown(grant) for grant in grants if any(right in missing for right in grant.rights())]


def _shown(grant: Grant) -> str:
    rule = yaml.safe_dump(grant.rule(), default_flow_style=True, sort_keys=False, width=1000).strip()
    return f"{'Role' if grant in _IN_NAMESPACE else 'ClusterRole'} rule: {rule}"


def _rights(kind: str, name: str, grants: list[Grant], namespace: str = "") -> Manifest:
    rules = [grant.rule() for grant in grants]
    return {
        "apiVersion": f"{_GROUP}/v1",
        "kind": kind,
        "metadata": {"name": name} | ({"namespace": namespace} if namespace else {}),
        "rules": rules,
    }


def _binding(kind: str, name: str, role_of: tuple[str, str], account: tuple[str, str], namespace: str = "") -> Manifest:
    return {
        "apiVersion": f"{_GROUP}/v1",
        "kind": kind,
        "metadata": {"name": name} | ({"namespace": namespace} if namespace else {}),
        "roleRef": {"apiGroup": _GROUP, "kind": role_of[0], "name": role_of[1]},
        "subjects": [{"kind": "ServiceAccount", "namespace": account[0], "name": account[1]}],
    }
