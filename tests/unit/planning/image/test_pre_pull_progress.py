"""Whose turn it is to pull, what is said of it meanwhile, and how it is told in the end."""

import pytest

from domain.diagnosis import Diagnosis, Severity
from planning.image import pre_pull_progress
from planning.image.pre_pull import Chosen, NodePull, Pull
from planning.image.pre_pull_progress import Tally

NOT_THERE = Diagnosis(code="IMAGE_NOT_FOUND", what="the image is not there", severity=Severity.FATAL)
AWAY = Diagnosis(code="IMAGE_REGISTRY_DOWN", what="no answer", severity=Severity.NEEDS_HUMAN)


def tally(*lacking: str, having: tuple[str, ...] = (), **left_out: str) -> Tally:
    """Of these nodes, with all pods made that may be."""
    made = Tally(Chosen(list(lacking), list(having), left_out))
    start(made)
    return made


def start(made: Tally, now: float = 0.0) -> None:
    """Make the pods whose turn it is."""
    while node := made.turn:
        made.begin(node, now)


def test_only_so_many_pull_at_once() -> None:
    """The next one's turn comes when one is done; at the end all are."""
    made = tally(*(f"n{number:03}" for number in range(200)))
    rounds = 0
    while not made.over:
        assert len(made.running) <= pre_pull_progress.AT_ONCE
        for node in list(made.running):
            assert made.saw(Pull(node, NodePull.PULLED))
        start(made)
        rounds += 1
    assert rounds == 13
    assert made.result([]).model_dump() == {"nodes": 200, "pulled": 200, "diagnosis": None, "warnings": []}


def test_progress_names_nodes_when_they_are_few() -> None:
    """And else how many, with the longest."""
    made = tally("n1", "n2", "n3", having=("n0",))
    made.saw(Pull("n1", NodePull.PULLED, 12.0))
    made.saw(Pull("n2", NodePull.PULLING, 4.2))
    made.saw(Pull("n3", NodePull.PULLING, 42.0))
    assert made.progress() == "image on 2 of 4 nodes; n3 pulls for 42 s, n2 pulls for 4 s; it took up to 12 s"
    many = tally(*(f"n{number}" for number in range(8)))
    many.saw(Pull("n5", NodePull.PULLING, 7.0))
    assert many.progress() == "image on 0 of 8 nodes; 8 pull, the longest n5 for 7 s"


def test_progress_says_what_is_wrong_meanwhile() -> None:
    """A trouble that may pass."""
    made = tally("n1")
    made.saw(Pull("n1", NodePull.PULLING, 1.0, AWAY))
    assert made.progress().endswith("; n1: IMAGE_REGISTRY_DOWN: no answer")


def test_one_node_that_will_never_get_the_image_is_enough() -> None:
    """No client would run there: the rollout would stop at it."""
    made = tally("n1", "n2", having=("n0",))
    assert not made.saw(Pull("n2", NodePull.FAILED, 1.0, NOT_THERE))
    found = made.result([]).diagnosis
    assert found is not None
    assert (found.code, found.on) == (
        "IMAGE_NOT_FOUND",
        "node n2 (1 of 3 nodes), pulled before any client is replaced",
    )


@pytest.mark.parametrize("others", [NodePull.PULLED, NodePull.PULLING])
def test_a_registry_that_is_away_for_one_node_stops_nothing(others: NodePull) -> None:
    """Others pull well."""
    made = tally("n1", "n2")
    made.saw(Pull("n1", others))
    assert made.saw(Pull("n2", NodePull.STUCK, 700, AWAY))
    assert made.failure is None
    made.saw(Pull("n1", NodePull.PULLED))
    assert made.result([]).warnings == [
        "The image was not pulled beforehand on n2: IMAGE_REGISTRY_DOWN: no answer.",
    ]


def test_a_registry_that_is_away_for_all_stops_the_rollout() -> None:
    """It could only replace clients that serve by clients that wait."""
    made = tally("n1", "n2")
    made.saw(Pull("n1", NodePull.PULLING, 600, AWAY))
    made.saw(Pull("n2", NodePull.STUCK, 700, AWAY))
    assert made.failure is not None
    assert made.failure.on.startswith("node n2 (2 of 2 nodes)")


def test_a_pod_that_somebody_removes_is_made_again_but_not_for_ever() -> None:
    """One that was made may be seen late."""
    made = tally("n1")
    made.missed("n1", 29.0)
    assert list(made.running) == ["n1"]
    for _ in range(pre_pull_progress.TRIES - 1):
        made.missed("n1", 31.0)
        assert made.todo == ["n1"]
        made.begin("n1", 0.0)
        made.saw(Pull("n1", NodePull.PULLING))
    made.missed("n1", 0.0)
    assert made.over
    assert "somebody removes the pods" in made.result([]).warnings[0]


def test_a_pod_of_an_earlier_run_goes_on() -> None:
    """It is seen before its turn."""
    made = Tally(Chosen(["n1", "n2"], [], {}))
    made.saw(Pull("n1", NodePull.PULLING))
    assert (made.todo, list(made.running)) == (["n2"], ["n1"])


def test_equal_reasons_are_one_warning_and_many_are_few() -> None:
    """A fleet has hundreds of nodes."""
    left_out = {f"n{number}": "cordoned" for number in range(9)} | {
        f"m{number}": f"why {number}" for number in range(7)
    }
    warnings = Tally(Chosen([], [], left_out)).result(["other"]).warnings
    assert warnings[0] == "The image was not pulled beforehand on n0, n1, n2, n3, n4 and 4 more: cordoned."
    assert warnings[5:] == ["For other reasons it was not on 3 more nodes.", "other"]


def test_nodes_that_had_no_turn_are_given_up_together() -> None:
    """Those that pull go on."""
    made = Tally(Chosen(["n1", "n2", "n3"], [], {}))
    made.begin("n1", 0.0)
    made.give_up("no right")
    assert (made.todo, list(made.running), made.over) == ([], ["n1"], False)
    assert made.result([]).warnings == ["The image was not pulled beforehand on n2, n3: no right."]
