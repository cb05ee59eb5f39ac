"""The decisions about backend steps: order, text, and skipping."""

import pytest

from domain.errors import SettingsInvalid
from domain.profile import Profile, Step, Wait
from planning import steps


def _step(name: str, *needs: str, simulated: bool = False, argv: list[str] | None = None) -> Step:
    return Step(name=name, needs=list(needs), command=argv or ["true"], simulated=simulated)


def _profile(*all_steps: Step, variables: dict[str, str | None] | None = None) -> Profile:
    return Profile(name="p", steps=list(all_steps), variables=variables or {})


def _texts(profile: Profile) -> list[str]:
    return [fault.text for fault in steps.faults(profile)]


def test_order_follows_needs_and_else_the_file() -> None:
    """A step comes after all that it needs; independent steps keep the order of the file."""
    ordered = steps.in_order([_step("c", "a"), _step("b"), _step("a")])
    assert [step.name for step in ordered] == ["b", "a", "c"]


def test_simulated_steps_are_for_run_all() -> None:
    """setup-all leaves simulated steps out, run-all has them."""
    profile = _profile(_step("serve"), _step("ticker", "serve", simulated=True))
    assert [step.name for step in steps.chosen(profile, simulated=False)] == ["serve"]
    assert [step.name for step in steps.chosen(profile, simulated=True)] == ["serve", "ticker"]


def test_all_faults_at_once() -> None:
    """A twice-used name, an unknown need, an undeclared variable and a path that leaves are all reported."""
    profile = _profile(
        _step("a", "ghost"),
        _step("a", argv=["echo", "${NOWHERE}"]),
        Step(name="b", command=["true"], dir="../out", inputs=["/etc/passwd"]),
    )
    assert _texts(profile) == [
        "step a needs ghost, which does not exist",
        "step a exists twice",
        "step a uses ${NOWHERE}, which no variable declares",
        "inputs '/etc/passwd' of step b must be relative to the step's directory",
        "dir '../out' of step b must stay within the repository",
    ]


def test_a_circle_is_named() -> None:
    """Steps that need each other are named, and only those."""
    assert _texts(_profile(_step("a", "b"), _step("b", "a"), _step("c", "b"))) == [
        "steps a, b need each other in a circle"
    ]
    assert _texts(_profile(_step("a", "a"))) == ["step a needs itself"]


def test_a_real_step_cannot_need_a_simulated_one() -> None:
    """Otherwise setup-all would wait for what it never starts."""
    profile = _profile(_step("t", simulated=True), _step("a", "t"))
    assert _texts(profile) == ["step a needs t, which is simulated and so not part of setup-all"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("IMAGE_AUTH_USER", "looks like a secret"),
        ("db_password", "looks like a secret"),
        ("PYTHON", "is built in"),
        ("a-b", "is no variable name"),
    ],
)
def test_names_a_profile_may_not_declare(name: str, why: str) -> None:
    """Secrets of the worker, built-in names and non-names are refused."""
    assert why in _texts(_profile(variables={name: ""}))[0]


def test_expansion_knows_only_its_variables() -> None:
    """`${NAME}` is replaced, `$$` is a dollar, anything else stays as it is."""
    assert steps.expand("${A} $HOME $${X} $1", {"A": "v"}) == "v $HOME ${X} $1"
    with pytest.raises(SettingsInvalid, match="variable B is used"):
        steps.expand("${A}${B}", {"A": "v"})


def test_values_are_not_expanded_again() -> None:
    """A value that looks like a reference stays text, so that data cannot pull in other variables."""
    assert steps.expand("${A}", {"A": "${B}", "B": "leak"}) == "${B}"


def test_every_text_of_a_step_is_expanded() -> None:
    """argv, environment, directory, globs and the awaited target all take variables."""
    step = Step(name="w", wait=Wait(tcp="${H}:1"), env={"A": "${H}"}, dir="${H}", inputs=["${H}/*"], outputs=["${H}"])
    done = steps.expanded(step, {"H": "h"})
    assert Step(name="w", wait=Wait(tcp="h:1"), env={"A": "h"}, dir="h", inputs=["h/*"], outputs=["h"]) == done


def test_expansion_names_all_missing_variables() -> None:
    """A step with two unset variables names both."""
    with pytest.raises(SettingsInvalid) as caught:
        steps.expanded(_step("a", argv=["${X}", "${Y}"]), {})
    assert len(caught.value.problems) == 2


def test_settled_reads_only_declared_names() -> None:
    """The environment overrides a default, an empty value means unset, built-ins win, nothing undeclared appears."""
    declared = {"A": "default", "B": "default", "C": None}
    environ = {"A": "mine", "B": "", "SECRET": "x"}
    assert steps.settled(declared, environ, {"EP": "1"}) == {"A": "mine", "B": "default", "EP": "1"}


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
