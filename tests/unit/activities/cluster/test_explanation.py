"""What explains a snapshot is read when it is called for, no more of it is kept, and a missing right is no failure."""

import base64
import copy
import json

import pytest

from activities.cluster.explanation import Registration, enrich
from domain.kubernetes import Manifest, Snapshot
from tests.support.kubernetes import objects
from tests.support.kubernetes.activities import NS, make_spec
from tests.support.kubernetes.fake_cluster import FakeCluster

DENIED = 'failed to pull and unpack image "x": failed to authorize: 401 Unauthorized'


class Counting(FakeCluster):
    """A cluster that remembers which kinds were read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: list[str] = []

    def logs(self, pod: str, namespace: str, *, previous: bool = False, lines: int = 20) -> str:
        """The same, remembered."""
        self.reads.append("log")
        return super().logs(pod, namespace, previous=previous, lines=lines)

    def _check(self, verb: str, kind: str) -> None:
        self.reads.append(kind)
        super()._check(verb, kind)


def snapshot(*pods: Manifest, events: list[Manifest] | None = None, ready: int = 0, **more: Manifest) -> Snapshot:
    """These pods of a Deployment that is not done."""
    owner = objects.deployment(len(pods), readyReplicas=ready, availableReplicas=ready)
    sets = [more.get("replica_set") or objects.replica_set()]
    return Snapshot(now=objects.NOW, deployment=owner, replica_sets=sets, pods=list(pods), events=events or [])


@pytest.fixture
def cluster() -> Counting:
    """One that holds everything that could be asked for."""
    found = Counting()
    found.put("Node", "n1", labels={"fluidexnode": "computation"}, status={"allocatable": {"cpu": "8"}})
    found.put("Pod", "other", "elsewhere", spec={"nodeName": "n1", "containers": []}, status={"phase": "Running"})
    found.put("Pod", "far", "elsewhere", spec={"nodeName": "n9", "containers": []}, status={"phase": "Running"})
    found.put("ResourceQuota", "q", NS, status={"hard": {"pods": "1"}})
    login = {"auth": "c2VjcmV0", "username": "u", "password": "hunter2"}
    config = base64.b64encode(json.dumps({"auths": {"a.example": login, "b.example": login}}).encode()).decode()
    found.put("Secret", "img-cred", NS, data={".dockerconfigjson": config})
    found.put("Service", "cluster-coordinator", NS, spec={"ports": [{"name": "http"}]})
    found.put("EndpointSlice", "cluster-coordinator", NS, ports=[{"name": "http"}])
    return found


def test_a_healthy_rollout_on_its_way_reads_next_to_nothing(cluster: Counting) -> None:
    """Pods that are being made ask for no explanation."""
    seen = snapshot(objects.waiting("p1"), objects.waiting("p2"))
    assert enrich(cluster, make_spec(), seen) == seen
    assert cluster.reads == []


def test_pods_without_a_node_ask_for_nodes_and_who_is_on_them(cluster: Counting) -> None:
    """Pods elsewhere are not kept."""
    found = enrich(
        cluster, make_spec(), snapshot(objects.unscheduled("p1", "0/1 nodes are available: 1 Insufficient cpu."))
    )
    assert [node["metadata"]["name"] for node in found.nodes or []] == ["n1"]
    assert [pod["metadata"]["name"] for pod in found.neighbours or []] == ["other"]
    assert (found.quotas, found.pull_hosts, found.slices, found.logs) == (None, None, None, {})


def test_only_the_hosts_of_a_secret_are_kept(cluster: Counting) -> None:
    """Neither user nor password leaves the reading."""
    pod = objects.waiting("p1", "ErrImagePull", DENIED)
    found = enrich(cluster, make_spec(), snapshot(pod))
    assert found.pull_hosts == ["a.example", "b.example"]
    assert not {"hunter2", "c2VjcmV0"} & set(str(found.model_dump()).replace("'", " ").split())


@pytest.mark.parametrize("content", ["", "bm9uc2Vuc2U=", "W10="])
def test_a_secret_without_a_docker_configuration_is_as_good_as_none(cluster: Counting, content: str) -> None:
    """Absent, nonsense, or another kind of JSON."""
    cluster.put("Secret", "img-cred", NS, data={".dockerconfigjson": content})
    assert enrich(cluster, make_spec(), snapshot(objects.waiting("p1", "ErrImagePull", DENIED))).pull_hosts == []


def test_a_crash_asks_for_the_last_words_and_keeps_their_end(cluster: Counting) -> None:
    """Of two pods at most, and twelve thousand characters of each."""
    pods = [objects.crashed(f"p{n}", restarts=2) for n in range(4)]
    cluster.said = {f"p{n}": "x" * 19_000 + "the end" for n in range(4)}
    found = enrich(cluster, make_spec(), snapshot(*pods))
    assert set(found.logs) == {"p0", "p1"}
    assert (len(found.logs["p0"]), found.logs["p0"][-7:]) == (12_000, "the end")


def test_a_refused_pod_asks_for_the_quotas(cluster: Counting) -> None:
    """Their numbers say whether it is still true."""
    message = 'pods "p" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1'
    condition = {"type": "ReplicaFailure", "status": "True", "message": message, "lastTransitionTime": objects.ago(5)}
    refused = objects.replica_set() | {"status": {"conditions": [condition]}}
    found = enrich(cluster, make_spec(), snapshot(replica_set=refused))
    assert [quota["metadata"]["name"] for quota in found.quotas or []] == ["q"]


def test_clients_that_run_ask_for_their_way_to_the_coordinator(cluster: Counting) -> None:
    """Service, slice and what clients say; with COORDINATOR_SERV, as the Deployment has it, only the last."""
    cluster.said = {"p1": "polling task"}
    found = enrich(cluster, make_spec(), snapshot(objects.pod("p1"), ready=1))
    assert ([one["metadata"]["name"] for one in found.slices or []], found.logs) == (
        ["cluster-coordinator"],
        {"p1": "polling task"},
    )
    override = enrich(cluster, make_spec(), overridden(snapshot(objects.pod("p1"), ready=1)))
    assert (override.slices, override.service, override.logs) == (None, None, {"p1": "polling task"})


def overridden(seen: Snapshot) -> Snapshot:
    """The same with clients that use http://x and ask for another circuit."""
    container = {"name": "client", "env": [{"name": "CLIENT_UPSTREAM", "value": "http://x"}]}
    deployment = copy.deepcopy(seen.deployment or {})
    deployment["spec"]["template"]["spec"]["containers"] = [container]
    return seen.model_copy(update={"deployment": deployment})


