"""What is looked at before clients are placed, and what becomes of it when rights lack."""

from typing import Any

import pytest

from activities.cluster import capacity
from domain import names
from domain.errors import Forbidden
from domain.messages.nodes import NodesReport, NodesRequest
from tests.support.kubernetes.activities import NS, make_spec
from tests.support.kubernetes.fake_cluster import FakeCluster

LABEL = {"fluidexnode": "computation"}
TAINT = {"key": "dedicated", "value": "computation", "effect": "NoSchedule"}
PROVER = {"role": "cluster-prover", "app": "client"}
READY = {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"cpu": "8", "pods": "9"}}


@pytest.fixture
def cluster() -> FakeCluster:
    """Two good nodes; ours runs on the first, another fleet's client on the second."""
    made = FakeCluster()
    for name in ("n1", "n2"):
        made.put("Node", name, labels=LABEL, spec={"taints": [TAINT]}, status=READY | {"images": ["large"] * 50})
    made.put("Pod", "ours", NS, labels=PROVER, spec={"nodeName": "n1"})
    made.put("Pod", "theirs", "other", labels=PROVER, spec={"nodeName": "n2"})
    return made


def look(cluster: FakeCluster, said: list[str] | None = None, **request: Any) -> NodesReport:
    """The verdicts for two clients."""
    beats = [] if said is None else said
    return capacity.look(cluster, NodesRequest(spec=make_spec(), replicas=2, **request), beats.append)


def test_everything_is_looked_at(cluster: FakeCluster) -> None:
    """Nodes, pods of all namespaces, quotas; and it is said how many."""
    cluster.put("ResourceQuota", "team", NS, spec={"hard": {"pods": "0"}})
    said: list[str] = []
    report = look(cluster, said)
    assert [(node.name, node.ours, node.booked_by) for node in report.nodes] == [
        ("n1", "ours", ""),
        ("n2", "", "other/theirs"),
    ]
    assert (report.usable, report.possible, report.warnings) == (1, 0, [])
    assert said == ["2 nodes, 2 pods"]


def test_without_the_right_to_all_pods_our_own_are_known(cluster: FakeCluster) -> None:
    """R2: the rest is unknown with the rule that would help, and no failure."""
    cluster.forbidden = {("list everywhere", "Pod"), ("list", "ResourceQuota"), ("list", "LimitRange")}
    report = look(cluster)
    assert [node.ours for node in report.nodes] == ["ours", ""]
    assert (report.usable, len(report.warnings), report.nodes[1].unknown != []) == (2, 3, True)


def test_without_any_pods_everything_else_is_judged(cluster: FakeCluster) -> None:
    """Also the Deployment may be out of sight."""
    cluster.forbidden = {("list", "Pod"), ("get", "Deployment")}
    assert look(cluster).usable == 2


def test_only_nodes_must_be_readable(cluster: FakeCluster) -> None:
    """Without them there is nothing to say."""
    cluster.forbidden = {("list", "Node")}
    with pytest.raises(Forbidden):
        look(cluster)


def test_an_adopted_deployment_says_which_pods_are_ours(cluster: FakeCluster) -> None:
    """Its selector was there before our settings."""
    cluster.put("Deployment", names.DEPLOYMENT, NS, spec={"selector": {"matchLabels": {"team": "a"}}})
    assert look(cluster).nodes[0].booked_by == f"{NS}/ours"


def test_clients_that_stay_need_no_new_place(cluster: FakeCluster) -> None:
    """As when only their number changes."""
    cluster.objects["Node", "", "n1"]["spec"]["unschedulable"] = True
    assert (look(cluster).usable, look(cluster, keep=True).usable) == (0, 1)
