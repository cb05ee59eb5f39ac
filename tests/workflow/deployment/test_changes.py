"""Scale, reset of the endpoint and tear-down: order, collapse, refusals, and messages that make no sense."""

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError

from domain.commands import MAX_REPLICAS, ResetEndpoint, Scale, Verdict
from domain.errors import Forbidden, OwnedByAnother, Unavailable
from domain.spec import BackendMode
from domain.status import Observation, Phase
from tests.support.temporal.fake_activities import whole
from workflows.deployment.workflow import ProverClusterWorkflow as Cluster

if TYPE_CHECKING:
    from tests.support.temporal.stage import Stage
    from tests.support.temporal.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def serving(stage: "Stage", **changes: Any) -> None:
    """A deployment that serves."""
    await stage.deploy("d1", **changes)
    await stage.outcome("d1")


async def test_scale_changes_the_number_of_clients(stage: "Stage", world: "World") -> None:
    """Down needs no check of the nodes, and no new image."""
    await serving(stage)
    await stage.ask(Cluster.scale, Scale(replicas=0), "s1")
    assert await stage.verdict("s1") is Verdict.DONE
    status = await stage.phase(Phase.SERVING)
    assert status.release is not None
    assert (status.release.replicas, status.release.revision) == (0, 1)
    assert world.applied is not None
    assert world.applied.spec.replicas == 0
    assert world.names()[-2:] == ["apply_release", "await_rollout"]


async def test_scale_beyond_the_nodes_is_refused_with_numbers(stage: "Stage", world: "World") -> None:
    """Nothing is written."""
    await serving(stage)
    await stage.ask(Cluster.scale, Scale(replicas=3), "s1")
    outcome = await stage.outcome("s1")
    assert outcome.verdict is Verdict.REFUSED
    assert "2 of 3 nodes are usable" in outcome.message
    assert world.names().count("apply_release") == 1
    assert (await stage.status()).phase is Phase.SERVING


async def test_consecutive_scales_collapse_to_the_last(stage: "Stage", world: "World") -> None:
    """Those in between are never applied."""
    world.nodes = 9
    await serving(stage)
    world.faults["apply_release"] = [world.hold]
    await stage.ask(Cluster.scale, Scale(replicas=3), "s1")
    await stage.called("apply_release", 2)
    for number in (4, 5, 6):
        await stage.ask(Cluster.scale, Scale(replicas=number), f"s{number}")
    world.held.set()
    assert await stage.verdict("s6") is Verdict.DONE
    assert [await stage.verdict(name) for name in ("s4", "s5")] == [Verdict.SUPERSEDED] * 2
    applied = [request.spec.replicas for name, request in world.calls if name == "apply_release"]
    assert applied == [2, 3, 6]


async def test_scale_to_the_same_number_is_no_change(stage: "Stage") -> None:
    """Said so, and not refused."""
    await serving(stage)
    await stage.ask(Cluster.scale, Scale(replicas=2), "s1")
    assert await stage.verdict("s1") is Verdict.UNCHANGED


async def test_scale_without_clients_is_rejected(stage: "Stage", world: "World") -> None:
    """A parked deploy that never applied anything has nothing to scale; history keeps no trace of the question."""
    world.faults["ensure_image"] = [Forbidden("no", on="registry")]
    await stage.deploy()
    await stage.phase(Phase.PARKED)
    with pytest.raises(WorkflowUpdateFailedError) as raised:
        await stage.ask(Cluster.scale, Scale(replicas=1), "s1")
    assert "NOT_DEPLOYED" in str(raised.value.cause)
    assert (await stage.status()).pending == []


async def test_scale_waits_for_the_deploy_that_runs(stage: "Stage", world: "World") -> None:
    """Commands are done in order."""
    world.faults["ensure_image"] = [world.hold]
    await stage.deploy("d1")
    await stage.called("ensure_image")
    await stage.ask(Cluster.scale, Scale(replicas=1), "s1")
    assert (await stage.status()).pending == ["scale to 1"]
    world.held.set()
    assert await stage.verdict("s1") is Verdict.DONE
    assert [request.spec.replicas for name, request in world.calls if name == "apply_release"] == [2, 1]


