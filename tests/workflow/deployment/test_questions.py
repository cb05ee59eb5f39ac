"""A command that cannot go on by itself asks a person: each answer, the clock, the trouble that clears, and deaths."""

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from domain.commands import Answer, Scale, Verdict
from domain.diagnosis import Choice, Diagnosis, Severity
from domain.spec import OnFailure, Shortage
from domain.status import Observation, Phase, Pod, Question
from planning.status.markdown import status_markdown
from tests.support.temporal.fake_activities import whole
from workflows.deployment.workflow import ProverClusterWorkflow as Cluster

if TYPE_CHECKING:
    from tests.support.temporal.stage import Stage
    from tests.support.temporal.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")
HUMAN = Severity.NEEDS_HUMAN
NO_NODE = Diagnosis(code="SCHED_CORDON", what="1 of 2 clients finds no node", severity=HUMAN, grace=1)
NOT_REGISTERED = Diagnosis(code="NOT_REGISTERED", what="nobody polls", severity=HUMAN, grace=1)
CRASHES = Diagnosis(code="CRASH_LOOP", what="it crashes", severity=Severity.FATAL)


def short(found: Diagnosis = NO_NODE, wanted: int = 2) -> Observation:
    """A rollout of which one client does not come up."""
    pods = [Pod(name=f"p{number}", ready=number > 0) for number in range(wanted)]
    return Observation(exists=True, wanted=wanted, updated=wanted, ready=wanted - 1, pods=pods, diagnosis=found)


async def asked(stage: "Stage") -> Question:
    """The question, once it is open."""
    status = await stage.until(lambda status: status.question is not None)
    assert status.question is not None
    return status.question


async def answer(stage: "Stage", choice: Choice, update_id: str = "a1", **more: str) -> str:
    """Answer as the CLI does; the id of the command that goes on."""
    return (await stage.ask(Cluster.answer, Answer(choice=choice, by="me@here", **more), update_id)).command_id


async def serving(stage: "Stage", **changes: Any) -> None:
    """A deployment that serves."""
    await stage.deploy("d1", **changes)
    await stage.outcome("d1")


async def upgrade(stage: "Stage", world: "World", found: Diagnosis = NO_NODE, **changes: Any) -> Question:
    """A second release that does not come up, and the question about it."""
    await serving(stage)
    world.commit = "b" * 40
    world.rollouts = [short(found)]
    await stage.deploy("d2", **changes)
    return await asked(stage)


async def test_a_first_deploy_that_needs_a_person_asks(stage: "Stage", world: "World") -> None:
    """The command stays open, parked, with the numbers, the choices, the default and the deadline."""
    world.rollouts, world.nodes = [short(wanted=3)], 3
    world.faults["await_rollout"] = [lambda _: setattr(world, "nodes", 2)]
    await stage.deploy("d1", replicas=3)
    question = await asked(stage)
    status = await stage.status()
    assert (status.phase, status.outcomes, status.diagnosis) == (Phase.PARKED, [], NO_NODE)
    assert (question.command_id, question.diagnosis) == ("d1", NO_NODE)
    assert question.choices == [Choice.RETRY, Choice.FEWER, Choice.ABORT]
    assert (question.default, question.fits) == (Choice.ABORT, 2)
    left = datetime.fromisoformat(question.deadline) - datetime.fromisoformat(status.since)
    assert 1790 < left.total_seconds() <= 1801
    assert f"proverctl answer fewer -n {stage.namespace}" in status_markdown(status)


async def test_the_question_is_in_the_memo(stage: "Stage", world: "World") -> None:
    """So that `list` and `status` know of it without a worker; and it is gone from there afterwards."""
    await upgrade(stage, world)
    memo = await (await stage.handle.describe()).memo()
    assert "retry, rollback or abort" in memo["question"]
    await answer(stage, Choice.RETRY)
    await stage.outcome("d2")
    await stage.phase(Phase.SERVING)
    assert (await (await stage.handle.describe()).memo())["question"] == ""


async def test_retry_rolls_out_again(stage: "Stage", world: "World") -> None:
    """With fresh graces; the outcome says who said so."""
    await upgrade(stage, world)
    assert await answer(stage, Choice.RETRY) == "d2"
    outcome = await stage.outcome("d2")
    assert (outcome.verdict, "answered retry by me@here" in outcome.message) == (Verdict.DONE, True)
    applied = [request.release.stage for name, request in world.calls if name == "apply_release"]
    assert applied == ["aaaaaaa", "bbbbbbb", "bbbbbbb"]
    assert (await stage.phase(Phase.SERVING)).question is None