@pytest.mark.parametrize(
    ("log", "tried"), [("INFO polling task", False), ("ERROR poll task error: x", True), ("", True)]
)
def test_the_worker_tries_the_coordinator_where_clients_do_not_reach_it(
    cluster: Counting, log: str, tried: bool
) -> None:
    """At the address that clients use; a client that polls has done it already."""
    cluster.put(
        "EndpointSlice",
        "cluster-coordinator",
        NS,
        ports=[{"name": "http", "port": 7000}],
        endpoints=[{"addresses": ["10.0.0.9"]}],
    )
    cluster.said = {"p1": log}
    asked: list[tuple[str, int]] = []

    def reach(host: str, port: int) -> str:
        asked.append((host, port))
        return "loopback"

    seen = snapshot(objects.pod("p1"), ready=1)
    found = enrich(cluster, make_spec(), seen, reach)
    assert (asked, found.coordinator) == (([("10.0.0.9", 7000)], "loopback") if tried else ([], ""))
    enrich(cluster, make_spec(), overridden(seen), reach)
    assert asked[1 if tried else 0 :] == ([("x", 80)] if tried else [])


def test_the_circuit_is_that_of_the_live_configuration(cluster: Counting) -> None:
    """Whoever asks may have other settings; the struct schema has it in the file alone."""
    seen = snapshot(objects.pod("p1"), ready=1)
    assert enrich(cluster, make_spec(), seen).circuit == ""
    cluster.put("ConfigMap", "cluster-conf", NS, data={"client": "circuit:\n  name: block_2\n"})
    assert enrich(cluster, make_spec(), seen).circuit == "block_2"


def test_what_clients_say_is_read_once_a_minute(cluster: Counting) -> None:
    """However often somebody looks; in between it is what was read last."""
    now = [0.0]
    cluster.said = {"p1": "ERROR poll task error"}
    registration = Registration(cluster, None, lambda: now[0])
    seen = snapshot(objects.pod("p1"), ready=1)
    for now[0] in (0.0, 1.0, 59.0, 60.0, 61.0):
        assert registration.add(make_spec(), seen).logs == {"p1": "ERROR poll task error"}
    assert cluster.reads.count("log") == 2
    registration.add(make_spec(), seen, fresh=True)
    assert cluster.reads.count("log") == 3


def test_missing_rights_leave_parts_out(cluster: Counting) -> None:
    """Each by itself."""
    cluster.forbidden = {("list everywhere", "Pod"), ("get", "Secret")}
    waits = enrich(
        cluster, make_spec(), snapshot(objects.unscheduled("p1", "0/1 nodes are available: 1 Insufficient cpu."))
    )
    assert (len(waits.nodes or []), waits.neighbours) == (1, None)
    assert enrich(cluster, make_spec(), snapshot(objects.waiting("p1", "ErrImagePull", DENIED))).pull_hosts is None


def test_nothing_deployed_asks_for_nothing(cluster: Counting) -> None:
    """There is nothing to explain."""
    assert enrich(cluster, make_spec(), Snapshot()) == Snapshot()
    assert cluster.reads == []
