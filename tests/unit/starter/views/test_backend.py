"""A backend in words."""

import pytest

from domain.diagnosis import Diagnosis
from domain.messages.backend import BackendReport
from domain.profile import BackgroundProcess, Compose, Profile, Step, StepState, StepStatus
from domain.spec import BackendMode
from starter.views import backend

SETUP = StepStatus(name="setup", kind="command", state=StepState.DONE, seconds=185)
CIRCUIT = StepStatus(name="circuit", kind="command", state=StepState.SKIPPED, detail="its inputs did not change")
NODE = StepStatus(name="node", kind="process", state=StepState.WORKING)


def _report(*steps: StepStatus, **more: object) -> BackendReport:
    return BackendReport(workflow_id="w", profile="example", steps=[*steps]).model_copy(update=more)


def test_progress_names_what_works_and_how_far_it_is() -> None:
    """The line has the detail of each step, such as the number of its retry; without work there is no line."""
    assert backend.progress(_report(SETUP, CIRCUIT, NODE)) == "2 of 3 steps settled, working on node"
    again = NODE.model_copy(update={"detail": "retry 1 of 3"})
    assert backend.progress(_report(again)) == "0 of 1 steps settled, working on node (retry 1 of 3)"
    assert backend.progress(_report(SETUP)) == ""


def test_a_change_that_is_queued_says_what_it_awaits() -> None:
    """The note names the steps under way and the command that ends them."""
    assert backend.queued(_report(SETUP, NODE), "proverctl backend stop") == (
        "queued: this begins once the change that is under way has ended, which works on node. "
        "To end that one now: proverctl backend stop"
    )


def test_news_are_the_steps_that_were_settled_since() -> None:
    """The line has the time and the reason of a skip; known or unfinished steps have none."""
    found = backend.settled_lines({"setup": StepState.WORKING, "circuit": StepState.PENDING}, [SETUP, CIRCUIT, NODE])
    assert found == [("setup: done", " after 3 min 5 s"), ("circuit: skipped", ", its inputs did not change")]
    assert backend.settled_lines({"setup": StepState.DONE}, [SETUP]) == []
    instant = CIRCUIT.model_copy(update={"seconds": 0.01, "detail": ""})
    assert backend.settled_lines({}, [instant]) == [("circuit: skipped", "")]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "-"), (0.04, "-"), (0.5, "0.5 s"), (59.9, "59 s"), (60, "1 min"), (7380, "2 h 3 min")],
)
def test_durations(seconds: float, words: str) -> None:
    """Step times have at most two units; an instant is `-`."""
    assert backend.step_time(seconds) == words


def test_the_page_holds_everything() -> None:
    """Desired mode and since, repository, diagnosis in rows, link, and a row for each step."""
    found = Diagnosis(code="BACKEND_STEP", what="it failed", on="setup", because="of this", do="mend it")
    page = backend.page(
        _report(
            SETUP,
            CIRCUIT,
            mode=BackendMode.SIMULATED,
            repo="/repo",
            diagnosis=found,
            warnings=["optional step x failed"],
        ),
        "http://ui",
        "2026-01-01",
    )
    assert page.splitlines() == [
        "backend     example",
        "desired     up, with simulated data (since 2026-01-01)",
        "repository  /repo",
        "diagnosis   BACKEND_STEP: it failed on setup",
        "  because   of this",
        "  do        mend it",
        "warning     optional step x failed",
        "UI          http://ui",
        "STEP     KIND     STATE    TIME       TABLE_CHARACTERS",
        "setup    command  done     3 min 5 s",
        "circuit  command  skipped  -          its inputs did not change",
    ]


def test_a_purge_is_listed_by_step() -> None:
    """Paths of steps and of the profile, volumes of compose projects, those of functions among them, and records."""
    db = Compose(project="db", file="db.yaml")
    steps = [
        Step(name="setup", command=["make"], purge=["build", "*.key"]),
        Step(name="keys", command=["make", "keys"], outputs=["key"]),
        Step(name="db", compose=db),
        Step(name="more", function="run", leaves=[BackgroundProcess(compose=Compose(project="faucet", file="f.yaml"))]),
    ]
    assert backend.purged_by(Profile(name="example", steps=steps, purge=["data"])) == [
        "build (step setup)",
        "*.key (step setup)",
        "data (profile)",
        "the volumes of compose project db",
        "the volumes of compose project faucet",
        "the records and logs that proverctl keeps of example, but those of keys, whose outputs stay",
    ]
