"""The rows of docs/diagnoses.md that API server, scheduler and controllers tell, on fake nodes where one is needed."""

from typing import Any

from domain.errors import ObjectRejected
from domain.kubernetes import Manifest
from planning.kubernetes import objects
from tests.support.diagnosis.case import Case, post
from tests.support.diagnosis.node_rows import FATAL, HUMAN, TRANSIENT, Row

HOOKS = "/apis/admissionregistration.k8s.io/v1"
_PODS = [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]


def quota(**hard: str) -> Manifest:
    """Return a quota of the namespace."""
    amounts = {key.replace("_", "."): value for key, value in hard.items()}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "few"}, "spec": {"hard": amounts}}


def limit_range(**limit: Any) -> Manifest:
    """Limits for containers of the namespace."""
    spec = {"limits": [{"type": "Container", **limit}]}
    return {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small"}, "spec": spec}


def _none(case: Case) -> None:
    case.put(quota(pods="0"))
    case.deploy()


def _fewer(case: Case) -> None:
    """Room for one of two, which stays."""
    case.nodes(2)
    case.put(quota(pods="1"))
    case.deploy(replicas=2)


def _throttled(case: Case) -> None:
    """Replace an old pod that ends slowly and counts against the quota until it is gone."""
    case.put(quota(pods="1"))
    case.deploy(args=("deaf",), client_grace=60)
    case.settle()
    case.deploy(args=("say", "hello"))


def _demanding_quota(case: Case) -> None:
    case.put(quota(limits_memory="1Gi"))
    case.deploy()


def _too_large(case: Case) -> None:
    case.put(limit_range(max={"memory": "1Mi"}))
    case.deploy(client_memory="64Mi")


def _restricted(case: Case) -> None:
    case.scene.api.patch(
        f"/api/v1/namespaces/{case.namespace}",
        {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}},
    )
    case.deploy(user="0")


def _policy(case: Case) -> None:
    selector = {"matchLabels": {"kubernetes.io/metadata.name": case.namespace}}
    name = case.namespace
    rule = {"expression": "false", "message": "clients need a cost centre"}
    spec = {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": _PODS}, "validations": [rule]}
    bound = {"policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": selector}}
    for kind, content in (("Policy", spec), ("PolicyBinding", bound)):
        body = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": f"ValidatingAdmission{kind}"}
        path = f"{HOOKS}/validatingadmission{'policies' if kind == 'Policy' else 'policybindings'}"
        post(case.cluster, path, body | {"metadata": {"name": name}, "spec": content})
    case.deploy()


def _webhook(case: Case, url: str) -> None:
    hook = {
        "name": "cost.example.com",
        "clientConfig": {"url": url, "caBundle": case.scene.authority},
        "rules": _PODS,
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": case.namespace}},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 2,
    }
    body = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
    path = f"{HOOKS}/validatingwebhookconfigurations"
    post(case.cluster, path, body | {"metadata": {"name": case.namespace}, "webhooks": [hook]})
    case.deploy()


def _no_account(case: Case) -> None:
    case.deploy(pod={"serviceAccountName": "absent"})


def _no_label(case: Case) -> None:
    case.nodes(1, labels={"fleet": "elsewhere"})
    case.deploy()


def _taint(case: Case) -> None:
    case.nodes(2, taints=["dedicated=other:NoSchedule"])
    case.deploy()


def _full(case: Case) -> None:
    """Two nodes; a stranger of another namespace holds one, and two clients are wanted."""
    first, _ = case.nodes(2)
    labels = {"role": "cluster-prover", "app": "stranger", "stage": "old"}
    spec = {"nodeName": first, "containers": [{"name": "client", "image": "none"}]}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"stranger-{case.namespace}", "labels": labels}}
    post(case.cluster, "/api/v1/namespaces/default/pods", pod | {"spec": spec})
    case.deploy(replicas=2)


def _deadlock(case: Case) -> None:
    case.nodes(2)
    case.deploy(replicas=2)
    case.settle()
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    case.deploy(args=("say", "other"), deployment={"strategy": strategy})


