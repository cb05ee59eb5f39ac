"""Nodes are judged before anything is applied, with numbers and the command that helps."""

from decimal import Decimal
from typing import Any

import pytest

import planning.capacity.verdict
from domain.diagnosis import Severity
from domain.kubernetes import Manifest
from domain.messages.nodes import NodesReport
from planning.capacity.occupancy import Occupancy
from planning.capacity.verdict import ClusterCapacity
from planning.text import quantity
from tests.support.capacity.nodes import TAINT, node, prover, spec


def judge(found: list[Manifest], replicas: int, pods: list[Manifest] | None = None, **changes: Any) -> NodesReport:
    """Judge for the namespace `fleet`."""
    around = ClusterCapacity(found, Occupancy.of(pods or [], "fleet", {"app": "client"}))
    return planning.capacity.verdict.capacity_report(around, spec(**changes), replicas)


NOT_READY = {
    "conditions": [
        {
            "type": "Ready",
            "status": "Unknown",
            "reason": "NodeStatusUnknown",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }
    ]
}
DISK = {"conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "True"}]}
UNUSABLE = [
    (node("n", {}), "label fluidexnode=computation is missing", "SCHED_NO_LABEL"),
    (node("n", {"fluidexnode": "web"}), "label fluidexnode is 'web', not 'computation'", "SCHED_NO_LABEL"),
    (node("n", None, TAINT | {"value": "db"}), "taint dedicated=db:NoSchedule is not tolerated", "SCHED_TAINT"),
    (node("n", None, {"key": "gpu", "effect": "NoExecute"}), "taint gpu:NoExecute is not tolerated", "SCHED_TAINT"),
    (node("n", spec={"unschedulable": True}), "cordoned", "SCHED_CORDON"),
    (node("n", status=NOT_READY), "not ready since 2026-01-02T03:04:05Z (NodeStatusUnknown)", "NODE_NOT_READY"),
    (node("n", status=DISK), "DiskPressure", "NODE_NOT_READY"),
]


@pytest.mark.parametrize(("found", "reason", "code"), UNUSABLE)
def test_each_reason_is_named(found: Manifest, reason: str, code: str) -> None:
    """The node's verdict says what is wrong with it, and the report is refused by that cause."""
    report = judge([found], 1)
    assert [(verdict.usable, verdict.reasons) for verdict in report.nodes] == [(False, [reason])]
    assert report.diagnosis is not None
    assert (report.diagnosis.code, report.diagnosis.severity) == (code, Severity.REFUSED)
    assert "0 of 1 nodes are usable, 1 clients are wanted" in report.diagnosis.what


@pytest.mark.parametrize(
    "found",
    [
        node("n"),
        node("n", None, TAINT),
        node("n", None, TAINT | {"effect": "NoExecute"}),
        node("n", None, {"key": "soft", "effect": "PreferNoSchedule"}),
    ],
)
def test_usable_nodes(found: Manifest) -> None:
    """Our taint is tolerated with every effect; a preference keeps nobody away."""
    report = judge([found], 1)
    assert (report.usable, report.diagnosis, report.nodes[0].reasons) == (1, None, [])


def test_kubernetes_own_taints_are_reported_once() -> None:
    """A cordoned node is cordoned; the taint that goes with it is not another reason."""
    taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    report = judge([node("n", None, taint, spec={"unschedulable": True, "taints": [taint]})], 1)
    assert report.nodes[0].reasons == ["cordoned"]


def test_nodes_booked_by_another_fleet() -> None:
    """A prover of another namespace holds its node; ours do not, for they are the ones to be replaced."""
    found = [node("n1"), node("n2"), node("n3")]
    report = judge(found, 3, [prover("n1"), prover("n2", "fleet"), prover("n3", phase="Succeeded")])
    assert [verdict.booked_by for verdict in report.nodes] == ["other/prover-cli-t-x", "", ""]
    assert report.usable == 2
    assert report.diagnosis is not None
    assert report.diagnosis.code == "SCHED_ANTIAFFINITY_FULL"
    assert "n1: booked by other/prover-cli-t-x" in report.diagnosis.evidence


def test_missing_rights_are_a_warning_only() -> None:
    """Without pods of all namespaces the verdict stands on what is known (R2)."""
    unread = Occupancy("fleet", {"app": "client"}, everywhere=False)
    report = planning.capacity.verdict.capacity_report(
        ClusterCapacity([node("n1", None, TAINT)], unread, None, None), spec(), 1
    )
    assert (report.usable, report.diagnosis) == (1, None)
    assert report.nodes[0].unknown == ["what other namespaces run here"]
    pods, quotas, ranges = report.warnings
    assert "ClusterRole rule: {apiGroups: [''], resources: [pods], verbs: [list]}" in pods
    assert ("resourcequotas" in quotas, "limitranges" in ranges) == (True, True)


def test_the_label_command_is_ready_to_be_pasted() -> None:
    """As many unlabelled nodes are named as are lacking."""
    report = judge([node("n1"), node("n2", {}), node("n3", {})], 2)
    assert report.diagnosis is not None
    assert report.diagnosis.do == "kubectl label node n2 fluidexnode=computation; or ask for at most 1 client"


def test_more_clients_than_nodes() -> None:
    """When every node is usable, one client a node is the reason."""
    report = judge([node("n1"), node("n2")], 3)
    assert report.diagnosis is not None
    assert report.diagnosis.code == "SCHED_ANTIAFFINITY_FULL"
    assert report.diagnosis.because == "there are 1 nodes too few"


@pytest.mark.parametrize(("replicas", "code"), [(2, "SCHED_CORDON"), (3, "SCHED_NO_LABEL")])
def test_the_cause_is_the_one_whose_cure_suffices(replicas: int, code: str) -> None:
    """Uncordoning helps when it makes enough nodes; else more nodes need the label, however many lack it now."""
    found = [node("n1"), node("n2", spec={"unschedulable": True}), *(node(f"web{n}", {}) for n in range(9))]
    report = judge(found, replicas)
    assert report.diagnosis is not None
    assert report.diagnosis.code == code


def test_nodes_too_small_even_when_empty() -> None:
    """What can never fit is said before a pod waits for it."""
    report = judge([node("n1")], 1, client_cpu="64", client_memory="8Gi")
    assert report.nodes[0].reasons == ["has 8 cpu, less than CLIENT_CPU=64"]


def test_no_clients_need_no_nodes() -> None:
    """Scaling to zero is always possible."""
    assert judge([], 0).diagnosis is None


def test_the_node_with_nothing_else_against_it_is_to_be_mended() -> None:
    """Labelling one that another fleet holds would not help."""
    report = judge([node("held", {}), node("free", {})], 1, [prover("held")])
    assert report.diagnosis is not None
    assert report.diagnosis.do.startswith("kubectl label node free fluidexnode=computation")


def test_custom_label_and_taint() -> None:
    """NODE_LABEL and NODE_TAINT are what counts."""
    found = node("n1", {"pool": "provers"}, {"key": "pool", "value": "provers", "effect": "NoSchedule"})
    pool = {"key": "pool", "value": "provers"}
    assert judge([found], 1, node_label=pool, node_taint=pool).usable == 1


def test_large_clusters_stay_small_in_the_report() -> None:
    """All nodes are counted, those meant for clients are listed first, the rest is cut off and said."""
    found = [node(f"web{n:04}", {}) for n in range(600)] + [node("zz", None, TAINT)]
    report = judge(found, 1)
    assert (report.usable, len(report.nodes), report.nodes[0].name) == (1, 500, "zz")
    assert report.warnings == ["101 more nodes are counted but not listed."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1", 1), ("500m", Decimal("0.5")), ("1.5", Decimal("1.5")), ("2Gi", 2 * 1024**3), ("3k", 3000), ("1e3", 1000)],
)
def test_quantities(text: str, expected: Decimal | int) -> None:
    """Suffixes mean what they mean to Kubernetes."""
    assert quantity.amount(text) == expected


@pytest.mark.parametrize("text", ["", "x", "1 Gi", "1KiB", "-1"])
def test_no_quantity(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(ValueError, match="quantity"):
        quantity.amount(text)
