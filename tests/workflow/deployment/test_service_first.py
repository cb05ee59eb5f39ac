"""A first deploy that applies the Service before its clients, with fakes: the wait, and what ends it."""

from typing import TYPE_CHECKING

import pytest

from domain.commands import Scale, Verdict
from domain.errors import OwnedByAnother, Unavailable
from domain.spec import Endpoint
from domain.status import Phase
from tests.support.temporal.fake_activities import CRASHING
from workflows.deployment.workflow import ProverClusterWorkflow

if TYPE_CHECKING:
    from tests.support.temporal.stage import Stage
    from tests.support.temporal.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_nodes_are_given_time_to_learn_of_a_new_service(stage: "Stage", world: "World") -> None:
    """By a timer, before any client starts; what ends the wait leaves no client behind."""
    world.settle = 300
    await stage.deploy()
    await stage.until(lambda status: status.step == "give the nodes 300 s to learn of the new Service")
    assert "apply_release" not in world.names()
    world.settle = 0.2
    await stage.tear_down("t1")
    assert await stage.verdict("d1") is Verdict.SUPERSEDED
    await stage.outcome("t1")
    await stage.deploy("d2")
    assert await stage.verdict("d2") is Verdict.DONE
    assert world.names()[-3:] == ["apply_service", "apply_release", "await_rollout"]


async def test_a_second_equal_deploy_during_the_wait_makes_one_revision(stage: "Stage", world: "World") -> None:
    """No release is recorded before its clients are applied."""
    world.settle = 2
    await stage.deploy()
    await stage.until(lambda status: status.step == "give the nodes 2 s to learn of the new Service")
    world.settle = 0
    await stage.deploy("d2")
    await stage.outcome("d1")
    assert await stage.verdict("d2") in {Verdict.DONE, Verdict.UNCHANGED}
    assert [(one.revision, one.outcome) for one in (await stage.status()).releases] == [(1, "done")]


async def test_a_second_equal_deploy_during_a_retried_service_apply_makes_one_revision(
    stage: "Stage", world: "World"
) -> None:
    """Interrupt the apply of the Service, whose release was not recorded yet."""
    world.faults["apply_service"] = [Unavailable("the API server is away", delay=300)]
    await stage.deploy()
    await stage.until(lambda status: status.retry is not None)
    await stage.deploy("d2")
    await stage.outcome("d2")
    assert await stage.verdict("d1") is Verdict.SUPERSEDED
    assert [(one.revision, one.outcome) for one in (await stage.status()).releases] == [(1, "done")]


async def test_a_refused_service_leaves_a_failed_release(stage: "Stage", world: "World") -> None:
    """Spec and release stay of one deploy, so that a later scale applies no mixture of two."""
    world.rollouts = [CRASHING]
    await stage.deploy()
    await stage.phase(Phase.PARKED)
    world.commit = "b" * 40
    world.faults["apply_service"] = [OwnedByAnother("the Service belongs to another", on="Service x")]
    await stage.deploy("d2", coordinator=Endpoint(ip="10.0.0.10"))
    await stage.outcome("d2")
    assert [one.outcome for one in (await stage.status()).releases] == ["failed", "failed"]
    await stage.ask(ProverClusterWorkflow.scale, Scale(replicas=1), "s1")
    await stage.outcome("s1")
    assert world.applied is not None
    assert (world.applied.release.revision, world.applied.release.endpoint) == (2, str(world.applied.spec.coordinator))
