"""Whether so many clients can run is answered with the numbers that decide it, before anything is changed."""

from typing import Any

import pytest

import planning.capacity.verdict
from domain.diagnosis import Diagnosis, Severity
from domain.kubernetes import Manifest
from domain.messages.nodes import NodesReport
from planning.capacity.occupancy import Occupancy
from planning.capacity.verdict import ClusterCapacity
from tests.support.capacity.cases import judge as judge_case
from tests.support.capacity.nodes import TAINT, node, prover, spec
from tests.support.capacity.scheduler_model import Ask, Case, Node

CLIENT = {"app": "client"}


def judge(
    found: list[Manifest], replicas: int, *pods: Manifest, keep: bool = False, around: Any = None, **changes: Any
) -> NodesReport:
    """Judge for the namespace `fleet`, whose quotas and ranges are in `around`."""
    seen = ClusterCapacity(found, Occupancy.of(pods, "fleet", CLIENT), **(around or {}))
    return planning.capacity.verdict.capacity_report(seen, spec(**changes), replicas, keep=keep)


def nodes(count: int) -> list[Manifest]:
    """Good ones."""
    return [node(f"n{number}", None, TAINT) for number in range(1, count + 1)]


def other(on: str, name: str = "db", **requests: str) -> Manifest:
    """Return a pod of somebody else."""
    return {
        "metadata": {"name": name, "namespace": "shop", "labels": {}},
        "spec": {"nodeName": on, "containers": [{"resources": {"requests": requests}}]},
    }


def quota(name: str = "team", used: dict[str, str] | None = None, **spec: Any) -> Manifest:
    """Return a ResourceQuota of the namespace."""
    return {"metadata": {"name": name}, "spec": spec, "status": {"used": used or {}}}


def diagnosed(report: NodesReport) -> Diagnosis:
    """Its diagnosis, which is a refusal."""
    assert report.diagnosis is not None
    assert report.diagnosis.severity is Severity.REFUSED
    return report.diagnosis


def test_the_answer_carries_the_numbers() -> None:
    """Needs four, two usable, and which nodes lack what."""
    found = [*nodes(2), node("n7", {}, TAINT), node("n9", None, TAINT, spec={"unschedulable": True})]
    said = diagnosed(judge(found, 4))
    assert said.what == "2 of 4 nodes are usable, 4 clients are wanted (one a node)"
    assert said.evidence == "n9: cordoned; n7: label fluidexnode=computation is missing"


def test_room_is_what_others_leave() -> None:
    """Allocatable less what runs there; the one who holds most is named."""
    report = judge(nodes(1), 1, other("n1", cpu="3"), other("n1", "cache", cpu="2500m"), client_cpu="4")
    assert report.nodes[0].reasons == ["2.5 of 8 cpu are free, less than CLIENT_CPU=4: shop/db holds most of the rest"]
    assert diagnosed(report).code == "SCHED_RESOURCES"
    assert "1 nodes have too little free (n1)" in diagnosed(report).because


def test_our_own_old_clients_make_room() -> None:
    """They go before the new ones come, so what they hold is free for us."""
    ours = prover("n1", "fleet") | {
        "spec": {"nodeName": "n1", "containers": [{"resources": {"requests": {"cpu": "6"}}}]}
    }
    report = judge(nodes(1), 1, ours, client_cpu="6")
    assert (report.usable, report.nodes[0].ours, report.diagnosis) == (1, "prover-cli-t-x", None)


@pytest.mark.parametrize(
    ("pod", "usable"),
    [
        (other("n1", cpu="5"), 0),
        (other("n1", cpu="5") | {"status": {"phase": "Succeeded"}}, 1),
        (other("n1", cpu="5") | {"spec": other("n1", cpu="5")["spec"] | {"priority": -10}}, 1),
        (other("n1", cpu="5") | {"metadata": {"name": "db", "namespace": "s", "deletionTimestamp": "2026-01-01"}}, 1),
    ],
)
def test_pods_that_ended_leave_or_yield_are_no_obstacle(pod: Manifest, usable: int) -> None:
    """The scheduler evicts pods of lower priority, as those that keep room for an autoscaler."""
    assert judge(nodes(1), 1, pod, client_cpu="4").usable == usable


def test_extended_resources_count_like_any_other() -> None:
    """A GPU that a node lacks, and one that is taken."""
    found = [node("n1", None, TAINT), node("n2", None, TAINT, has={"nvidia.com/gpu": "1"})]
    asked = "CLIENT_RESOURCES=nvidia.com/gpu=1"
    report = judge(found, 2, other("n2", **{"nvidia.com/gpu": "1"}), client_resources={"nvidia.com/gpu": "1"})
    assert [verdict.reasons for verdict in report.nodes] == [
        [f"has 0 nvidia.com/gpu, less than {asked}"],
        ["0 of 1 nvidia.com/gpu are free, less than CLIENT_RESOURCES=nvidia.com/gpu=1: shop/db holds most of the rest"],
    ]


