"""With nodes, neighbours and logs at hand a finding names them, and stale words of the scheduler do not count."""

from typing import Any

import pytest

from domain.diagnosis import Diagnosis, Severity
from domain.kubernetes import Manifest, Snapshot
from planning.diagnosis import rollout_status
from planning.diagnosis.findings import findings as all_findings
from tests.support.kubernetes import objects

HUMAN, TRANSIENT, FATAL = Severity.NEEDS_HUMAN, Severity.TRANSIENT, Severity.FATAL
FULL = (
    "0/4 nodes are available: 2 node(s) didn't match Pod's node affinity/selector, "
    "2 node(s) didn't match pod anti-affinity rules."
)
SMALL = "0/2 nodes are available: 2 Insufficient cpu."
CORDONED = "0/9 nodes are available: 5 node(s) were unschedulable, 4 node(s) didn't match Pod's node affinity/selector."


def client(name: str = "p1", message: str = "", *, cpu: str = "", age: float = 70) -> Manifest:
    """Return a pod without a node that asks for label, toleration, distance and perhaps cores, as ours do."""
    pod = objects.unscheduled(name, message, age=age)
    label = {"matchExpressions": [{"key": "fluidexnode", "operator": "In", "values": ["computation"]}]}
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    pod["spec"] = pod["spec"] | {
        "affinity": {
            "nodeAffinity": {required: {"nodeSelectorTerms": [label]}},
            "podAntiAffinity": {required: [{"topologyKey": "kubernetes.io/hostname"}]},
        },
        "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "computation"}],
    }
    resources = {"resources": {"requests": {"cpu": cpu}}} if cpu else {}
    pod["spec"]["containers"] = [pod["spec"]["containers"][0] | resources]
    return pod


def node(name: str, *, cpu: str = "64", ready: str = "True", cordoned: bool = False, taint: str = "") -> Manifest:
    """Return a node with the clients' label."""
    taints = [{"key": taint, "value": "x", "effect": "NoSchedule"}] if taint else []
    return {
        "metadata": {"name": name, "labels": {"fluidexnode": "computation"}},
        "spec": {"taints": taints} | ({"unschedulable": True} if cordoned else {}),
        "status": {"allocatable": {"cpu": cpu}, "conditions": [{"type": "Ready", "status": ready}]},
    }


def neighbour(name: str, on: str, *, cpu: str = "", prover: bool = True) -> Manifest:
    """Return a pod of another namespace."""
    labels = {"role": "cluster-prover", "stage": "old"} if prover else {}
    resources = {"resources": {"requests": {"cpu": cpu}}} if cpu else {}
    metadata = {"name": name, "namespace": "other", "uid": name, "labels": labels}
    return {"metadata": metadata, "spec": {"nodeName": on, "containers": [resources]}, "status": {"phase": "Running"}}


def findings(*pods: Manifest, autoscale: bool = False, **more: Any) -> list[Diagnosis]:
    """All findings about these pods."""
    parts = {
        "now": objects.NOW,
        "deployment": objects.deployment(len(pods), availableReplicas=0),
        "replica_sets": [objects.replica_set(), objects.old_replica_set()],
        "pods": list(pods),
    }
    snapshot = Snapshot(**(parts | more))
    return all_findings(snapshot, app="client", stage="abc", image=objects.IMAGE, autoscale=autoscale)


def first(*pods: Manifest, **more: Any) -> Diagnosis:
    """Return the strongest finding, which must exist."""
    return findings(*pods, **more)[0]


def test_full_nodes_are_named_with_whose_clients_hold_them() -> None:
    """Pod, namespace and stage of each, and how many nodes are needed."""
    held = [neighbour("a", "n1"), neighbour("b", "n2")]
    found = first(client(message=FULL), client("p2", FULL), nodes=[node("n1"), node("n2")], neighbours=held)
    assert (found.code, found.severity, found.serving) == ("SCHED_ANTIAFFINITY_FULL", HUMAN, "0/2")
    assert found.what == "2 prove-clients hold the 2 nodes for clients; more nodes needed: 2"
    assert "other/a (stage old) on n1, other/b (stage old) on n2" in found.because
    assert found.since == objects.ago(70)