async def test_a_failed_scale_comes_back(stage: "Stage", world: "World") -> None:
    """The number that served is restored."""
    world.nodes = 3
    await serving(stage)
    world.rollouts = [Observation(exists=True, wanted=3, ready=2)]
    await stage.ask(Cluster.scale, Scale(replicas=3), "s1")
    assert await stage.verdict("s1") is Verdict.FAILED
    assert [request.spec.replicas for name, request in world.calls if name == "apply_release"] == [2, 3, 2]
    assert (await stage.phase(Phase.SERVING)).release == (await stage.status()).releases[-1]


async def test_reset_endpoint_keeps_what_it_does_not_name(stage: "Stage", world: "World") -> None:
    """The port stays when only the IP is given."""
    await serving(stage)
    await stage.ask(Cluster.reset_endpoint, ResetEndpoint(ip="10.0.0.10"), "r1")
    assert await stage.verdict("r1") is Verdict.DONE
    assert (await stage.phase(Phase.SERVING)).endpoint == "10.0.0.10:50055"
    assert world.applied is not None
    assert str(world.applied.spec.coordinator) == "10.0.0.10:50055"


async def test_reset_endpoint_says_when_it_has_no_effect(stage: "Stage", world: "World") -> None:
    """COORDINATOR_SERV overrides what clients get (R14)."""
    await serving(stage, coordinator_serv="http://elsewhere:1")
    await stage.ask(Cluster.reset_endpoint, ResetEndpoint(ip="10.0.0.10"), "r1")
    outcome = await stage.outcome("r1")
    assert (outcome.verdict, outcome.diagnosis and outcome.diagnosis.code) == (Verdict.REFUSED, "NO_EFFECT")
    assert world.names().count("apply_release") == 1


async def test_an_endpoint_that_no_pod_reaches_is_rejected(stage: "Stage") -> None:
    """Before it is accepted."""
    await serving(stage)
    for ip in ("localhost", "127.0.0.1", "169.254.169.254", "fe80::1%eth0"):
        with pytest.raises(WorkflowUpdateFailedError) as raised:
            await stage.ask(Cluster.reset_endpoint, ResetEndpoint(ip=ip), f"r-{ip}")
        assert "COORDINATOR_EP" in str(raised.value.cause)


async def test_a_nonsense_scale_is_rejected(stage: "Stage") -> None:
    """An update that does not decode fails for its caller only."""
    await serving(stage)
    for replicas in (-1, MAX_REPLICAS + 1, "x", None):
        with pytest.raises(WorkflowUpdateFailedError):
            await stage.ask("scale", {"replicas": replicas}, f"s-{replicas}")
    status = await stage.status()
    assert (status.phase, len(status.outcomes)) == (Phase.SERVING, 1)


async def test_a_nonsense_signal_is_reported_and_never_fatal(stage: "Stage") -> None:
    """It becomes a refused outcome, and the next signal is still heard."""
    await serving(stage)
    payloads: list[Any] = [-1, "x", None, [], {"replicas": -3}, {"replicas": 10**9}, b"\x00\xff", {}]
    for payload in payloads:
        await stage.handle.signal("scale", payload)
    await stage.handle.signal("scale", 1)
    status = await stage.until(lambda status: len(status.outcomes) == len(payloads) + 2)
    refused = [Verdict.REFUSED] * len(payloads)
    assert [one.verdict for one in status.outcomes] == [Verdict.DONE, *refused, Verdict.DONE]
    assert status.outcomes[-1].title == "scale to 1"


async def test_a_signal_resets_the_endpoint(stage: "Stage") -> None:
    """Bare or as JSON; a bad address is refused."""
    await serving(stage)
    await stage.handle.signal("reset_endpoint", {"ip": "10.0.0.11", "port": 50056})
    await stage.until(lambda status: status.endpoint == "10.0.0.11:50056" and status.phase is Phase.SERVING)
    await stage.handle.signal("reset_endpoint", {"ip": "nowhere"})
    status = await stage.until(lambda status: len(status.outcomes) == 3)
    assert status.outcomes[-1].verdict is Verdict.REFUSED