def test_what_no_node_can_ever_give_is_told_apart() -> None:
    """Even empty nodes are too small: that is the setting's fault."""
    assert "2 nodes are too small, even empty" in diagnosed(judge(nodes(2), 1, client_memory="1Ti")).because


def test_nodes_below_the_minimum_are_not_used() -> None:
    """NODE_MIN_CPU and NODE_MIN_MEMORY are of what a node can give."""
    report = judge(nodes(1), 1, node_min_cpu="64", node_min_memory="8Gi")
    assert report.nodes[0].reasons == ["has 8 cpu, less than NODE_MIN_CPU=64"]


def test_a_full_node_takes_no_more_pods() -> None:
    """The number of pods is a resource, too."""
    found = node("n1", None, TAINT, has={"pods": "1"})
    assert judge([found], 1, other("n1")).nodes[0].reasons == ["runs 1 pods and may run 1"]


def test_every_remedy_is_one_line_for_a_terminal() -> None:
    """As many commands as the node needs; none when one would not do, or is not ours to give."""
    found = [
        node(
            "n1",
            {"fluidexnode": "web"},
            spec={"unschedulable": True, "taints": [{"key": "gpu", "effect": "NoExecute"}]},
        ),
        node("n2", None, {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}),
        node("n3", status={"conditions": [{"type": "Ready", "status": "False"}]}, spec={"unschedulable": True}),
    ]
    fixes = {verdict.name: verdict.fix for verdict in judge(found, 1).nodes}
    assert fixes == {
        "n1": "kubectl label node n1 fluidexnode=computation --overwrite && kubectl taint node n1 gpu:NoExecute- "
        "&& kubectl uncordon n1",
        "n2": "",
        "n3": "",
    }


def test_labelled_but_untainted_is_usable_with_a_warning() -> None:
    """And with the command that keeps others away."""
    report = judge([node("n1")], 1)
    assert (report.usable, report.diagnosis) == (1, None)
    assert report.nodes[0].warnings == ["taint dedicated=computation is missing: other pods may take its room"]
    assert report.warnings[0].endswith("Do: kubectl taint node n1 dedicated=computation:NoSchedule.")


def test_a_label_that_matches_no_node_is_named_with_its_setting() -> None:
    """With what the nodes carry instead."""
    found = [node("n1", {"pool": "a"}), node("n2", {"pool": "b"}), node("n3", {})]
    said = diagnosed(judge(found, 1, node_label={"key": "pool", "value": "prover"}))
    assert said.code == "SCHED_NO_LABEL"
    assert "NODE_LABEL=pool=prover matches no node at all; nodes carry pool with a, b" in said.because
    assert said.do.startswith("kubectl label node n1 pool=prover --overwrite, or set NODE_LABEL")


def test_a_taint_that_matches_no_node_is_named_with_its_setting() -> None:
    """When the nodes repel by another one."""
    said = diagnosed(judge(nodes(2), 1, node_taint={"key": "pool", "value": "prover"}))
    assert said.code == "SCHED_TAINT"
    assert "NODE_TAINT=pool=prover matches no node at all" in said.because


def test_a_quota_decides_with_numbers() -> None:
    """What others use of it is theirs; what our clients use now is free again."""
    team = quota(hard={"requests.cpu": "10"}, used={"requests.cpu": "5"})
    ours = prover("n1", "fleet") | {
        "spec": {"nodeName": "n1", "containers": [{"resources": {"requests": {"cpu": "3"}}}]}
    }
    report = judge(nodes(4), 3, ours, around={"quotas": [team]}, client_cpu="4")
    assert (report.usable, report.possible) == (4, 2)
    said = diagnosed(report)
    assert (said.code, said.what) == ("QUOTA", "ResourceQuota team leaves room for 2 clients, 3 are wanted")
    assert said.because == "requests.cpu may be 10, 2 of it are taken by others, each client takes 4"


