"""A deploy keeps what scale and reset-endpoint set; a failed one goes back to what served well."""

from typing import TYPE_CHECKING

import pytest

from domain.commands import Given, ResetEndpoint, Scale, Verdict
from domain.diagnosis import Diagnosis
from domain.spec import Endpoint
from domain.status import Observation, Phase
from planning.plan import proofs
from tests.support.temporal.fake_activities import CRASH, CRASHING
from workflows.deployment.workflow import ProverClusterWorkflow as Cluster

if TYPE_CHECKING:
    from tests.support.temporal.stage import Stage
    from tests.support.temporal.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")


def given(replicas: int = 2, ip: str = "10.0.0.9", *, flag: bool = False) -> dict[str, Given]:
    """The settings of .env, the number perhaps beneath a flag."""
    return {
        "CLIENT_REPLICAS": Given(value=str(replicas), origin=".env", flag=flag),
        "COORDINATOR_EP": Given(value=ip, origin=".env"),
        "COORDINATOR_PORT": Given(value="50055"),
    }


async def deployed(stage: "Stage", command_id: str, replicas: int = 2, ip: str = "10.0.0.9", **more: bool) -> str:
    """A deploy of the settings as .env has them; its message when it ended."""
    spec = {"replicas": replicas, "coordinator": Endpoint(ip=ip)}
    await stage.deploy(command_id, given=given(replicas, ip, **more), **spec)
    return (await stage.outcome(command_id)).message


async def test_a_deploy_keeps_what_scale_and_reset_set(stage: "Stage", world: "World") -> None:
    """Through a new run of the workflow, with another commit, until the setting changes; then that counts."""
    world.nodes = 9
    await deployed(stage, "d1")
    await stage.ask(Cluster.scale, Scale(replicas=8), "scale-8")
    await stage.outcome("scale-8")
    await stage.ask(Cluster.reset_endpoint, ResetEndpoint(ip="10.0.0.20"), "reset-20")
    await stage.outcome("reset-20")
    world.commit = "b" * 40
    said = await deployed(stage, "d2")
    assert world.applied is not None
    assert (world.applied.spec.replicas, world.applied.spec.coordinator.ip) == (8, "10.0.0.20")
    assert "8 clients: set by scale-8 on " in said
    assert "coordinator 10.0.0.20:50055: set by reset-20 on " in said
    said = await deployed(stage, "d3", replicas=4)
    assert "4 clients: CLIENT_REPLICAS=4 of .env, where the last deploy found 2; before: 8 clients" in said
    assert (world.applied.spec.replicas, world.applied.spec.coordinator.ip) == (4, "10.0.0.20")
    await deployed(stage, "d4", replicas=2)
    assert world.applied.spec.replicas == 2


async def test_a_flag_wins_over_scale(stage: "Stage", world: "World") -> None:
    """And stays in its turn while the setting below it does."""
    world.nodes = 9
    await deployed(stage, "d1")
    await stage.ask(Cluster.scale, Scale(replicas=8), "scale-8")
    await stage.outcome("scale-8")
    await stage.deploy("d2", given=given(flag=True), replicas=3)
    await stage.outcome("d2")
    assert world.applied is not None
    assert world.applied.spec.replicas == 3
    assert "3 clients: set by --replicas of d2 on " in await deployed(stage, "d3")


async def test_a_setting_that_was_rolled_back_still_counts_as_changed(stage: "Stage", world: "World") -> None:
    """The deploy that brought it failed: the next one with it takes it, and one without keeps what scale set."""
    world.nodes = 9
    await deployed(stage, "d1")
    await stage.ask(Cluster.scale, Scale(replicas=8), "scale-8")
    await stage.outcome("scale-8")
    world.rollouts, world.commit = [CRASHING], "b" * 40
    await deployed(stage, "d2", replicas=4)
    assert world.applied is not None
    assert (world.applied.spec.replicas, world.applied.release.stage) == (8, "aaaaaaa")
    assert "4 clients: CLIENT_REPLICAS=4" in await deployed(stage, "d3", replicas=4)
    assert world.applied.spec.replicas == 4


