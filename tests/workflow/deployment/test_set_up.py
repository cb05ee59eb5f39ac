"""Deploys that set up the backend first: setup-all and run-all."""

from typing import TYPE_CHECKING

import pytest

from domain.commands import Verdict
from domain.errors import DirtyTree, StepFailed
from domain.profile import Profile, Step
from domain.spec import BackendMode
from domain.status import Phase

if TYPE_CHECKING:
    from tests.support.temporal.stage import Stage
    from tests.support.temporal.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_backend_comes_before_the_commit_is_pinned(stage: "Stage", world: "World") -> None:
    """Trap 13: the set-up may pull new commits, so what is built is read after it."""

    def pull(_request: object) -> None:
        world.commit = "c" * 40

    world.faults["run_step"] = [pull]
    await stage.deploy(backend_mode=BackendMode.REAL)
    status = await stage.phase(Phase.SERVING)
    assert status.release is not None
    assert status.release.stage == "ccccccc"
    assert world.processes == ["coordinator"]
    assert (status.backend, status.simulated) == (f"prover-backend/{stage.namespace}/example", False)


async def test_the_tree_is_judged_before_the_backend_and_after_it(stage: "Stage", world: "World") -> None:
    """A dirty tree is refused before the hours of a set-up; the second look knows that a set-up came between."""
    world.faults["resolve_source"] = [DirtyTree("the git tree has 1 uncommitted change")]
    await stage.deploy("d1", backend_mode=BackendMode.REAL)
    assert await stage.verdict("d1") is Verdict.REFUSED
    assert "run_step" not in world.names()
    await stage.deploy("d2", backend_mode=BackendMode.REAL)
    assert await stage.verdict("d2") is Verdict.DONE
    asked = [request for name, request in world.calls if name == "resolve_source"]
    assert [request.after_setup for request in asked] == [False, False, True]
    assert asked[0].backend == stage.spec().backend


async def test_the_circuit_is_the_profile_s_unless_it_is_set(stage: "Stage", world: "World") -> None:
    """Clients are configured for it; where the backend's programs have another one, the deployment says so."""
    world.profile = world.profile.model_copy(update={"circuit": "block_2"})
    world.circuits = {"config/coordinator.yaml": ["block_2"]}
    await stage.deploy("d1")
    await stage.outcome("d1")
    applied = [request for name, request in world.calls if name == "apply_release"]
    assert applied[0].spec.circuit == "block_2"
    assert "coordinator.yaml" not in " ".join((await stage.status()).warnings)
    await stage.deploy("d2", circuit="block")
    await stage.outcome("d2")
    applied = [request for name, request in world.calls if name == "apply_release"]
    assert applied[-1].spec.circuit == "block"
    said = "clients prove CIRCUIT=block, but config/coordinator.yaml has block_2"
    assert said in " ".join((await stage.status()).warnings)


async def test_setup_all_after_run_all_stops_the_ticker_and_says_so(stage: "Stage", world: "World") -> None:
    """Only the simulated step is stopped; the clients notice nothing."""
    await stage.deploy("d1", backend_mode=BackendMode.SIMULATED)
    await stage.outcome("d1")
    assert world.processes == ["coordinator", "ticker"]
    await stage.deploy("d2", backend_mode=BackendMode.REAL)
    outcome = await stage.outcome("d2")
    assert (outcome.verdict, "stopped ticker" in outcome.message) == (Verdict.DONE, True)
    assert world.processes == ["coordinator"]
    assert [one.revision for one in (await stage.status()).releases] == [1]
    await stage.deploy("d3", backend_mode=BackendMode.SIMULATED)
    outcome = await stage.outcome("d3")
    assert (outcome.verdict, "simulated data is produced now" in outcome.message) == (Verdict.DONE, True)


async def test_an_optional_step_that_fails_does_not_stop_the_clients(stage: "Stage", world: "World") -> None:
    """The deployment serves, with a warning that names the step and its reason."""
    world.profile = Profile(name="example", steps=[Step(name="explorer", command=["e"], optional=True)])
    world.faults["run_step"] = [StepFailed("no image", on="step explorer")]
    await stage.deploy("d1", backend_mode=BackendMode.REAL)
    assert (await stage.outcome("d1")).verdict is Verdict.DONE
    warned = (await stage.status()).warnings
    assert any("optional step explorer failed" in one and "no image" in one for one in warned)
