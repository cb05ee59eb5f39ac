"""What a worker leaves behind when it stops."""

from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from clients.kubernetes.deployment_watch import SharedWatches
from worker import main

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_watches_end_with_their_worker(
    environment: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A worker inside the CLI ends before its process does; its threads must not go on watching."""
    closed: list[SharedWatches] = []

    class Watches(SharedWatches):
        def close(self) -> None:
            super().close()
            closed.append(self)

    monkeypatch.setattr(main, "SharedWatches", Watches)
    async with main.running(environment.client, {"KUBECONFIG": str(tmp_path / "none")}, ["kube"]):
        assert closed == []
    assert len(closed) == 1
