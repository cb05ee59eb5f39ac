"""The story of a deploy, told with fakes: what is done in which order, and what follows when a step says no."""

import asyncio
from typing import TYPE_CHECKING

import pytest
from temporalio.client import WorkflowFailureError, WorkflowUpdateFailedError

from domain.commands import Scale, Verdict
from domain.diagnosis import Diagnosis, Severity
from domain.errors import CredentialsRejected, Forbidden, OwnedByAnother, Unavailable
from domain.spec import OnFailure
from domain.status import Phase
from planning.status.markdown import status_markdown
from tests.support.temporal.fake_activities import CRASHING, whole
from workflows.deployment.workflow import ProverClusterWorkflow

if TYPE_CHECKING:
    from tests.support.temporal.stage import Stage
    from tests.support.temporal.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_deploy_checks_before_it_changes_and_ends_serving(stage: "Stage", world: "World") -> None:
    """Everything that may refuse comes first; afterwards the deployment serves and remembers the release."""
    receipt = await stage.deploy()
    status = await stage.phase(Phase.SERVING)
    assert receipt.command_id == "d1"
    assert world.names() == [
        "inspect_target",
        "check_nodes",
        "resolve_source",
        "ensure_image",
        "check_nodes",
        "apply_service",
        "apply_release",
        "await_rollout",
    ]
    assert (await stage.outcome("d1")).message == "2 of 2 clients ready, stage aaaaaaa"
    assert status.release is not None
    assert (status.release.revision, status.release.outcome, status.release.image_user) == (1, "done", "65532")


async def test_a_deploy_whose_coordinator_is_away_says_so(stage: "Stage", world: "World") -> None:
    """It is done, for the clients run; the trouble is in its outcome, in the status and in the Temporal UI."""
    away = Diagnosis(code="COORDINATOR_DOWN", what="the coordinator refuses connections", severity=Severity.TRANSIENT)
    world.rollouts = [whole(2).model_copy(update={"diagnosis": away})]
    await stage.deploy()
    outcome = await stage.outcome("d1")
    assert (outcome.verdict, outcome.diagnosis) == (Verdict.DONE, away)
    assert outcome.message.endswith("; warning: COORDINATOR_DOWN: the coordinator refuses connections")
    status = await stage.phase(Phase.SERVING)
    assert status.finding == away
    assert "COORDINATOR_DOWN" in status_markdown(status)


async def test_only_a_release_that_has_not_served_is_on_trial(stage: "Stage", world: "World") -> None:
    """What its clients fail at ends it; another number of clients of the same release is no reason to."""
    await stage.deploy("d1")
    await stage.outcome("d1")
    await stage.ask(ProverClusterWorkflow.scale, Scale(replicas=1), "s1")
    await stage.outcome("s1")
    assert [request.trial for name, request in world.calls if name == "await_rollout"] == [True, False]


async def test_the_same_deploy_again_changes_nothing(stage: "Stage", world: "World") -> None:
    """Same spec, same commit: unchanged, no new revision."""
    await stage.deploy("d1")
    await stage.outcome("d1")
    await stage.deploy("d2")
    assert await stage.verdict("d2") is Verdict.UNCHANGED
    assert [one.revision for one in (await stage.status()).releases] == [1]
    assert world.names().count("apply_release") == 2


async def test_a_new_commit_rolls_over(stage: "Stage", world: "World") -> None:
    """Another commit is another release with its own revision."""
    await stage.deploy("d1")
    await stage.outcome("d1")
    world.commit = "b" * 40
    await stage.deploy("d2")
    assert await stage.verdict("d2") is Verdict.DONE
    status = await stage.status()
    assert [(one.revision, one.stage) for one in status.releases] == [(1, "aaaaaaa"), (2, "bbbbbbb")]


async def test_a_refused_first_deploy_closes_having_written_nothing(stage: "Stage", world: "World") -> None:
    """Too few nodes: the workflow ends with the refusal and its numbers, and still answers for it."""
    world.nodes = 1
    await stage.deploy()
    outcome = await stage.handle.result()
    assert outcome is not None
    assert (outcome.verdict, outcome.diagnosis and outcome.diagnosis.code) == (Verdict.REFUSED, "NODES")
    assert world.names() == ["inspect_target", "check_nodes"]
    assert (await stage.status()).outcomes == [outcome]


async def test_a_namespace_of_another_owner_is_refused(stage: "Stage", world: "World") -> None:
    """Ownership is judged before the nodes are even counted."""
    world.faults["inspect_target"] = [OwnedByAnother("the namespace belongs to another", on="namespace x")]
    await stage.deploy()
    outcome = await stage.handle.result()
    assert outcome is not None
    assert (outcome.verdict, outcome.diagnosis and outcome.diagnosis.code) == (Verdict.REFUSED, "OWNER")