async def test_what_the_watch_sees_is_shown(stage: "Stage", world: "World") -> None:
    """Fewer available clients than wanted is degraded, and it heals."""
    await serving(stage)
    short = Observation(exists=True, wanted=2, updated=2, ready=1, available=1)
    world.live = short
    assert (await stage.phase(Phase.DEGRADED)).observed == short
    world.live = short.model_copy(update={"ready": 2, "available": 2, "complete": True})
    await stage.phase(Phase.SERVING)


async def test_a_watch_that_failed_looks_afresh(stage: "Stage", world: "World") -> None:
    """Its trouble is shown while it lasts and is gone with the next look, though nothing changed meanwhile."""
    away = Unavailable("the API is away", code="CONTROL_PLANE_DOWN", delay=0.5)
    world.faults["watch_release"] = [away, away]  # the first one may be the roll-out's
    world.live = whole(2)
    await serving(stage)
    status = await stage.until(lambda status: status.phase is Phase.SERVING and status.retry is not None)
    assert (status.retry and status.retry.diagnosis.code) == "CONTROL_PLANE_DOWN"
    assert (await stage.until(lambda status: status.retry is None)).phase is Phase.SERVING


async def test_the_end_of_a_worker_is_no_trouble_of_the_watch(stage: "Stage", world: "World") -> None:
    """It is watched again at once, and nobody needs to know."""
    shutdown = ApplicationError("Worker is shutting down", type="WorkerShutdown")
    world.faults["watch_release"] = [shutdown, shutdown]
    await serving(stage)
    await stage.called("watch_release", 3)
    assert (await stage.status()).retry is None


async def test_tear_down_removes_everything_and_ends(stage: "Stage", world: "World") -> None:
    """The workflow completes with the outcome, and its status still answers."""
    await serving(stage)
    await stage.tear_down("t1")
    outcome = await stage.handle.result()
    assert outcome is not None
    assert (outcome.command_id, outcome.verdict) == ("t1", Verdict.DONE)
    status = await stage.status()
    assert (status.phase, status.release, world.applied) == (Phase.REMOVED, None, None)


async def test_tear_down_of_nothing_changes_nothing(stage: "Stage", world: "World") -> None:
    """A fresh run looks, finds nothing and ends."""
    await stage.tear_down("t1")
    outcome = await stage.handle.result()
    assert outcome is not None
    assert (outcome.verdict, outcome.message) == (Verdict.UNCHANGED, "nothing to remove")
    assert world.names() == ["remove_release"]


async def test_tear_down_of_what_is_not_ours_is_refused(stage: "Stage", world: "World") -> None:
    """Nothing is removed, and the run ends."""
    world.faults["remove_release"] = [OwnedByAnother("the namespace belongs to another")]
    await stage.tear_down("t1")
    outcome = await stage.handle.result()
    assert outcome is not None
    assert (outcome.verdict, outcome.diagnosis and outcome.diagnosis.code) == (Verdict.REFUSED, "OWNER")


async def test_tear_down_interrupts_a_deploy(stage: "Stage", world: "World") -> None:
    """It does not wait for a build of hours; what waits behind is superseded."""
    world.faults["ensure_image"] = [world.hold]
    await stage.deploy("d1")
    await stage.called("ensure_image")
    await stage.ask(Cluster.scale, Scale(replicas=1), "s1")
    await stage.tear_down("t1")
    await stage.handle.result()
    outcomes = {one.command_id: one.verdict for one in (await stage.status()).outcomes}
    assert outcomes == {"s1": Verdict.SUPERSEDED, "d1": Verdict.SUPERSEDED, "t1": Verdict.UNCHANGED}