def _resources(case: Case) -> None:
    """Use a node of 64 cores, 20 of which are taken."""
    (name,) = case.nodes(1, allocatable={"cpu": "64"})
    container = {"name": "c", "image": "none", "resources": {"requests": {"cpu": "20"}}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "database"}}
    case.put(pod | {"spec": {"nodeName": name, "containers": [container]}})
    case.deploy(client_cpu="60")


def _autoscaled(reason: str, message: str) -> Any:
    def play(case: Case) -> None:
        case.nodes(1)
        case.deploy(replicas=2)
        case.wait(lambda: bool(_pending(case)), "a pod without a node")
        case.event(_pending(case)[0], reason, message, "cluster-autoscaler")

    return play


def _pending(case: Case) -> list[Manifest]:
    return [pod for pod in case.pods() if objects.condition(pod, "PodScheduled").get("status") == "False"]


def _expected(case: Case) -> None:
    case.nodes(1)
    case.deploy(replicas=2)


def _cordon(case: Case) -> None:
    case.nodes(2, cordoned=True)
    case.deploy()


def _not_ready(case: Case) -> None:
    case.nodes(2, conditions={"Ready": "False"})
    case.deploy()


def _lost(case: Case) -> None:
    """Lose the node while a client runs on it."""
    (name,) = case.nodes(1)
    case.deploy()
    case.settle()
    assert case.fleet
    case.fleet.not_ready(name)


def _kept(case: Case) -> None:
    """Keep the old client by a finalizer, and with it the only node."""
    case.nodes(1)
    finalizers = {"finalizers": ["tests.example/kept"]}
    case.deploy(template=finalizers)
    case.settle()
    case.deploy(args=("say", "other"), template=finalizers)


def _preempted(case: Case) -> None:
    """Somebody more important takes the node."""
    case.nodes(1, allocatable={"cpu": "8"})
    case.deploy(client_cpu="6")
    case.settle()
    priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 1000000}
    path = "/apis/scheduling.k8s.io/v1/priorityclasses"
    post(case.cluster, path, priority | {"metadata": {"name": case.namespace}})
    template = case.cluster.find("Deployment", case.namespace)[0]["spec"]["template"]["spec"]
    container = {"name": "c", "image": "none", "resources": {"requests": {"cpu": "6"}}}
    spec: Manifest = {"priorityClassName": case.namespace, "containers": [container]}
    spec |= {"tolerations": template["tolerations"], "affinity": {"nodeAffinity": template["affinity"]["nodeAffinity"]}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "important"}, "spec": spec}

    def admitted() -> bool:
        """Admission hears of a new class a moment later."""
        try:
            post(case.cluster, f"/api/v1/namespaces/{case.namespace}/pods", pod)
        except ObjectRejected:
            return False
        return True

    case.wait(admitted, "its priority is known")


def _spot(case: Case) -> None:
    """Take the node back as a provider does: a taint first, which ends the pods there."""
    (name,) = case.nodes(1)
    case.deploy()
    case.settle()
    assert case.fleet
    case.fleet.taint(name, f"{case.fleet.key_value}:NoSchedule", "example.com/spot-termination=now:NoExecute")


def _deadline(case: Case) -> None:
    """Bind a pod to a node on which it never gets Ready, without any event."""
    case.nodes(1)
    case.deploy(progress_deadline=10, template={"annotations": {"kwok.x-k8s.io/status": "custom"}})
    case.wait(lambda: any(map(objects.node_name, case.pods())), "a pod with a node")
    now = objects.created(case.pods()[0])
    running = {"name": "client", "image": "x", "imageID": "x", "restartCount": 0, "ready": False, "started": True}
    running |= {"state": {"running": {"startedAt": now}}}
    conditions = [{"type": "Ready", "status": "False", "lastTransitionTime": now}]
    status = {"phase": "Running", "startTime": now, "conditions": conditions, "containerStatuses": [running]}
    case.patch("pods", f"{objects.name(case.pods()[0])}/status", {"status": status})


def _deadline_with_cause(case: Case) -> None:
    host = case.scene.world["WORLD_ANONYMOUS_REGISTRY_ALIAS"].partition(":")[0]
    case.deploy(f"{host}:9/prover:client-abc", progress_deadline=40)


def _unscheduled(case: Case) -> None:
    case.deploy(pod={"schedulerName": "nobody"})


