"""What a workflow makes of nodes that pull before a rollout: which rollouts wait for them, and what stops one."""

from typing import TYPE_CHECKING

import pytest

from domain.commands import Scale, Verdict
from domain.diagnosis import Diagnosis
from domain.errors import Forbidden
from domain.images import PrePulled
from domain.status import Observation, Phase, Pod
from workflows.deployment.workflow import ProverClusterWorkflow as Cluster

if TYPE_CHECKING:
    from tests.support.temporal.stage import Stage
    from tests.support.temporal.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")
NOT_THERE = Diagnosis(code="IMAGE_NOT_FOUND", what="the image is not there", on="node n1 (1 of 2 nodes)")


async def upgrade(stage: "Stage", world: "World", **changes: object) -> None:
    """A deployment that serves, and a deploy of the next commit."""
    await stage.deploy("d1", **changes)
    await stage.outcome("d1")
    world.commit = "b" * 40
    await stage.deploy("d2", **changes)


async def test_the_image_is_pulled_before_it_is_applied(stage: "Stage", world: "World") -> None:
    """Once, for the new release, while the old one is what the cluster has; the status says so meanwhile."""
    world.faults["pre_pull"] = [world.hold]
    await upgrade(stage, world)
    await stage.called("pre_pull")
    status = await stage.phase(Phase.WAITING)
    assert status.step == "have the nodes pull the image of stage bbbbbbb before clients are replaced"
    assert world.names().count("apply_release") == 1
    world.held.set()
    assert await stage.verdict("d2") is Verdict.DONE
    assert world.names()[-4:] == ["apply_service", "pre_pull", "apply_release", "await_rollout"]
    first, way = (request for name, request in world.calls if name == "apply_service")
    assert [first.release.stage, way.release.stage] == ["aaaaaaa", "aaaaaaa"]  # a pull that fails changes nothing
    (asked,) = (request for name, request in world.calls if name == "pre_pull")
    assert (asked.release.stage, asked.deployment_id, asked.cluster_uid) == ("bbbbbbb", stage.id, "uid-1")


async def test_an_image_that_no_node_gets_stops_the_upgrade(stage: "Stage", world: "World") -> None:
    """Before anything is applied; what serves goes on, and nothing has to be rolled back."""
    world.live = Observation(exists=True, wanted=2, ready=2, available=2, pods=[Pod(name="p1", ready=True)])
    world.pre_pulled = PrePulled(nodes=2, diagnosis=NOT_THERE)
    await upgrade(stage, world)
    outcome = await stage.outcome("d2")
    assert (outcome.verdict, outcome.diagnosis and outcome.diagnosis.code) == (Verdict.FAILED, "IMAGE_NOT_FOUND")
    assert "Still serving: 1/2" in outcome.message
    assert "no client was stopped; nothing was changed in the cluster" in outcome.message
    assert world.names().count("apply_release") == 1
    status = await stage.phase(Phase.SERVING)
    assert (status.release and status.release.stage, [one.stage for one in status.releases]) == ("aaaaaaa", ["aaaaaaa"])


async def test_nodes_that_did_not_pull_are_told_and_stop_nothing(stage: "Stage", world: "World") -> None:
    """In the outcome and among the warnings."""
    world.pre_pulled = PrePulled(nodes=2, pulled=1, warnings=["The image was not pulled beforehand on n2: cordoned."])
    await upgrade(stage, world)
    outcome = await stage.outcome("d2")
    assert outcome.verdict is Verdict.DONE
    assert "1 of 2 nodes had the image before clients were replaced" in outcome.message
    assert world.pre_pulled.warnings[0] in (await stage.status()).warnings


async def test_a_worker_that_cannot_pull_stops_nothing(stage: "Stage", world: "World") -> None:
    """The rollout goes on as it would have done without."""
    world.faults["pre_pull"] = [Forbidden("may not list nodes", on="cluster")]
    await upgrade(stage, world)
    assert await stage.verdict("d2") is Verdict.DONE
    assert "may not list nodes" in " ".join((await stage.status()).warnings)


async def test_only_a_rollout_that_replaces_clients_waits(stage: "Stage", world: "World") -> None:
    """Not the first one, nor the same image again, nor another number of clients, nor where none serves."""
    await stage.deploy("d1")
    await stage.outcome("d1")
    await stage.deploy("d2", circuit="other")
    assert await stage.verdict("d2") is Verdict.DONE
    await stage.ask(Cluster.scale, Scale(replicas=0), "s1")
    await stage.outcome("s1")
    world.commit = "b" * 40
    await stage.deploy("d3", circuit="other")
    assert await stage.verdict("d3") is Verdict.DONE
    assert "pre_pull" not in world.names()


async def test_it_can_be_switched_off(stage: "Stage", world: "World") -> None:
    """PROVER_PRE_PULL=off."""
    await upgrade(stage, world, pre_pull=False)
    assert await stage.verdict("d2") is Verdict.DONE
    assert "pre_pull" not in world.names()


async def test_a_tear_down_ends_the_wait(stage: "Stage", world: "World") -> None:
    """The activity is cancelled, and has stopped before anything is removed."""
    world.faults["pre_pull"] = [world.hold]
    await upgrade(stage, world)
    await stage.called("pre_pull")
    await stage.tear_down("t1")
    assert await stage.verdict("d2") is Verdict.SUPERSEDED
    assert await stage.verdict("t1") is Verdict.DONE
    assert (world.names()[-2:], world.applied) == (["pre_pull", "remove_release"], None)


async def test_a_newer_deploy_ends_the_wait(stage: "Stage", world: "World") -> None:
    """Nobody has to wait for nodes to pull what is not wanted any more."""
    world.faults["pre_pull"] = [world.hold]
    await upgrade(stage, world)
    await stage.called("pre_pull")
    world.commit = "c" * 40
    await stage.deploy("d3")
    assert await stage.verdict("d2") is Verdict.SUPERSEDED
    assert await stage.verdict("d3") is Verdict.DONE
    asked = [request.release.stage for name, request in world.calls if name == "pre_pull"]
    assert asked == ["bbbbbbb", "ccccccc"]