async def test_a_refused_upgrade_leaves_all_as_it_was(stage: "Stage", world: "World") -> None:
    """The old release goes on serving, untouched."""
    await stage.deploy("d1")
    await stage.outcome("d1")
    await stage.deploy("d2", replicas=5)
    assert await stage.verdict("d2") is Verdict.REFUSED
    status = await stage.phase(Phase.SERVING)
    assert status.release is not None
    assert (status.release.replicas, world.names().count("apply_release")) == (2, 1)


async def test_a_passing_fault_is_shown_while_it_is_retried(stage: "Stage", world: "World") -> None:
    """The first failure's reason is in the status at once, and gone when the step succeeded."""
    world.faults["ensure_image"] = [Unavailable("the registry does not answer", code="REGISTRY_DOWN", delay=0.5)]
    world.faults["ensure_image"].append(world.hold)
    await stage.deploy()
    status = await stage.until(lambda status: status.retry is not None)
    assert status.retry is not None
    assert (status.retry.attempt, status.retry.diagnosis.code) == (1, "REGISTRY_DOWN")
    world.held.set()
    assert (await stage.phase(Phase.SERVING)).retry is None


async def test_a_lasting_fault_parks_after_the_time_to_retry(stage: "Stage", world: "World") -> None:
    """Transient failures are retried for PROVER_RETRY_FOR, then a person has to choose."""
    world.faults["ensure_image"] = [Unavailable("docker is away", code="DOCKER_DOWN") for _ in range(50)]
    await stage.deploy(retry_for=2)
    status = await stage.phase(Phase.PARKED)
    assert status.diagnosis is not None
    assert status.diagnosis.code == "DOCKER_DOWN"
    assert await stage.verdict("d1") is Verdict.FAILED


async def test_a_permanent_fault_parks_and_the_next_deploy_takes_over(stage: "Stage", world: "World") -> None:
    """Refused credentials are not retried; the mended deploy needs no tear-down."""
    world.faults["ensure_image"] = [CredentialsRejected("the registry refuses them", on="hub"), world.hold]
    await stage.deploy("d1")
    await stage.phase(Phase.PARKED)
    assert world.names().count("ensure_image") == 1
    await stage.deploy("d2")
    assert (await stage.phase(Phase.IMAGE)).finding is None
    world.held.set()
    assert await stage.verdict("d2") is Verdict.DONE
    assert await stage.verdict("d1") is Verdict.FAILED


async def test_a_newer_deploy_interrupts_one_that_is_retrying(stage: "Stage", world: "World") -> None:
    """Nobody has to wait for the end of a retry that cannot help."""
    world.faults["ensure_image"] = [Unavailable("docker is away", delay=300)]
    await stage.deploy("d1")
    await stage.until(lambda status: status.retry is not None)
    await stage.deploy("d2")
    assert await stage.verdict("d1") is Verdict.SUPERSEDED
    assert await stage.verdict("d2") is Verdict.DONE


async def test_a_newer_deploy_interrupts_one_that_awaits_its_rollout(stage: "Stage", world: "World") -> None:
    """The wait is really cancelled before the next story writes."""
    world.faults["await_rollout"] = [world.hold]
    await stage.deploy("d1")
    await stage.called("await_rollout")
    await stage.deploy("d2")
    assert await stage.verdict("d1") is Verdict.SUPERSEDED
    assert await stage.verdict("d2") is Verdict.DONE


async def test_a_failed_upgrade_goes_back_to_the_last_good_release(stage: "Stage", world: "World") -> None:
    """The old image is applied again, and it serves; the outcome says why the new one did not."""
    await stage.deploy("d1")
    await stage.outcome("d1")
    world.commit = "b" * 40
    world.rollouts = [CRASHING]
    await stage.deploy("d2")
    outcome = await stage.outcome("d2")
    assert (outcome.verdict, outcome.diagnosis and outcome.diagnosis.code) == (Verdict.FAILED, "CRASH_LOOP")
    assert "rolled back to stage aaaaaaa" in outcome.message
    status = await stage.phase(Phase.SERVING)
    assert status.release is not None
    assert status.release.stage == "aaaaaaa"
    assert [(one.stage, one.outcome) for one in status.releases] == [("aaaaaaa", "done"), ("bbbbbbb", "failed")]


async def test_a_first_deploy_that_does_not_come_up_parks(stage: "Stage", world: "World") -> None:
    """There is nothing to roll back to; the pods stay for a look at them."""
    world.rollouts = [CRASHING]
    await stage.deploy()
    status = await stage.phase(Phase.PARKED)
    assert status.diagnosis is not None
    assert (status.diagnosis.code, world.applied is not None) == ("CRASH_LOOP", True)


async def test_the_pods_of_a_parked_deploy_do_not_speak_for_the_next(stage: "Stage", world: "World") -> None:
    """What troubled them is the finding while parked, and neither while the next image is made nor while it starts."""
    world.rollouts = [CRASHING]
    await stage.deploy("d1")
    assert (await stage.phase(Phase.PARKED)).finding == CRASHING.diagnosis
    world.commit = "b" * 40
    world.faults["ensure_image"] = [world.hold]
    ready = asyncio.Event()
    world.faults["await_rollout"] = [lambda _: ready.wait()]
    await stage.deploy("d2")
    assert (await stage.phase(Phase.IMAGE)).finding is None
    world.held.set()
    assert (await stage.phase(Phase.ROLLING_OUT)).finding is None
    ready.set()
    assert await stage.verdict("d2") is Verdict.DONE


