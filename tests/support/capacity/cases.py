"""Cases of the model as Kubernetes objects, for the judge to read; and the judge's answer."""

from collections.abc import Iterator

from domain.kubernetes import Manifest
from domain.messages.nodes import NodesReport
from domain.spec import ClusterSpec, Endpoint, ImageTarget, KeyValue
from planning.capacity import verdict
from planning.capacity.occupancy import Occupancy
from planning.capacity.verdict import ClusterCapacity
from tests.support.capacity.scheduler_model import Ask, Case, Node

GPU = "nvidia.com/gpu"
LABEL = KeyValue(key="fluidexnode", value="computation")
TAINT = KeyValue(key="dedicated", value="computation")
NAMESPACE = "fleet"


def spec(case: Case, *, label: KeyValue = LABEL, taint: KeyValue = TAINT, namespace: str = NAMESPACE) -> ClusterSpec:
    """Return the settings of a user."""
    ask = case.ask
    return ClusterSpec(
        namespace=namespace,
        coordinator=Endpoint(ip="10.0.0.1"),
        image=ImageTarget(repository="prover"),
        replicas=case.replicas,
        node_label=label,
        node_taint=taint,
        client_cpu=str(ask.cpu) if ask.cpu else "",
        client_memory=f"{ask.memory}Gi" if ask.memory else "",
        client_resources={GPU: str(ask.gpu)} if ask.gpu else {},
        max_unavailable=str(case.unavailable),
    )


def judge(case: Case) -> NodesReport:
    """Return the product's report."""
    around = ClusterCapacity(
        nodes=[_node(f"n{index}", node) for index, node in enumerate(case.nodes)],
        occupancy=Occupancy.of(_pods(case), NAMESPACE, {"app": "client"}),
        quotas=quotas(case),
        ranges=ranges(case),
    )
    return verdict.capacity_report(around, spec(case), case.replicas, keep=case.scaled)


def quotas(case: Case) -> list[Manifest]:
    """Return the namespace's ResourceQuota, with what is used now."""
    if not case.quota:
        return []
    hard = {name: f"{most}Gi" if "memory" in name else str(most) for name, most in case.quota.items()}
    count, ask = len(case.old), case.old_ask
    full = {
        "pods": str(count),
        "count/pods": str(count),
        "requests.cpu": str(count * ask.cpu),
        "requests.memory": f"{count * ask.memory}Gi",
        "limits.memory": f"{count * ask.memory}Gi",
        f"requests.{GPU}": str(count * ask.gpu),
    }
    used = {name: full[name] for name in hard}
    return [
        {
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": {"name": "team", "namespace": NAMESPACE},
            "spec": {"hard": hard},
            "status": {"hard": hard, "used": used},
        }
    ]


def ranges(case: Case) -> list[Manifest]:
    """Return the namespace's LimitRange, with what the API server adds to it."""
    item: Manifest = {"type": "Container"}
    if case.default_cpu:
        item |= {"defaultRequest": {"cpu": str(case.default_cpu)}}
    if case.max_memory:
        most = {"memory": f"{case.max_memory}Gi"}
        item |= {"max": most, "default": most, "defaultRequest": item.get("defaultRequest", {}) | most}
    if len(item) == 1:
        return []
    metadata = {"name": "team", "namespace": NAMESPACE}
    return [{"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": {"limits": [item]}}]


def resources(ask: Ask) -> Manifest:
    """Of a container."""
    limits = ({"memory": f"{ask.memory}Gi"} if ask.memory else {}) | ({GPU: str(ask.gpu)} if ask.gpu else {})
    return {"requests": ({"cpu": str(ask.cpu)} if ask.cpu else {}) | limits, "limits": limits}


def pod(name: str, namespace: str, ask: Ask, node: str, *, prover: bool) -> Manifest:
    """Return a pod that runs on a node."""
    labels = {"role": "cluster-prover", "app": "client"} if prover else {"app": "other"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": "none", "resources": resources(ask)}]},
    }


def _pods(case: Case) -> Iterator[Manifest]:
    for number, index in enumerate(case.old):
        yield pod(f"old-{number}", NAMESPACE, case.old_ask, f"n{index}", prover=True)
    for index, node in enumerate(case.nodes):
        yield from others(f"n{index}", node, "elsewhere")


def others(name: str, node: Node, namespace: str) -> list[Manifest]:
    """Return the pods of others on the node."""
    found = [pod(f"{name}-{number}", namespace, ask, name, prover=False) for number, ask in enumerate(node.others)]
    return found + ([pod(f"{name}-prover", namespace, Ask(), name, prover=True)] if node.prover else [])


def _node(name: str, node: Node) -> Manifest:
    taints = [{"key": TAINT.key, "value": TAINT.value, "effect": "NoSchedule"}] if node.tainted else []
    taints += [{"key": "reserved", "value": "db", "effect": "NoSchedule"}] if node.repels else []
    size = node.size
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": {LABEL.key: LABEL.value} if node.labelled else {}},
        "spec": {"taints": taints} | ({"unschedulable": True} if node.cordoned else {}),
        "status": {
            "conditions": [{"type": "Ready", "status": "True" if node.ready else "False"}],
            "allocatable": {"cpu": str(size.cpu), "memory": f"{size.memory}Gi", "pods": str(node.pods)}
            | ({GPU: str(size.gpu)} if size.gpu else {}),
        },
    }
