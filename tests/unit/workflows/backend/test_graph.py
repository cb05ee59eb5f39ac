"""The order of steps as data: what is ready, what needs what, and the order of stopping."""

from domain.profile import Step
from workflows.backend import graph

STEPS = [
    Step(name="build", command=["make"]),
    Step(name="node", process=["node"], needs=["build"]),
    Step(name="rollup", process=["rollup"], needs=["node"]),
    Step(name="other", process=["other"], needs=["build"]),
]


def test_a_step_is_ready_when_nothing_it_needs_waits_or_runs() -> None:
    """What is not among the steps counts as done."""
    waiting = {step.name: step for step in STEPS[1:]}
    assert [step.name for step in graph.ready(waiting, [])] == ["node", "other"]
    assert [step.name for step in graph.ready(waiting, ["build"])] == []


def test_what_needs_what_through_others() -> None:
    """Both ways; a step is not among its own."""
    assert graph.needed_by(STEPS, "rollup") == {"node", "build"}
    assert graph.needing(STEPS, ["build"]) == {"node", "rollup", "other"}
    assert graph.needing(STEPS, ["rollup"]) == set()


def test_stopping_goes_the_other_way() -> None:
    """What needs a step is stopped before it, also when what is between them is not stopped."""
    assert [(step.name, step.needs) for step in graph.inverted(STEPS, {"build", "rollup", "other"})] == [
        ("build", ["other", "rollup"]),
        ("rollup", []),
        ("other", []),
    ]