async def test_on_failure_remove_takes_everything_away_and_fails(stage: "Stage", world: "World") -> None:
    """The workflow closes as failed with the reason, and nothing is left."""
    world.rollouts = [CRASHING]
    await stage.deploy(on_failure=OnFailure.REMOVE)
    with pytest.raises(WorkflowFailureError) as raised:
        await stage.handle.result()
    assert "CRASH_LOOP" in str(raised.value.cause)
    assert world.applied is None


async def test_on_failure_remove_parks_when_removing_fails_too(stage: "Stage", world: "World") -> None:
    """Both reasons are told, and the workflow stays for a person."""
    world.rollouts = [CRASHING]
    world.faults["remove_release"] = [Forbidden("may not delete", on="deployments")]
    await stage.deploy(on_failure=OnFailure.REMOVE)
    await stage.phase(Phase.PARKED)
    outcome = await stage.outcome("d1")
    assert "CRASH_LOOP" in outcome.message
    assert "RBAC" in outcome.message


async def test_on_failure_fail_leaves_the_objects_and_fails(stage: "Stage", world: "World") -> None:
    """The workflow closes as failed with the reason, the objects stay."""
    world.rollouts = [CRASHING]
    await stage.deploy(on_failure=OnFailure.FAIL)
    with pytest.raises(WorkflowFailureError):
        await stage.handle.result()
    assert world.applied is not None


async def test_pressed_twenty_times_it_is_deployed_once(stage: "Stage", world: "World") -> None:
    """One run, one release; every caller gets an outcome, and the last one's says that it serves."""
    world.faults["ensure_image"] = [world.hold]
    await stage.deploy("first")
    await stage.called("ensure_image")
    ids = [f"d{number}" for number in range(20)]
    await asyncio.gather(*(stage.deploy(command_id) for command_id in ids))
    world.held.set()
    verdicts = [await stage.verdict(command_id) for command_id in ["first", *ids]]
    assert verdicts[0] is Verdict.DONE
    assert sorted(verdicts[1:]) == [*[Verdict.SUPERSEDED] * 19, Verdict.UNCHANGED]
    assert [one.revision for one in (await stage.status()).releases] == [1]


async def test_a_repeated_command_id_is_the_same_command(stage: "Stage", world: "World") -> None:
    """Also in a later run: a CLI that asks twice deploys once."""
    await stage.deploy("d1")
    await stage.outcome("d1")
    receipt = await stage.deploy("d1")
    assert receipt.message == "2 of 2 clients ready, stage aaaaaaa"
    assert world.names().count("apply_release") == 1


async def test_a_spec_of_another_deployment_is_rejected(stage: "Stage") -> None:
    """Nothing of it gets into history; the run that was started for it ends by itself."""
    with pytest.raises(WorkflowUpdateFailedError) as raised:
        await stage.deploy(cluster="elsewhere")
    assert "SETTINGS" in str(raised.value.cause)
    assert await stage.handle.result() is None


async def test_outcomes_survive_a_new_run(stage: "Stage") -> None:
    """Every return to serving is a new run, and what was done before it is still told."""
    await stage.deploy("d1")
    await stage.outcome("d1")
    first = (await stage.handle.describe()).run_id
    await stage.ask(ProverClusterWorkflow.scale, {"replicas": 1}, "s1")
    await stage.outcome("s1")
    await stage.phase(Phase.SERVING)
    status = await stage.until(lambda status: len(status.outcomes) == 2)
    assert [one.command_id for one in status.outcomes] == ["d1", "s1"]
    assert (await stage.handle.describe()).run_id != first


async def test_warnings_of_a_stage_end_with_it(stage: "Stage", world: "World") -> None:
    """A dirty tree, an image of an old client: said as long as that stage serves, and not of the next one."""
    world.dirty, world.image = True, {"warnings": ["the image has no lag.key"]}
    await stage.deploy("d1")
    await stage.outcome("d1")
    assert (await stage.status()).warnings == [
        "stage aaaaaaa was made from a tree with uncommitted changes",
        "the image has no lag.key",
    ]
    world.dirty, world.image, world.commit = False, {}, "b" * 40
    await stage.deploy("d2")
    await stage.outcome("d2")
    assert (await stage.status()).warnings == []


async def test_one_client_is_counted_in_the_singular(stage: "Stage", world: "World") -> None:
    """In the step that people follow while the objects are written."""
    world.faults["apply_release"] = [world.hold]
    await stage.deploy("d1", replicas=1)
    await stage.called("apply_release")
    assert (await stage.status()).step == "apply stage aaaaaaa with 1 client"
    world.held.set()
    await stage.outcome("d1")
