"""The long watch of a serving deployment hears what its clients say."""

from contextlib import aclosing
from typing import Any

import pytest

from clients.kubernetes import deployment_watch
from clients.kubernetes.deployment_watch import SharedWatches
from domain.kubernetes import Snapshot
from tests.support.kubernetes import objects
from tests.support.kubernetes.fake_cluster import FakeCluster

AWAY = "ERROR poll task error transport error: tcp connect error: Connection refused (os error 111)"


class Listed:
    """Fulfils `SharedInformers` for one deployment that runs as it should, and never changes."""

    def __init__(self, *_: object) -> None:
        self.kinds = {
            "Deployment": [objects.deployment(1)],
            "ReplicaSet": [objects.replica_set()],
            "Pod": [objects.pod("p1")],
        }
        for found in self.kinds["ReplicaSet"]:
            found["metadata"]["labels"] = {"app": "client"}

    def subscribe(self, *_: object) -> None:
        """There is no news."""

    unsubscribe = subscribe

    def refusal(self, *_: object) -> None:
        """Nothing is forbidden."""

    def objects(self, kind: str, _namespace: str) -> list[Any]:
        """Return the objects there are."""
        return self.kinds[kind]


async def test_trouble_with_the_coordinator_is_seen_while_clients_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the pace of the review, with nothing else changing; and that it is over, too."""
    monkeypatch.setattr(deployment_watch, "SharedInformers", Listed)
    monkeypatch.setattr(deployment_watch, "NodeWatch", Listed)
    monkeypatch.setattr(deployment_watch, "REVIEW_SECONDS", 0.01)
    cluster: Any = FakeCluster()
    cluster.connection = None
    said = iter(["INFO polling task", AWAY, "INFO polling task"])

    async def explain(snapshot: Snapshot) -> Snapshot:
        return snapshot.model_copy(update={"logs": {"p1": next(said, "INFO polling task")}})

    codes = []
    async with aclosing(SharedWatches(cluster).observations("fleet", "client", "abc", explain)) as seen:
        async for observation in seen:
            assert observation.complete
            codes.append(observation.diagnosis.code if observation.diagnosis else None)
            if len(codes) == 3:
                break
    assert codes == [None, "COORDINATOR_DOWN", None]
