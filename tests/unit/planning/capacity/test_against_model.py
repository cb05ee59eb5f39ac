"""Whether clients fit is judged as a cluster would turn out, in more cases than anybody would write down."""

from typing import Any

from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from tests.support.capacity.cases import judge
from tests.support.capacity.scheduler_model import Ask, Case, Model, Node

ASKS = st.builds(Ask, cpu=st.integers(0, 6), memory=st.sampled_from([0, 0, 4, 12]), gpu=st.sampled_from([0, 0, 0, 1]))
RARELY = st.sampled_from([False, False, False, False, True])
NODES = st.builds(
    Node,
    size=st.builds(Ask, cpu=st.integers(2, 8), memory=st.just(16), gpu=st.sampled_from([0, 1])),
    pods=st.sampled_from([1, 2, 10]),
    labelled=RARELY.map(lambda rare: not rare),
    tainted=st.booleans(),
    repels=RARELY,
    cordoned=RARELY,
    ready=RARELY.map(lambda rare: not rare),
    others=st.lists(st.builds(Ask, cpu=st.integers(0, 3), memory=st.sampled_from([0, 8])), max_size=2).map(tuple),
    prover=RARELY,
)
QUOTAS: st.SearchStrategy[dict[str, int]] = st.one_of(
    st.just({}),
    st.dictionaries(
        st.sampled_from(["pods", "count/pods", "requests.cpu", "requests.memory", "limits.memory"]),
        st.integers(0, 24),
        max_size=2,
    ),
)
SHRINKING = Case((Node(), Node(), Node()), 3, Ask(1), old=(0, 1, 2), old_ask=Ask(2), quota={"pods": 3})


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Up to six nodes; clients run on some of them, wherever they came to be once."""
    nodes = tuple(draw(st.lists(NODES, max_size=6)))
    free = [index for index, node in enumerate(nodes) if not node.prover]
    old = tuple(draw(st.lists(st.sampled_from(free), unique=True))) if free else ()
    scaled = draw(st.booleans())
    ask = draw(ASKS)
    ranged: dict[str, Any] = {}
    if not scaled:
        ranged = {"default_cpu": draw(st.sampled_from([0, 0, 2])), "max_memory": draw(st.sampled_from([0, 0, 0, 8]))}
    return Case(
        nodes=nodes,
        replicas=draw(st.integers(0, 6)),
        ask=ask,
        unavailable=draw(st.integers(1, 3)),
        old=old,
        old_ask=ask if scaled else draw(st.one_of(st.just(ask), ASKS)),
        scaled=scaled,
        quota=draw(QUOTAS),
        **ranged,
    )


@settings(max_examples=1000, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(case=cases(), seed=st.integers(0, 3))
@example(case=Case(nodes=(Node(), Node(cordoned=True)), replicas=2, old=(0, 1), scaled=True), seed=0)
@example(case=Case((Node(), Node(ready=False), Node()), 2, old=(0, 1), scaled=True, quota={"pods": 0}), seed=0)
@example(case=Case((Node(), Node(), Node()), 3, Ask(1), old=(0, 1, 2), old_ask=Ask(2), quota={"pods": 3}), seed=0)
@example(
    case=Case((Node(), Node(), Node()), 3, Ask(1), old=(0, 1, 2), old_ask=Ask(2), quota={"requests.cpu": 3}), seed=0
)
def test_judged_able_exactly_when_the_model_finishes(case: Case, seed: int) -> None:
    """The report has a diagnosis exactly when the rollout would not come to its end."""
    report = judge(case)
    able = report.diagnosis is None
    event(f"{'able' if able else report.diagnosis and report.diagnosis.code}")
    assert able == (report.possible >= case.replicas)
    assert able == Model(case, seed).finishes()
