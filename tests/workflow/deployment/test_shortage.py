"""Fewer nodes than clients: refused, waited for, gone on with fewer, or left to an autoscaler, as was asked."""

from typing import TYPE_CHECKING, Any

import pytest

from domain.commands import Scale, Verdict
from domain.diagnosis import Severity
from domain.errors import Unavailable
from domain.spec import Shortage
from domain.status import Phase
from workflows.deployment.workflow import ProverClusterWorkflow as Cluster

if TYPE_CHECKING:
    from tests.support.temporal.stage import Stage
    from tests.support.temporal.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")
DAY = 86400


async def serving(stage: "Stage", **changes: Any) -> None:
    """A deployment that serves."""
    await stage.deploy("d1", **changes)
    await stage.outcome("d1")


async def test_a_deploy_waits_for_nodes_and_goes_on_by_itself(stage: "Stage", world: "World") -> None:
    """Before anything is made or written; while it waits the reason is shown, through the end of a worker, too."""
    await stage.deploy(replicas=3, shortage=Shortage.WAIT, wait_for_nodes=DAY)
    status = await stage.phase(Phase.WAITING)
    assert status.step.startswith("wait for nodes for 3 clients, until ")
    assert status.finding is not None
    assert (status.finding.code, status.finding.severity) == ("NODES", Severity.PROGRESS)
    await stage.called("await_nodes")
    await stage.replace_workers()
    assert (await stage.status()).phase is Phase.WAITING
    assert "resolve_source" not in world.names()
    world.nodes = 3
    outcome = await stage.outcome("d1")
    assert (outcome.verdict, "nodes were waited for" in outcome.message) == (Verdict.DONE, True)
    assert (await stage.phase(Phase.SERVING)).finding is None


async def test_a_wait_in_vain_is_refused_with_the_numbers(stage: "Stage", world: "World") -> None:
    """A first deploy ends having written nothing."""
    await stage.deploy(replicas=3, shortage=Shortage.WAIT, wait_for_nodes=1)
    outcome = await stage.handle.result()
    assert outcome is not None
    assert (outcome.verdict, outcome.diagnosis and outcome.diagnosis.code) == (Verdict.REFUSED, "NODES")
    assert "2 of 3 nodes are usable" in outcome.message
    assert "1 s of waiting for nodes are over" in outcome.message
    assert set(world.names()) == {"inspect_target", "check_nodes", "await_nodes"}


async def test_a_scale_waits_while_what_is_there_serves(stage: "Stage", world: "World") -> None:
    """In vain: it serves as before. An API server that is away for a while ends no wait of days."""
    await serving(stage)
    world.faults["await_nodes"] = [Unavailable("the API is away", delay=0.2)]
    await stage.ask(Cluster.scale, Scale(replicas=3, shortage=Shortage.WAIT, wait_for_nodes=DAY), "s1")
    assert (await stage.until(lambda status: status.retry is not None)).phase is Phase.WAITING
    await stage.called("await_nodes", 2)
    await stage.ask(Cluster.scale, Scale(replicas=4, shortage=Shortage.WAIT, wait_for_nodes=1), "s2")
    assert await stage.verdict("s1") is Verdict.SUPERSEDED
    assert await stage.verdict("s2") is Verdict.REFUSED
    status = await stage.phase(Phase.SERVING)
    assert (status.release and status.release.replicas, status.diagnosis) == (2, None)
    assert world.names().count("apply_release") == 1


async def test_a_newer_deploy_takes_over_from_one_that_waits(stage: "Stage", world: "World") -> None:
    """Nobody is held for days."""
    await stage.deploy("d1", replicas=3, shortage=Shortage.WAIT, wait_for_nodes=DAY)
    await stage.called("await_nodes")
    await stage.deploy("d2")
    assert await stage.verdict("d2") is Verdict.DONE
    assert await stage.verdict("d1") is Verdict.SUPERSEDED
    assert world.applied is not None
    assert world.applied.spec.replicas == 2


async def test_nodes_that_go_during_the_build_are_waited_for_again(stage: "Stage", world: "World") -> None:
    """Within the same time."""
    world.faults["ensure_image"] = [lambda _: setattr(world, "nodes", 1)]
    await stage.deploy(shortage=Shortage.WAIT, wait_for_nodes=DAY)
    await stage.called("await_nodes")
    world.nodes = 2
    assert await stage.verdict("d1") is Verdict.DONE


async def test_a_deploy_goes_on_with_as_many_as_fit(stage: "Stage", world: "World") -> None:
    """The outcome and the warnings say so."""
    await stage.deploy(replicas=5, shortage=Shortage.FIT)
    outcome = await stage.outcome("d1")
    assert (outcome.verdict, "2 of 5 clients, as many as fit" in outcome.message) == (Verdict.DONE, True)
    status = await stage.phase(Phase.SERVING)
    assert (status.release and status.release.replicas, status.observed.ready) == (2, 2)
    assert "2 of 5 nodes are usable" in status.warnings[-1]
    assert world.applied is not None
    assert (world.applied.spec.replicas, world.applied.release.replicas) == (2, 2)


async def test_a_scale_goes_on_with_as_many_as_fit(stage: "Stage", world: "World") -> None:
    """Later runs still know of it, until another number is asked for."""
    world.nodes = 4
    await serving(stage)
    await stage.ask(Cluster.scale, Scale(replicas=9, shortage=Shortage.FIT), "s1")
    assert "4 of 9 clients, as many as fit" in (await stage.outcome("s1")).message
    assert "4 of 9 clients" in (await stage.phase(Phase.SERVING)).warnings[-1]
    await stage.ask(Cluster.scale, Scale(replicas=3), "s2")
    await stage.outcome("s2")
    assert (await stage.status()).warnings == []


async def test_as_many_as_fit_is_refused_when_none_does(stage: "Stage", world: "World") -> None:
    """Zero clients is nobody's wish."""
    world.nodes = 0
    await stage.deploy(shortage=Shortage.FIT)
    outcome = await stage.handle.result()
    assert outcome is not None
    assert outcome.verdict is Verdict.REFUSED


async def test_with_an_autoscaler_too_few_nodes_are_no_refusal(stage: "Stage", world: "World") -> None:
    """What it goes by are Pending clients, so they are made."""
    await stage.deploy(replicas=3, shortage=Shortage.AUTOSCALE)
    assert await stage.verdict("d1") is Verdict.DONE
    assert world.applied is not None
    assert world.applied.spec.replicas == 3
    assert "an autoscaler is expected" in (await stage.status()).warnings[-1]


async def test_another_policy_alone_is_no_change(stage: "Stage") -> None:
    """What to do with too few nodes is nothing that clients see."""
    await serving(stage)
    await stage.ask(Cluster.scale, Scale(replicas=2, shortage=Shortage.FIT), "s1")
    assert await stage.verdict("s1") is Verdict.UNCHANGED