async def test_scale_of_a_parked_first_deploy_is_kept(stage: "Stage", world: "World") -> None:
    """The image was wrong, the number right."""
    world.rollouts = [CRASHING, CRASHING]
    await deployed(stage, "d1")
    await stage.ask(Cluster.scale, Scale(replicas=1), "scale-1")
    await stage.outcome("scale-1")
    world.commit = "b" * 40
    assert "1 client: set by scale-1 on " in await deployed(stage, "d2")


async def test_a_failed_deploy_goes_back_to_the_last_release_without_a_finding(stage: "Stage", world: "World") -> None:
    """Not to one that crash-looped since, however complete it once was; the number of now stays."""
    await stage.deploy("good")
    await stage.outcome("good")
    world.commit = "b" * 40
    await stage.deploy("crashing")
    await stage.outcome("crashing")
    await stage.ask(Cluster.scale, Scale(replicas=1), "s1")
    await stage.outcome("s1")
    world.live = Observation(exists=True, wanted=1, diagnosis=CRASH)
    await stage.phase(Phase.DEGRADED)
    world.rollouts, world.commit = [CRASHING], "c" * 40
    world.live = None
    await stage.deploy("worse", replicas=1)
    outcome = await stage.outcome("worse")
    assert outcome.verdict is Verdict.FAILED
    assert "rolled back to stage aaaaaaa, the last one that served without a finding" in outcome.message
    assert world.applied is not None
    assert (world.applied.release.stage, world.applied.spec.replicas) == ("aaaaaaa", 1)


@pytest.mark.parametrize("code", ["NODE_NOT_READY", "COORDINATOR_DOWN", "SCHED_CORDON"])
async def test_a_trouble_of_the_surroundings_spoils_no_release(stage: "Stage", world: "World", code: str) -> None:
    """A node or the coordinator was away: an older release would have had that trouble too."""
    await stage.deploy("good")
    await stage.outcome("good")
    world.commit = "b" * 40
    await stage.deploy("better")
    await stage.outcome("better")
    world.live = Observation(exists=True, wanted=2, diagnosis=Diagnosis(code=code, what="away"))
    await stage.phase(Phase.DEGRADED)
    world.rollouts, world.commit, world.live = [CRASHING], "c" * 40, None
    await stage.deploy("worse")
    assert (await stage.outcome("worse")).message.split("; ")[-1] == "rolled back to stage bbbbbbb"


async def test_changes_say_before_and_after_that_proofs_are_lost(stage: "Stage", world: "World") -> None:
    """Scale down, reset and upgrade: the receipt warns, the outcome says so; a first deploy and scale up do not."""
    world.nodes = 9
    first = await stage.deploy("d1")
    await stage.outcome("d1")
    up = await stage.ask(Cluster.scale, Scale(replicas=3), "up")
    await stage.outcome("up")
    assert (first.warning, up.warning) == ("", "")
    down = await stage.ask(Cluster.scale, Scale(replicas=2), "down")
    assert down.warning.startswith("1 client will end without being drained: busy ones lose their proof, and")
    assert proofs.ENDED in (await stage.outcome("down")).message
    reset = await stage.ask(Cluster.reset_endpoint, ResetEndpoint(ip="10.0.0.10"), "reset")
    assert reset.warning == proofs.MOVED
    assert proofs.MOVED in (await stage.outcome("reset")).message
    world.commit = "b" * 40
    upgrade = await stage.deploy("d2")
    assert upgrade.warning.startswith("clients that this deploy replaces are not drained")
    assert proofs.ENDED in (await stage.outcome("d2")).message
    await stage.deploy("d3")
    assert proofs.ENDED not in (await stage.outcome("d3")).message
