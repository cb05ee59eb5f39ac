"""Objects that the cluster needs first: rights of the servers, labels and taints of the nodes."""

import json

from sandbox.host.command import run
from sandbox.host.readiness import wait_until
from sandbox.settings import Settings

_LABEL = "fluidexnode=computation"
_TAINT = "dedicated=computation:NoSchedule"

_RIGHTS = {
    "apiVersion": "v1",
    "kind": "List",
    "items": [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "prover-world:dns"},
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["endpoints", "services", "pods", "namespaces"],
                    "verbs": ["list", "watch"],
                },
                {
                    "apiGroups": ["discovery.k8s.io"],
                    "resources": ["endpointslices"],
                    "verbs": ["list", "watch"],
                },
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "prover-world:dns"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "prover-world:dns",
            },
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:coredns"}],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "prover-world:proxy"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "system:node-proxier",
            },
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:kube-proxy"}],
        },
    ],
}


def grant_rights(settings: Settings) -> None:
    """Let DNS and kube-proxy read Services; everything else Kubernetes grants by itself."""
    kubectl(settings, "apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(_RIGHTS))


def prepare_nodes(settings: Settings) -> None:
    """Wait until every node is Ready and DNS can be asked; label and taint the nodes for provers."""
    names = [settings.node_name(number) for number in settings.node_numbers]

    def ready() -> str | None:
        missing = set(names) - _ready_nodes(settings)
        return f"not Ready: {', '.join(sorted(missing))}" if missing else None

    wait_until(ready, seconds=60, what=f"nodes of world {settings.name}")
    kubectl(settings, "label", "--overwrite", "nodes", *names, _LABEL)
    kubectl(settings, "taint", "--overwrite", "nodes", *names, _TAINT)
    kubectl(settings, "wait", "--for=create", "serviceaccount/default", "--timeout=30s")


def kubectl(settings: Settings, *words: str, stdin: str | None = None) -> str:
    """Run the world's own kubectl against the world's own API server, whatever the caller's environment says."""
    kubeconfig = f"--kubeconfig={settings.pki}/admin.kubeconfig"
    return run(f"{settings.bin}/kubectl", kubeconfig, *words, stdin=stdin, env={"HOME": str(settings.state)})


def _ready_nodes(settings: Settings) -> set[str]:
    nodes = json.loads(kubectl(settings, "get", "nodes", "-o", "json"))["items"]
    return {
        node["metadata"]["name"]
        for node in nodes
        for condition in node["status"].get("conditions", [])
        if condition["type"] == "Ready" and condition["status"] == "True"
    }