@pytest.mark.parametrize(
    ("scope", "possible"),
    [
        ({"scopes": ["NotTerminating"]}, 1),
        ({"scopes": ["Terminating"]}, 4),
        ({"scopes": ["BestEffort"]}, 1),
        ({"scopes": ["NotBestEffort"]}, 4),
        ({"scopes": ["CrossNamespacePodAffinity"]}, 1),
        ({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "Exists"}]}}, 4),
        ({"scopeSelector": {"matchExpressions": [{"scopeName": "PriorityClass", "operator": "DoesNotExist"}]}}, 1),
    ],
)
def test_only_quotas_that_count_clients_count(scope: dict[str, Any], possible: int) -> None:
    """Ours have no deadline and no priority class, no requests here, and keep away from those of other namespaces."""
    assert judge(nodes(4), 1, around={"quotas": [quota(hard={"pods": "1"}, **scope)]}).possible == possible


def test_a_quota_may_demand_what_clients_do_not_name() -> None:
    """Then no pod is ever made, and the setting is named."""
    said = diagnosed(judge(nodes(1), 1, around={"quotas": [quota(hard={"requests.cpu": "9", "limits.memory": "9Gi"})]}))
    assert said.because == "it demands limits.memory, requests.cpu of every pod, which clients do not name"
    assert said.do == "set CLIENT_MEMORY and set CLIENT_CPU"


def test_a_rollout_that_a_quota_stalls_is_seen_ahead() -> None:
    """Enough in the end, but old clients fill the quota, and too few run for one of them to go."""
    case = Case((Node(), Node(), Node()), 3, Ask(1), old=(0, 1, 2), old_ask=Ask(2), quota={"requests.cpu": 3})
    report = judge_case(case)
    assert (report.usable, report.possible) == (3, 2)
    assert (
        "each that runs now 2, and a rollout keeps most of those until new ones are ready" in diagnosed(report).because
    )


@pytest.mark.parametrize(
    ("item", "sentence"),
    [
        ({"max": {"memory": "1Gi"}}, "maximum memory per Container is 1Gi, but 2Gi is asked for"),
        ({"max": {"cpu": "1"}}, "maximum cpu per Container is 1, but no limit is set"),
        ({"min": {"memory": "4Gi"}}, "minimum memory per Container is 4Gi, but 2Gi is asked for"),
        (
            {"min": {"ephemeral-storage": "1Gi"}},
            "minimum ephemeral-storage per Container is 1Gi, but none is requested",
        ),
        ({"default": {"cpu": "2"}}, "the default limit of cpu is 2, but 4 is requested"),
        ({"maxLimitRequestRatio": {"cpu": "2"}}, "limit to request ratio of cpu per Container is at most 2"),
    ],
)
def test_a_limit_range_refuses_with_its_rule(item: Manifest, sentence: str) -> None:
    """The API server would say so only when no pod comes."""
    ranges = [{"metadata": {"name": "team"}, "spec": {"limits": [{"type": "Container"} | item]}}]
    said = diagnosed(judge(nodes(1), 1, around={"ranges": ranges}, client_cpu="4", client_memory="2Gi"))
    assert said.code == "LIMITRANGE"
    assert sentence in said.because


def test_the_defaults_of_a_limit_range_need_room() -> None:
    """They are requests like any other."""
    item = {"type": "Container", "defaultRequest": {"cpu": "16"}}
    report = judge(nodes(1), 1, around={"ranges": [{"metadata": {"name": "team"}, "spec": {"limits": [item]}}]})
    assert report.nodes[0].reasons == ["has 8 cpu, less than the 16 that a LimitRange sets"]


def test_clients_that_stay_need_no_usable_node() -> None:
    """When only the number changes, one on a cordoned node goes on; one on a dead node does not."""
    cordoned = node("n1", None, TAINT, spec={"unschedulable": True})
    dead = node("n1", None, TAINT, status={"conditions": [{"type": "Ready", "status": "Unknown"}]})
    ours = prover("n1", "fleet")
    assert judge([cordoned, node("n2", None, TAINT)], 2, ours, keep=True).diagnosis is None
    assert judge([cordoned, node("n2", None, TAINT)], 2, ours).usable == 1
    assert judge([dead, node("n2", None, TAINT)], 2, ours, keep=True).usable == 1


def test_nothing_is_needed_for_nothing() -> None:
    """No client fits into no cluster."""
    refusing = {"quotas": [quota(hard={"pods": "0", "requests.cpu": "0"})]}
    assert judge([], 0, around=refusing).diagnosis is None


def test_the_report_of_a_large_cluster_stays_small() -> None:
    """Well below 256 KiB, however long the names are; nodes with something against them are told rather than others."""
    found = [node("x" * 200 + f"{number:04}", None, TAINT) for number in range(5000)]
    found[4999]["spec"]["unschedulable"] = True
    report = judge(found, 5000)
    assert (report.usable, report.total) == (4999, 5000)
    assert len(report.model_dump_json()) < 200_000
    assert [verdict.name for verdict in report.nodes if not verdict.usable] == ["x" * 200 + "4999"]
