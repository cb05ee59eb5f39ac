"""The decisions about backend steps: order, needs and skipping."""

import pytest

from domain.errors import SettingsInvalid
from domain.profile import Profile, Step, Submodules
from planning.backend import steps


def _step(name: str, *needs: str, simulated: bool = False) -> Step:
    return Step(name=name, needs=list(needs), command=["true"], simulated=simulated)


def test_order_follows_needs_and_else_the_file() -> None:
    """A step comes after all that it needs; independent steps keep the order of the file."""
    ordered = steps.in_order([_step("c", "a"), _step("b"), _step("a")])
    assert [step.name for step in ordered] == ["b", "a", "c"]


def test_a_circle_has_no_order() -> None:
    """It is named, and only the steps in it."""
    with pytest.raises(SettingsInvalid, match="steps a, b need each other in a circle"):
        steps.in_order([_step("a", "b"), _step("b", "a"), _step("c", "b")])


def test_simulated_steps_are_for_run_all() -> None:
    """setup-all leaves simulated steps out, run-all has them."""
    profile = Profile(name="p", steps=[_step("serve"), _step("ticker", "serve", simulated=True)])
    assert [step.name for step in steps.chosen(profile, simulated=False)] == ["serve"]
    assert [step.name for step in steps.chosen(profile, simulated=True)] == ["serve", "ticker"]


def test_needs_are_followed_through_others() -> None:
    """Each once, in the order of the file; a circle ends, and a name that no step has is left out."""
    some = [_step("d", "b", "c"), _step("a", "d"), _step("b", "a"), _step("c", "a", "ghost"), _step("e")]
    assert [step.name for step in steps.needed(some, some[0])] == ["d", "a", "b", "c"]
    assert steps.needed(some, some[4]) == []


def test_fingerprint_changes_with_each_part() -> None:
    """argv, environment, directory and input content all count; the order of mappings does not."""
    base = steps.fingerprint(["a"], {"x": "1", "y": "2"}, "d", {"f": "h"})
    assert base == steps.fingerprint(["a"], {"y": "2", "x": "1"}, "d", {"f": "h"})
    others = {
        steps.fingerprint(["b"], {"x": "1", "y": "2"}, "d", {"f": "h"}),
        steps.fingerprint(["a"], {"x": "1"}, "d", {"f": "h"}),
        steps.fingerprint(["a"], {"x": "1", "y": "2"}, "e", {"f": "h"}),
        steps.fingerprint(["a"], {"x": "1", "y": "2"}, "d", {"f": "i"}),
    }
    assert len(others - {base}) == 4


@pytest.mark.parametrize(
    ("ran", "missing", "inputs", "expected"),
    [
        (steps.Ran(fingerprint="now"), [], ["*.go"], True),
        (steps.Ran(fingerprint="before"), [], ["*.go"], False),
        (steps.Ran(fingerprint="now"), ["bin/x"], ["*.go"], False),
        (None, [], ["*.go"], False),
        (steps.Ran(fingerprint="now"), [], [], False),
    ],
)
def test_when_a_step_may_be_skipped(
    ran: steps.Ran | None, missing: list[str], inputs: list[str], expected: bool
) -> None:
    """Only a tracked step that ran with the same fingerprint and still has its outputs is skipped."""
    assert expected == steps.may_skip(Step(name="s", command=["x"], inputs=inputs), ran, "now", missing)


@pytest.mark.parametrize(
    ("ran", "began", "newer", "expected"),
    [
        (None, False, False, True),
        (None, True, False, False),
        (None, True, True, True),
        (steps.Ran(fingerprint=""), True, False, False),
        (steps.Ran(fingerprint=""), False, False, False),
        (steps.Ran(fingerprint=""), True, True, True),
        (steps.Ran(fingerprint="before"), True, True, False),
    ],
)
def test_when_outputs_are_adopted(ran: steps.Ran | None, began: bool, newer: bool, expected: bool) -> None:
    """Only where no success is recorded, and no run that may have left them incomplete."""
    step = Step(name="s", command=["x"], outputs=["key"])
    assert expected == steps.may_adopt(step, ran, [], began=began, newer=newer)
    assert not steps.may_adopt(step, ran, ["key"], began=began, newer=newer)


def test_whose_outputs_are_kept() -> None:
    """Functions and commands; a checkout has to be at its commit, and what is to run on has to be started."""
    left = [{"program": "./serve"}]
    assert steps.keeps_outputs(Step(name="s", function="x", outputs=["key"]))
    assert not steps.keeps_outputs(Step(name="s", function="x"))
    assert not steps.keeps_outputs(Step(name="s", submodules=Submodules(), outputs=["sub"]))
    assert not steps.keeps_outputs(
        Step.model_validate({"name": "s", "function": "x", "outputs": ["k"], "leaves": left})
    )


@pytest.mark.parametrize(
    ("purge", "expected"),
    [([], True), (["other"], True), (["keys/log"], True), (["keys"], False), (["keys/"], False), (["k*"], False)],
)
def test_records_of_outputs_that_a_purge_deletes_go_with_them(purge: list[str], expected: bool) -> None:
    """A record without its outputs would claim what is no longer there."""
    step = Step(name="s", command=["x"], outputs=["keys/mon.key"], purge=purge)
    assert steps.outlives_purge(step) is expected
    assert steps.keeps_outputs(step)