API = {
    "quota_none": Row("QUOTA", FATAL, _none, ("exceeded quota", "not even one pod", "(1 of 1 pods)")),
    "quota_fewer": Row("QUOTA", FATAL, _fewer, ("pods=1 is asked for, pods=1 is used, pods=1 is the limit",)),
    "quota_throttled": Row("QUOTA", TRANSIENT, _throttled, ("older pods still count",)),
    "quota_demands": Row("LIMITRANGE", FATAL, _demanding_quota, ("must specify limits.memory",)),
    "limit_range": Row("LIMITRANGE", FATAL, _too_large, ("maximum memory",)),
    "podsecurity": Row("PODSECURITY", FATAL, _restricted, ("runAsNonRoot != true", "pod violate it")),
    "admission_denied_policy": Row("ADMISSION_DENIED", FATAL, _policy, ("need a cost centre",)),
    "admission_denied_webhook": Row(
        "ADMISSION_DENIED", FATAL, lambda case: _webhook(case, case.scene.webhook), ("cost.example.com", "not today")
    ),
    "admission_down": Row(
        "ADMISSION_DOWN",
        TRANSIENT,
        lambda case: _webhook(case, "https://127.0.0.1:9/"),
        ("cost.example.com", "refused"),
    ),
    "service_account": Row("STUCK_CREATING", TRANSIENT, _no_account, ("absent",)),
    "no_label": Row("SCHED_NO_LABEL", HUMAN, _no_label, ("none of", "kubectl label node")),
    "taint": Row("SCHED_TAINT", HUMAN, _taint, ("2 of 2 nodes for clients", "dedicated=other:NoSchedule")),
    "antiaffinity": Row(
        "SCHED_ANTIAFFINITY_FULL",
        HUMAN,
        _full,
        (
            "2 prove-clients hold the 2 nodes",
            "more nodes needed: 1",
            "default/stranger-",
            "(stage old)",
            "(1 of 2 pods)",
        ),
    ),
    "surge_deadlock": Row("SCHED_SURGE_DEADLOCK", FATAL, _deadlock, ("maxUnavailable 0", "Still serving: 2/2")),
    "resources": Row("SCHED_RESOURCES", HUMAN, _resources, ("asks for 60 cpu", "44 free of 64", "database (20)")),
    "autoscale_coming": Row(
        "SCHED_AUTOSCALE",
        TRANSIENT,
        _autoscaled("TriggeredScaleUp", "pod triggered scale-up: [{provers 1->2 (max: 5)}]"),
        ("an autoscaler adds a node", "1->2"),
    ),
    "autoscale_refused": Row(
        "SCHED_AUTOSCALE",
        HUMAN,
        _autoscaled("NotTriggerScaleUp", "pod didn't trigger scale-up: 1 max node group size reached"),
        ("no autoscaler will add", "max node group size reached"),
    ),
    "autoscale_expected": Row("SCHED_AUTOSCALE", TRANSIENT, _expected, ("waiting for an autoscaler",), autoscale=True),
    "cordon": Row("SCHED_CORDON", TRANSIENT, _cordon, ("2 of 2 nodes for clients are cordoned",)),
    "node_not_ready": Row("NODE_NOT_READY", TRANSIENT, _not_ready, ("2 of 2 nodes for clients are not ready",)),
    "node_lost": Row("NODE_NOT_READY", TRANSIENT, _lost, ("not ready",)),
    "terminating_stuck": Row(
        "TERMINATING_STUCK", HUMAN, _kept, ("finalizers: tests.example/kept", "keeps node"), seconds=180
    ),
    "preempted": Row("PREEMPTED", TRANSIENT, _preempted, ("higher priority", "its replacement")),
    "spot": Row("SPOT", TRANSIENT, _spot, ("lost its node",)),
    "deadline": Row("DEADLINE", HUMAN, _deadline, ("0 of 1 pods are ready, 1 exist",)),
    "deadline_with_cause": Row(
        "IMAGE_REGISTRY_DOWN", HUMAN, _deadline_with_cause, ("the progress deadline has passed", "refused")
    ),
    "no_scheduler": Row("CONTROL_PLANE_DOWN", TRANSIENT, _unscheduled, ("no scheduler has looked",)),
}