async def test_fewer_goes_on_with_what_fits(stage: "Stage", world: "World") -> None:
    """The number is the one of the question; outcome and status say that it is fewer than wanted."""
    world.nodes = 3
    await serving(stage)
    world.rollouts = [short(wanted=3)]
    world.faults["await_rollout"] = [lambda _: setattr(world, "nodes", 2)]
    world.commit = "b" * 40
    await stage.deploy("d2", replicas=3)
    assert Choice.FEWER in (await asked(stage)).choices
    await answer(stage, Choice.FEWER)
    outcome = await stage.outcome("d2")
    assert (outcome.verdict, "2 of 3 clients, as many as fit" in outcome.message) == (Verdict.DONE, True)
    status = await stage.phase(Phase.SERVING)
    assert (status.release and status.release.replicas, status.observed.wanted) == (2, 2)
    assert "2 of 3 clients were made" in status.warnings[-1]
    world.nodes = 3
    await stage.ask(Cluster.scale, Scale(replicas=3), "s1")
    await stage.outcome("s1")
    assert not any("clients were made" in warning for warning in (await stage.status()).warnings)


async def test_rollback_goes_back_to_the_last_good_release(stage: "Stage", world: "World") -> None:
    """The command failed, with the diagnosis that was asked about, and what serves is told."""
    question = await upgrade(stage, world)
    assert (question.default, question.diagnosis.serving) == (Choice.ROLLBACK, "1/2")
    await answer(stage, Choice.ROLLBACK)
    outcome = await stage.outcome("d2")
    assert (outcome.verdict, outcome.diagnosis) == (Verdict.FAILED, question.diagnosis)
    assert "rolled back to stage aaaaaaa" in outcome.message
    assert "evidence is kept in /state/evidence/one.json.gz on worker-1" in outcome.message
    assert (await stage.phase(Phase.SERVING)).question is None


async def test_abort_leaves_what_was_applied(stage: "Stage", world: "World") -> None:
    """Parked without a question; the next deploy takes over."""
    question = await upgrade(stage, world)
    await answer(stage, Choice.ABORT)
    assert await stage.verdict("d2") is Verdict.FAILED
    status = await stage.status()
    assert (status.phase, status.question, status.diagnosis) == (Phase.PARKED, None, question.diagnosis)
    assert (status.release and status.release.stage) == "bbbbbbb"
    assert world.applied is not None
    assert world.applied.release.stage == "bbbbbbb"
    await stage.deploy("d3")
    assert await stage.verdict("d3") is Verdict.DONE


async def test_abort_of_a_first_deploy_does_as_on_failure_says(stage: "Stage", world: "World") -> None:
    """Here it is removed, and outcome and workflow fail with the very diagnosis that was asked about."""
    world.rollouts = [short(NOT_REGISTERED)]
    await stage.deploy(on_failure=OnFailure.REMOVE)
    assert (await asked(stage)).choices == [Choice.RETRY, Choice.ABORT]
    await answer(stage, Choice.ABORT)
    assert (await stage.outcome("d1")).diagnosis == NOT_REGISTERED
    with pytest.raises(WorkflowFailureError) as raised:
        await stage.handle.result()
    assert isinstance(raised.value.cause, ApplicationError)
    assert Diagnosis.model_validate(raised.value.cause.details[0]) == NOT_REGISTERED
    assert world.applied is None


async def test_without_an_answer_the_default_is_taken(stage: "Stage", world: "World") -> None:
    """At the deadline, and the outcome says that nobody answered."""
    await upgrade(stage, world, answer_within=1)
    outcome = await stage.outcome("d2")
    assert "nobody answered by" in outcome.message
    assert "rolled back to stage aaaaaaa" in outcome.message


async def test_no_time_for_an_answer_means_no_question(stage: "Stage", world: "World") -> None:
    """For those who want the default at once."""
    await serving(stage)
    world.commit = "b" * 40
    world.rollouts = [short()]
    await stage.deploy("d2", answer_within=0)
    outcome = await stage.outcome("d2")
    assert "rolled back" in outcome.message
    assert "answered" not in outcome.message


async def test_trouble_that_clears_closes_the_question(stage: "Stage", world: "World") -> None:
    """Somebody uncordoned the node: nothing is applied again, and the command is done."""
    await upgrade(stage, world)
    await stage.called("await_rollout", 3)
    world.cleared = whole(2)
    outcome = await stage.outcome("d2")
    assert (outcome.verdict, "SCHED_CORDON cleared by itself" in outcome.message) == (Verdict.DONE, True)
    assert world.names().count("apply_release") == 2
    status = await stage.phase(Phase.SERVING)
    assert (status.question, status.diagnosis, status.release and status.release.stage) == (None, None, "bbbbbbb")


async def test_trouble_that_becomes_fatal_is_not_asked_about_any_more(stage: "Stage", world: "World") -> None:
    """It goes back by itself, with the new diagnosis."""
    await upgrade(stage, world)
    world.cleared = short(CRASHES)
    outcome = await stage.outcome("d2")
    assert (outcome.diagnosis and outcome.diagnosis.code) == "CRASH_LOOP"
    assert "rolled back" in outcome.message


