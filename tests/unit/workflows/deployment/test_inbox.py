"""Which command counts when several wait, judged from data alone."""

import pytest

from domain.commands import Command, Kind, Scale, TearDown, Upgrade, Verdict
from domain.spec import ClusterSpec, Endpoint, ImageTarget
from domain.state import MAX_OUTCOMES
from domain.status import Phase
from workflows.deployment.inbox import Inbox, Result, interrupts, supersedes

SPEC = ClusterSpec(coordinator=Endpoint(ip="10.0.0.9"), image=ImageTarget(repository="p"))


def scale(name: str = "s") -> Command:
    """Any."""
    return Command(id=name, kind=Kind.SCALE, scale=Scale(replicas=1))


def deploy(name: str = "d", replicas: int = 2) -> Command:
    """A deploy of so many."""
    spec = SPEC.model_copy(update={"replicas": replicas})
    return Command(id=name, kind=Kind.UPGRADE, upgrade=Upgrade(spec=spec))


def tear_down(name: str = "t") -> Command:
    """Any."""
    return Command(id=name, kind=Kind.TEAR_DOWN, tear_down=TearDown())


def reset(name: str = "r") -> Command:
    """Any."""
    return Command(id=name, kind=Kind.RESET_ENDPOINT)


@pytest.mark.parametrize(
    ("newer", "older", "expected"),
    [
        (scale(), scale(), True),
        (scale(), reset(), False),
        (reset(), reset(), False),  # one may name the IP and the other the port
        (deploy(), scale(), True),
        (deploy(), deploy(), True),
        (deploy(), tear_down(), False),
        (tear_down(), deploy(), True),
        (tear_down(), tear_down(), False),
    ],
)
def test_what_makes_a_waiting_command_pointless(newer: Command, older: Command, expected: bool) -> None:
    """A later one that says everything the earlier one said."""
    assert expected == supersedes(newer, older)


@pytest.mark.parametrize(
    ("newer", "running", "phase", "retrying", "expected"),
    [
        (tear_down(), deploy(), Phase.APPLYING, False, True),
        (tear_down(), tear_down(), Phase.RELEASING, True, False),
        (deploy(), tear_down(), Phase.RELEASING, True, False),
        (deploy(replicas=3), deploy(), Phase.IMAGE, False, True),
        (deploy(replicas=3), deploy(), Phase.APPLYING, False, False),
        (deploy(replicas=3), deploy(), Phase.APPLYING, True, True),
        (deploy(), deploy(), Phase.IMAGE, False, False),  # pressed twice: the build goes on
        (deploy(), deploy(), Phase.IMAGE, True, True),
        (deploy(), deploy(), Phase.ROLLING_OUT, False, True),
        (deploy(), deploy(), Phase.ROLLING_BACK, False, True),
        (scale(), deploy(), Phase.ROLLING_OUT, False, False),
        (scale(), scale(), Phase.ROLLING_OUT, False, True),
        (scale(), scale(), Phase.APPLYING, False, False),
        (reset(), scale(), Phase.ROLLING_OUT, False, False),
    ],
)
def test_what_interrupts_a_running_command(
    newer: Command, running: Command, phase: Phase, retrying: bool, expected: bool
) -> None:
    """Never in the middle of a write that goes well."""
    assert expected == interrupts(newer, running, phase, retrying=retrying)


@pytest.mark.parametrize("newer", [scale(), reset(), deploy(), tear_down()])
def test_whatever_is_asked_instead_of_an_answer_comes_first(newer: Command) -> None:
    """A command that waits for a person stands in nobody's way."""
    assert interrupts(newer, deploy(), Phase.PARKED, retrying=False, asking=True)
    assert not interrupts(newer, tear_down(), Phase.PARKED, retrying=False, asking=True)


def test_superseded_commands_are_settled() -> None:
    """Whoever asked for them gets an answer that names the successor."""
    inbox = Inbox()
    for command in (scale("s1"), scale("s2"), deploy("d1")):
        inbox.put(command, "now")
    assert [one.id for one in inbox.pending] == ["d1"]
    assert [(one.command_id, one.verdict) for one in inbox.outcomes] == [
        ("s1", Verdict.SUPERSEDED),
        ("s2", Verdict.SUPERSEDED),
    ]
    assert "d1" in inbox.outcomes[1].message


def test_a_deploy_behind_a_tear_down_leaves_it_alone() -> None:
    """What was asked before the tear-down is settled by it, what comes after waits for it."""
    inbox = Inbox()
    for command in (scale("s1"), tear_down("t1"), deploy("d1"), scale("s2"), deploy("d2")):
        inbox.put(command, "now")
    assert [one.id for one in inbox.pending] == ["t1", "d2"]


def test_a_command_is_known_while_it_waits_runs_and_afterwards() -> None:
    """So a repeated id is the same command."""
    inbox = Inbox()
    inbox.put(scale("s1"), "now")
    assert inbox.knows("s1")
    running = inbox.take()
    assert inbox.knows("s1")
    inbox.settle(running, Result(Verdict.DONE, "fine"), "now")
    assert inbox.knows("s1")
    assert inbox.running is None
    assert not inbox.knows("s2")


def test_only_the_last_outcomes_are_kept() -> None:
    """State must stay small."""
    inbox = Inbox()
    for number in range(MAX_OUTCOMES + 5):
        inbox.settle(scale(f"s{number}"), Result(Verdict.DONE), "now")
    assert len(inbox.outcomes) == MAX_OUTCOMES
    assert f"s{MAX_OUTCOMES + 4}" == inbox.outcomes[-1].command_id


def test_a_release_is_expected_while_a_deploy_runs_or_waits() -> None:
    """Unless a tear-down comes after it."""
    inbox = Inbox()
    assert not inbox.expects_release()
    inbox.put(deploy("d1"), "now")
    assert inbox.expects_release()
    inbox.take()
    assert inbox.expects_release()
    inbox.put(tear_down("t1"), "now")
    assert not inbox.expects_release()
