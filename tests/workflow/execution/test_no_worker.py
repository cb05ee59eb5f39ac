"""A step that nobody takes: said with its queue and the remedy while it waits, and over once somebody polls."""

from typing import TYPE_CHECKING

import pytest
from temporalio.worker import Worker

from domain import names
from domain.commands import Verdict
from domain.diagnosis import Severity
from domain.spec import Backend
from tests.support.temporal.fake_activities import HostFakes

if TYPE_CHECKING:
    from tests.support.temporal.stage import Stage
    from tests.support.temporal.world import World

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_queue_without_a_worker_is_named_until_one_comes(stage: "Stage", world: "World") -> None:
    """NO_WORKER names queue and role; the deploy goes on by itself then."""
    host = f"{stage.namespace}-away"
    await stage.deploy(backend=Backend(repo="/repo", host=host, circuit_dir="circuit"))
    seen = await stage.until(lambda status: status.retry is not None)
    assert seen.retry is not None
    found = seen.retry.diagnosis
    assert (found.code, found.severity, found.on) == ("NO_WORKER", Severity.TRANSIENT, f"task queue prover-host.{host}")
    assert "proverctl worker --roles host" in found.do
    late = HostFakes(world)
    async with Worker(
        stage.client, task_queue=names.host_queue(host), activities=[late.resolve_source, late.ensure_image]
    ):
        done = await stage.until(lambda status: bool(status.outcomes))
        assert [outcome.verdict for outcome in done.outcomes] == [Verdict.DONE]
