"""What is judged able finishes, and what is judged unable never does: on the real scheduler and controllers."""

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from clients.kubernetes.cluster import KubernetesCluster
from sandbox.host.readiness import wait_until
from tests.support.capacity.random_cases import draw
from tests.support.capacity.scheduler import Outcome, Stage
from tests.support.capacity.scheduler_model import Model

SEED = 8
CASES = 110
AT_ONCE = 12
CAUSES = {"QUOTA", "LIMITRANGE", "SCHED_RESOURCES", "SCHED_NO_LABEL", "SCHED_CORDON", "SCHED_ANTIAFFINITY_FULL"}
LEAST = 30  # of either kind, so that neither answer can be right by always being given


@pytest.fixture(scope="module")
def elsewhere(cluster: KubernetesCluster) -> Iterator[str]:
    """A namespace for other people's pods."""
    name = f"truth-others-{uuid4().hex[:6]}"
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    wait_until(
        lambda: None if cluster.get("ServiceAccount", "default", name) else "not yet",
        seconds=30,
        what="service account",
    )
    yield name
    cluster.delete("Namespace", name, "")


@pytest.fixture(scope="module", params=[SEED], ids=[f"{CASES} cases of seed {SEED}"])
def outcomes(cluster: KubernetesCluster, elsewhere: str, request: pytest.FixtureRequest) -> list[Outcome]:
    """All cases, several at a time."""
    chance = random.Random(request.param)  # noqa: S311 - cases, no secrets
    run = uuid4().hex[:4]
    cases = [draw(chance) for _ in range(CASES)]

    def play(number: int, turn: str = "") -> Outcome | Exception:
        try:
            return Stage(cluster, f"truth-{run}-{number}{turn}", elsewhere, cases[number]).play()
        except Exception as error:  # noqa: BLE001 - whatever kept it from an end is no answer
            return error

    with ThreadPoolExecutor(AT_ONCE) as threads:
        ended = list(threads.map(play, range(CASES)))
    # Controllers that were refused often wait ever longer before they try again, sometimes for minutes: such a case
    # has said nothing yet, neither yes nor no. It is played once more, and then it must answer.
    for number, found in enumerate(ended):
        if isinstance(found, Exception):
            print(f"case {number} is played again: {found}")  # noqa: T201 - pytest shows it with a failure
            ended[number] = play(number, "b")
    return [_answer(found) for found in ended]


def _answer(found: Outcome | Exception) -> Outcome:
    if isinstance(found, Exception):
        raise found
    return found


def test_judged_able_finishes_and_judged_unable_never_does(outcomes: list[Outcome]) -> None:
    """Not one case of either kind ends otherwise."""
    wrong = [outcome for outcome in outcomes if outcome.finished != (outcome.report.diagnosis is None)]
    assert wrong == []


def test_the_model_in_memory_ends_as_the_real_cluster(outcomes: list[Outcome]) -> None:
    """So that the many cases of the unit tests are worth something; whatever Kubernetes leaves open."""
    wrong = [
        outcome for outcome in outcomes for seed in range(3) if Model(outcome.case, seed).finishes() != outcome.finished
    ]
    assert wrong == []


def test_both_answers_and_many_causes_occur(outcomes: list[Outcome]) -> None:
    """The cases are worth asking."""
    causes = Counter(outcome.report.diagnosis.code if outcome.report.diagnosis else "able" for outcome in outcomes)
    assert min(causes["able"], len(outcomes) - causes["able"]) >= LEAST
    assert {
        "QUOTA",
        "LIMITRANGE",
        "SCHED_RESOURCES",
        "SCHED_NO_LABEL",
        "SCHED_CORDON",
        "SCHED_ANTIAFFINITY_FULL",
    } <= causes.keys()
