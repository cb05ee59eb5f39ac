"""The long watch: it returns only what matters, and beats while nothing does."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from temporalio.testing import ActivityEnvironment

from activities.watch import WatchActivities
from domain.errors import SettingsInvalid
from domain.spec import ClusterSpec, Endpoint, ImageTarget
from domain.status import Observation, Pod, Release
from domain.steps import WatchRequest

KNOWN = Observation(
    exists=True, wanted=1, updated=1, ready=1, available=1, complete=True, pods=[Pod(name="a", ready=True)]
)


class FakeWatches:
    """Observes what it was given, then nothing for ever; remembers that it was closed."""

    def __init__(self, *seen: Observation) -> None:
        self.seen = seen
        self.asked: tuple[str, str, str] | None = None
        self.closed = False

    async def observations(self, namespace: str, deploy_name: str, stage: str) -> AsyncGenerator[Observation, None]:
        """The script."""
        self.asked = (namespace, deploy_name, stage)
        await asyncio.sleep(0)  # as a real one, it lets others run
        try:
            for observation in self.seen:
                yield observation
        finally:
            self.closed = True


def request(cluster: str = "default") -> WatchRequest:
    """A watch of one client that runs."""
    spec = ClusterSpec(
        cluster=cluster, namespace="ns", coordinator=Endpoint(ip="10.0.0.9"), image=ImageTarget(repository="prover")
    )
    return WatchRequest(spec=spec, release=Release(stage="abc"), known=KNOWN)


async def test_the_first_observation_that_matters_is_returned() -> None:
    """Restart counts alone are no news; a client that is not ready is."""
    restarted = KNOWN.model_copy(update={"pods": [Pod(name="a", ready=True, restarts=3)]})
    lost = KNOWN.model_copy(update={"ready": 0})
    watches = FakeWatches(KNOWN, restarted, lost)
    beats: list[object] = []
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: beats.append(details)
    assert await environment.run(WatchActivities({"default": watches}).watch_release, request()) == lost
    assert (watches.asked, watches.closed, len(beats) > 0) == (("ns", "client", "abc"), True, True)


async def test_an_unknown_cluster_is_named() -> None:
    """Instead of a KeyError."""
    with pytest.raises(SettingsInvalid, match="CLUSTER=other"):
        await ActivityEnvironment().run(WatchActivities({}).watch_release, request("other"))