def test_a_free_node_takes_the_schedulers_last_words_back() -> None:
    """It has not tried again yet: nobody has to act."""
    found = first(client(message=FULL), nodes=[node("n1"), node("n2")], neighbours=[neighbour("a", "n1")])
    assert (found.code, found.severity) == ("SCHED_ANTIAFFINITY_FULL", TRANSIENT)


def test_a_node_that_looks_free_for_long_is_not() -> None:
    """By then the scheduler has tried again: something that we do not see keeps it away."""
    found = first(client(message=FULL, age=340), nodes=[node("n1"), node("n2")], neighbours=[neighbour("a", "n1")])
    assert (found.code, found.severity) == ("SCHED_ANTIAFFINITY_FULL", HUMAN)


def test_of_full_nodes_and_a_lost_one_the_lost_one_is_the_cause() -> None:
    """The others are full as they should be; with more clients waiting than lost nodes it would not suffice."""
    around = {"nodes": [node("n1"), node("n2", ready="Unknown")], "neighbours": [neighbour("a", "n1")]}
    assert first(client(message=FULL), **around).code == "NODE_NOT_READY"
    assert first(client(message=FULL), client("p2", FULL), **around).code == "SCHED_ANTIAFFINITY_FULL"


def test_without_the_right_to_see_others_a_free_node_may_not_be_free() -> None:
    """So the scheduler is believed."""
    assert first(client(message=FULL), nodes=[node("n1")]).severity is HUMAN


def test_cordoned_nodes_of_others_are_not_the_cause() -> None:
    """The scheduler counts every node; no node with our label is cordoned, for there is none."""
    found = first(client(message=CORDONED), nodes=[], neighbours=[])
    assert (found.code, found.what) == ("SCHED_NO_LABEL", "none of 9 nodes carry fluidexnode=computation")
    assert "kubectl label node NODE fluidexnode=computation" in found.do


@pytest.mark.parametrize(
    ("nodes", "code", "what"),
    [
        ([node("n1", cordoned=True), node("n2")], "SCHED_CORDON", "1 of 2 nodes for clients are cordoned: n1"),
        ([node("n1", ready="False"), node("n2")], "NODE_NOT_READY", "1 of 2 nodes for clients are not ready: n1"),
        ([node("n1", taint="gpu"), node("n2")], "SCHED_TAINT", "tolerate: n1 (gpu=x:NoSchedule)"),
    ],
)
def test_the_nodes_that_are_shut_out_are_named(nodes: list[Manifest], code: str, what: str) -> None:
    """Beside one that is taken."""
    messages = {
        "SCHED_CORDON": "0/2 nodes are available: 1 node(s) were unschedulable, 1 node(s) didn't match pod x.",
        "NODE_NOT_READY": "0/2 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }.",
        "SCHED_TAINT": "0/2 nodes are available: 1 node(s) had untolerated taint {gpu: x}.",
    }
    found = first(client(message=messages[code]), nodes=nodes, neighbours=[neighbour("a", "n2")])
    assert found.code == code
    assert what in found.what
    assert "the other 1 are taken" in found.because


def test_too_little_room_says_what_the_best_node_has_left_and_who_has_the_rest() -> None:
    """Numbers of the resource that lacks on most nodes."""
    nodes = [node("n1", cpu="64"), node("n2", cpu="32")]
    takers = [neighbour("db", "n1", cpu="12", prover=False), neighbour("web", "n1", cpu="4", prover=False)]
    found = first(client(message=SMALL, cpu="60"), nodes=nodes, neighbours=takers)
    assert found.what == "a client asks for 60 cpu; the best node n1 has 48 free of 64"
    assert found.because == "the rest is taken by other/db (12), other/web (4)"
    empty = first(client(message=SMALL, cpu="100"), nodes=nodes, neighbours=[])
    assert empty.because == "it is too small even when empty"