async def test_an_answer_that_is_not_offered_is_refused_with_those_that_are(stage: "Stage", world: "World") -> None:
    """And changes nothing; neither does one to a question of yesterday."""
    await upgrade(stage, world)
    with pytest.raises(WorkflowUpdateFailedError) as raised:
        await answer(stage, Choice.FEWER)
    assert "answer retry, rollback or abort" in str(raised.value.cause)
    with pytest.raises(WorkflowUpdateFailedError) as raised:
        await answer(stage, Choice.RETRY, "a2", question="d1#1")
    assert "d2#1" in str(raised.value.cause)
    with pytest.raises(WorkflowUpdateFailedError):
        await stage.ask("answer", {"choice": "maybe"}, "a3")
    assert (await asked(stage)).id == "d2#1"


async def test_without_a_question_there_is_nothing_to_answer(stage: "Stage") -> None:
    """Said so, with the command that shows how it stands."""
    await serving(stage)
    with pytest.raises(WorkflowUpdateFailedError) as raised:
        await answer(stage, Choice.RETRY)
    assert "NO_QUESTION" in str(raised.value.cause)
    assert "proverctl status" in str(raised.value.cause)


async def test_an_answer_counts_once(stage: "Stage", world: "World") -> None:
    """The same again is the same receipt, also in a later run; the second of two people is told that it is too late."""
    await upgrade(stage, world)
    both = await asyncio.gather(
        answer(stage, Choice.RETRY, "a1"), answer(stage, Choice.ABORT, "a2"), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in both) == ["WorkflowUpdateFailedError", "str"]
    accepted = "a1" if both[0] == "d2" else "a2"
    await stage.outcome("d2")
    assert await answer(stage, Choice.RETRY, accepted) == "d2"


async def test_a_retry_that_fails_asks_again(stage: "Stage", world: "World") -> None:
    """Another question, with an id of its own."""
    await upgrade(stage, world)
    world.rollouts = [short(NOT_REGISTERED)]
    await answer(stage, Choice.RETRY)
    await stage.called("await_rollout", 4)
    assert (await stage.status()).phase is Phase.ROLLING_OUT
    status = await stage.until(lambda status: status.question is not None and status.question.id == "d2#2")
    assert (status.question and status.question.diagnosis.code) == "NOT_REGISTERED"
    await answer(stage, Choice.ROLLBACK, "a2", question="d2#2")
    assert await stage.verdict("d2") is Verdict.FAILED


async def test_a_question_survives_the_worker(stage: "Stage", world: "World") -> None:
    """Another worker has it, takes the answer, and goes on."""
    question = await upgrade(stage, world)
    await stage.replace_workers()
    assert (await stage.status()).question == question
    await answer(stage, Choice.RETRY)
    assert await stage.verdict("d2") is Verdict.DONE


@pytest.mark.parametrize("command", ["deploy", "scale"])
async def test_a_newer_command_is_an_answer_too(stage: "Stage", world: "World", command: str) -> None:
    """Nobody has to answer before they may do something else."""
    await upgrade(stage, world)
    if command == "deploy":
        world.commit = "c" * 40
        await stage.deploy("n1")
    else:
        await stage.ask(Cluster.scale, Scale(replicas=1), "n1")
    assert await stage.verdict("n1") is Verdict.DONE
    assert await stage.verdict("d2") is Verdict.SUPERSEDED
    status = await stage.phase(Phase.SERVING)
    assert (status.question, status.release and status.release.outcome) == (None, "done")


async def test_tear_down_while_a_question_is_open(stage: "Stage", world: "World") -> None:
    """It does not wait for an answer."""
    await upgrade(stage, world)
    await stage.tear_down("t1")
    outcome = await stage.handle.result()
    assert outcome is not None
    assert (outcome.verdict, world.applied, (await stage.status()).question) == (Verdict.DONE, None, None)


async def test_nodes_that_went_during_the_build_are_asked_about(stage: "Stage", world: "World") -> None:
    """Nothing was applied yet, so there is nothing to go back to; a node that comes answers."""
    world.faults["ensure_image"] = [lambda _: setattr(world, "nodes", 1)]
    await stage.deploy("d1", retry_for=1)
    question = await asked(stage)
    assert (question.choices, question.fits) == ([Choice.RETRY, Choice.FEWER, Choice.ABORT], 1)
    assert "apply_release" not in world.names()
    await stage.called("await_nodes")
    world.nodes = 2
    assert await stage.verdict("d1") is Verdict.DONE


async def test_a_scale_that_expects_an_autoscaler_waits_before_it_asks(stage: "Stage", world: "World") -> None:
    """Clients that no node takes are no trouble until the progress deadline; then a person is asked."""
    await serving(stage, progress_deadline=2)
    world.rollouts = [short(wanted=3)]
    await stage.ask(Cluster.scale, Scale(replicas=3, shortage=Shortage.AUTOSCALE), "s1")
    await stage.called("await_rollout", 3)
    assert (await stage.status()).phase is Phase.ROLLING_OUT
    assert (await asked(stage)).command_id == "s1"
    world.cleared = whole(3)
    assert await stage.verdict("s1") is Verdict.DONE