async def test_tear_down_shows_why_it_is_retried(stage: "Stage", world: "World") -> None:
    """The child tells its parent, which answers `status`; what is being done is told as well."""
    await serving(stage)
    world.faults["remove_release"] = [Unavailable("the API is away", code="CONTROL_PLANE_DOWN", delay=1), world.hold]
    await stage.tear_down("t1")
    status = await stage.until(lambda status: status.retry is not None)
    assert (status.phase, status.retry and status.retry.diagnosis.code) == (Phase.RELEASING, "CONTROL_PLANE_DOWN")
    assert status.step == "remove the objects"
    world.held.set()
    await stage.handle.result()


async def test_a_tear_down_that_may_not_parks(stage: "Stage", world: "World") -> None:
    """Missing rights are named, and the next tear-down ends it; while it runs they are no longer what is wrong."""
    await serving(stage)
    world.faults["remove_release"] = [Forbidden("may not delete deployments", on="namespace x"), world.hold]
    await stage.tear_down("t1")
    status = await stage.phase(Phase.PARKED)
    assert (status.diagnosis and status.diagnosis.code) == "RBAC"
    await stage.tear_down("t2")
    assert (await stage.phase(Phase.RELEASING)).diagnosis is None
    world.held.set()
    await stage.handle.result()
    assert await stage.verdict("t2") is Verdict.DONE


async def test_tear_down_can_stop_the_backend(stage: "Stage", world: "World") -> None:
    """Its workflow ends too."""
    await serving(stage, backend_mode=BackendMode.SIMULATED)
    await stage.tear_down("t1", stop_backend=True)
    outcome = await stage.handle.result()
    assert outcome is not None
    assert "process/ticker" in outcome.message
    assert world.processes == []
    backend = stage.client.get_workflow_handle(f"prover-backend/{stage.namespace}/example")
    async with asyncio.timeout(10):
        assert (await backend.result())["ok"] is True


async def test_tear_down_can_purge_the_backend(stage: "Stage", world: "World") -> None:
    """What was deleted is in the outcome; the name it was brought up under needs no profile for the stop."""
    world.profile = world.profile.model_copy(update={"purge": ["data"]})
    await serving(stage, backend_mode=BackendMode.REAL)
    world.calls.clear()
    await stage.tear_down("t1", stop_backend=True, purge=True)
    outcome = await stage.handle.result()
    assert outcome is not None
    assert outcome.message.endswith("process/coordinator, data data")
    assert world.names() == ["remove_release", "stop_backend", "load_profile", "purge_backend"]


async def test_deploy_after_tear_down_starts_afresh(stage: "Stage") -> None:
    """Nothing of the former life is left in the new one."""
    await serving(stage)
    await stage.tear_down("t1")
    await stage.handle.result()
    await stage.deploy("d2")
    status = await stage.phase(Phase.SERVING)
    assert [one.command_id for one in status.outcomes] == ["d2"]


async def test_a_deploy_asked_during_tear_down_follows_it(stage: "Stage", world: "World") -> None:
    """The order of commands is kept, in the same run."""
    await serving(stage)
    world.faults["remove_release"] = [world.hold]
    await stage.tear_down("t1")
    await stage.called("remove_release")
    await stage.deploy("d2")
    world.held.set()
    assert await stage.verdict("d2") is Verdict.DONE
    assert (await stage.phase(Phase.SERVING)).release is not None


async def test_memo_and_search_attributes_carry_the_short_form(stage: "Stage") -> None:
    """`list` works without a worker."""
    await serving(stage)
    await stage.phase(Phase.SERVING)
    async with asyncio.timeout(10):
        description = await stage.handle.describe()
        while (await description.memo()).get("phase") != "serving":
            description = await stage.handle.describe()
    memo = await description.memo()
    assert datetime.fromisoformat(memo["at"]) >= datetime.fromisoformat(memo["since"])
    assert {key: memo[key] for key in ("stage", "ready", "wanted", "endpoint")} == {
        "stage": "aaaaaaa",
        "ready": 2,
        "wanted": 2,
        "endpoint": "10.0.0.9:50055",
    }
    found = {pair.key.name: pair.value for pair in description.typed_search_attributes}
    assert found["ProverNamespace"] == stage.namespace
    assert found["ProverPhase"] == "serving"