def autoscaler(pod: Manifest, reason: str, age: float) -> Manifest:
    """Return an autoscaler's event on a pod."""
    return objects.event(pod, reason, "because") | {
        "firstTimestamp": objects.ago(age),
        "lastTimestamp": objects.ago(age),
    }


@pytest.mark.parametrize(
    ("reason", "age", "expects", "severity", "what"),
    [
        ("TriggeredScaleUp", 600, False, TRANSIENT, "an autoscaler adds a node"),
        ("TriggeredScaleUp", 901, False, HUMAN, "none has come"),
        ("NotTriggerScaleUp", 61, False, HUMAN, "no autoscaler will add"),
        ("NotTriggerScaleUp", 61, True, TRANSIENT, "no autoscaler will add"),
        ("", 0, True, TRANSIENT, "has not said anything yet"),
    ],
)
def test_an_autoscaler_is_waited_for(reason: str, age: float, expects: bool, severity: Severity, what: str) -> None:
    """As long as it takes for a node to come; who did not expect one is told that none will."""
    pod = client(message=FULL, age=5000)
    events = [autoscaler(pod, reason, age)] if reason else []
    found = first(pod, events=events, autoscale=expects)
    assert (found.code, found.severity) == ("SCHED_AUTOSCALE", severity)
    assert what in found.what


def test_the_pull_secret_of_another_host_is_named() -> None:
    """Its hosts, and the image's."""
    pod = objects.waiting("p1", "ErrImagePull")
    pod["spec"] = pod["spec"] | {"imagePullSecrets": [{"name": "img-cred"}]}
    events = [objects.event(pod, "Failed", 'Failed to pull image "x": 401 Unauthorized', 2)]
    hosts = {
        ("a.example",): "the Secret img-cred has credentials for a.example, the image comes from pull.example.com",
        ("https://pull.example.com/v1/",): "the registry does not accept them",
        (): "there is no Secret img-cred with credentials for pull.example.com",
    }
    for keys, because in hosts.items():
        assert because in first(pod, events=events, pull_hosts=list(keys)).because
    pod["spec"]["imagePullSecrets"] = []
    assert "the pods do not use" in first(pod, events=events, pull_hosts=["pull.example.com"]).because


def test_a_slow_pull_says_how_far_it_is() -> None:
    """Nodes that are done, how long it took there, and the size."""
    done, slow = objects.pod("p1"), objects.waiting("p2", age=90)
    done["status"]["containerStatuses"][0]["imageID"] = "sha256:1"
    pulled = 'Successfully pulled image "x" in 1m2.5s (1m2.5s including waiting). Image size: 7200000000 bytes.'
    events = [objects.event(done, "Pulled", pulled), objects.event(slow, "Pulling", "Pulling image")]
    found = first(done, slow, events=events)
    assert (found.code, found.severity) == ("IMAGE_SLOW", Severity.PROGRESS)
    assert found.what.endswith("1 of 2 nodes have it, it took up to 62 s there for 7.2 GB")


def test_memory_is_told_beside_limit_and_node() -> None:
    """The client's limit, and what the node could give."""
    pod = objects.crashed("p1", restarts=2, reason="OOMKilled", code=137)
    pod["spec"] = pod["spec"] | {"containers": [{"name": "client", "resources": {"limits": {"memory": "4Gi"}}}]}
    home = node("node-p1")
    home["status"]["allocatable"] = {"memory": "64Gi"}
    found = first(pod, nodes=[home])
    assert (found.code, found.severity) == ("OOM", FATAL)
    assert "its limit is 4Gi, node node-p1 has 64Gi" in found.because


GONE = "prover-cli-t-new-abcde"


@pytest.mark.parametrize(
    ("reason", "code"), [("Preempted", "PREEMPTED"), ("Evicted", "EVICTED"), ("TaintManagerEviction", "SPOT")]
)
def test_a_client_that_was_taken_away_explains_why_its_replacement_waits(reason: str, code: str) -> None:
    """Though the pod is gone: by the event about it, for a quarter of an hour."""
    event = {"reason": reason, "message": "why", "involvedObject": {"kind": "Pod", "name": GONE, "uid": "gone"}}
    recent = event | {"lastTimestamp": objects.ago(20)}
    found = first(client(message=SMALL, age=5), events=[recent])
    assert (found.code, found.severity, found.on) == (code, TRANSIENT, f"pod {GONE}")
    assert "its replacement: p1 Pending" in found.because
    assert first(client(message=SMALL, age=5), events=[event | {"lastTimestamp": objects.ago(999)}]).code != code
    assert findings(objects.pod("p1"), events=[recent]) == []


def test_a_node_that_does_not_answer_speaks_for_the_pods_on_it() -> None:
    """The pod's own status is stale then; that of a pod that crashed before, too."""
    pod = objects.crashed("p1", restarts=9)
    lost = node("node-p1", ready="Unknown")
    lost["status"]["conditions"][0] |= {"lastTransitionTime": objects.ago(60), "reason": "NodeStatusUnknown"}
    found = first(pod, nodes=[lost])
    assert (found.code, found.severity) == ("NODE_NOT_READY", TRANSIENT)
    lost["status"]["conditions"][0]["lastTransitionTime"] = objects.ago(301)
    assert first(pod, nodes=[lost]).severity is HUMAN


SLICE = {"endpoints": [{"addresses": ["10.0.0.9"], "conditions": {"ready": True}}], "ports": [{"name": "http"}]}
SERVICE = {"spec": {"ports": [{"name": "http"}]}}
REFUSED = "2026-01-02T03:04:05Z ERROR poll task error: tcp connect error: Connection refused (os error 111)"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"slices": [SLICE], "service": SERVICE}, None),
        ({"slices": []}, "NOT_REGISTERED"),
        ({"slices": [SLICE | {"ports": [{"name": "grpc"}]}]}, "NOT_REGISTERED"),
        ({"slices": [SLICE], "service": {"spec": {"ports": [{"name": "grpc"}]}}}, "NOT_REGISTERED"),
        ({"slices": [SLICE | {"endpoints": []}]}, "NOT_REGISTERED"),
        ({"logs": {"p1": "ERROR dns error: failed to lookup address information"}}, "NOT_REGISTERED"),
        ({"logs": {"p1": REFUSED}}, "COORDINATOR_DOWN"),
        ({"logs": {"p1": "ERROR poll: Server temporary unavaliable"}}, "COORDINATOR_BROKEN"),
        ({"logs": {"p1": f"{REFUSED}\nINFO polling task"}}, None),  # it answers again
        ({"coordinator": "refused"}, "COORDINATOR_DOWN"),
        ({"coordinator": "ok"}, None),
        ({}, None),
    ],
)
def test_clients_that_run_may_not_reach_their_coordinator(more: dict[str, Any], code: str | None) -> None:
    """The rollout is complete all the same; what is wrong is the way, or its other end."""
    snapshot = Snapshot(
        now=objects.NOW,
        deployment=objects.deployment(1),
        replica_sets=[objects.replica_set()],
        pods=[objects.pod("p1")],
        **more,
    )
    seen = rollout_status.observe(snapshot, app="client", stage="abc", image=objects.IMAGE)
    assert (seen.complete, seen.diagnosis.code if seen.diagnosis else None) == (True, code)


def test_all_findings_are_told_the_gravest_first() -> None:
    """With who still serves, in each."""
    pods = [objects.crashed("p1", restarts=5), client("p2", FULL), objects.pod("p3"), objects.waiting("p4", age=90)]
    found = findings(*pods, events=[objects.event(pods[3], "Pulling", "Pulling image")])
    assert [one.code for one in found] == ["CRASH_LOOP", "SCHED_ANTIAFFINITY_FULL", "IMAGE_SLOW"]
    assert {one.serving for one in found} == {"1/4"}
