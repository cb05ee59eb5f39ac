"""Host activities pass on what they are given, and stop a command only when somebody asked for it."""

import threading
from collections.abc import Mapping

import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.exceptions import CancelledError
from temporalio.testing import ActivityEnvironment

from activities.host import HostActivities
from domain.ports import Beat
from domain.profile import Profile, Step, StepState, StepStatus
from domain.spec import Backend, ImageTarget
from domain.steps import Image, ImageRequest, ProfileRequest, Source, SourceRequest, StepRequest

_SOURCE = Source(commit="1" * 40, stage="1111111")
_REQUEST = StepRequest(
    backend=Backend(),
    profile="demo",
    repo="/repo",
    step=Step(name="build", command=["make"]),
    variables={"EP": "10.0.0.1"},
    declared={"A": None},
)


class _Sources:
    def resolve(self, repo: str, *, stage: str, allow_dirty: bool) -> Source:
        return _SOURCE.model_copy(update={"stage": f"{repo} {stage} {allow_dirty}"})


class _Images:
    def ensure(self, request: ImageRequest, beat: Beat) -> Image:
        beat("pushing")
        return Image(reference=request.circuit_dir, digest="sha256:1")


class _Host:
    """Beats until it is cancelled when `endless`; remembers what it was asked."""

    def __init__(self, *, endless: bool = False) -> None:
        self.asked: list[object] = []
        self.beating = threading.Event()
        self._endless = endless

    def load(self, backend: Backend) -> tuple[Profile, str]:
        return Profile(name="demo"), f"/abs/{backend.repo}"

    def run(
        self,
        key: str,
        repo: str,
        step: Step,
        variables: Mapping[str, str],
        beat: Beat,
        declared: Mapping[str, str | None] | None = None,
    ) -> StepStatus:
        self.asked.append((key, repo, step.name, dict(variables), dict(declared or {})))
        beat("compiling")
        while self._endless:
            self.beating.set()
        return StepStatus(name=step.name, kind=step.kind, state=StepState.DONE)

    def stop(self, key: str, names: list[str] | None = None) -> list[str]:
        self.asked.append(("stop", key, names))
        return ["ticker"]

    def running(self, key: str) -> list[str]:
        return [key]


def _activities(host: _Host) -> HostActivities:
    return HostActivities(_Sources(), _Images(), host)


def test_results_and_heartbeats() -> None:
    """Each activity is one call, and progress goes out as heartbeats."""
    host, told = _Host(), list[str]()
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: told.append(str(details[0]))
    activities = _activities(host)
    source = environment.run(activities.resolve_source, SourceRequest(repo="r", stage="s", allow_dirty=True))
    target = ImageTarget(repository="x")
    request = ImageRequest(backend=Backend(), circuit_dir="c", source=_SOURCE, target=target)
    assert source.stage == "r s True"
    assert environment.run(activities.ensure_image, request).reference == "c"
    assert environment.run(activities.load_profile, ProfileRequest(backend=Backend(repo="r"))).repo == "/abs/r"
    assert environment.run(activities.run_step, _REQUEST).state == StepState.DONE
    assert environment.run(activities.stop_steps, _REQUEST).state == StepState.STOPPED
    assert environment.run(activities.stop_backend, ProfileRequest(backend=Backend(repo="r"))) == ["ticker"]
    assert host.asked == [
        ("demo", "/repo", "build", {"EP": "10.0.0.1"}, {"A": None}),
        ("stop", "demo", ["build"]),
        ("stop", "demo", None),
    ]
    assert told == ["pushing", "compiling", "stopping build", "stopping backend demo"]


@pytest.mark.parametrize(
    ("details", "stopped"),
    [
        (ActivityCancellationDetails(cancel_requested=True), True),
        (ActivityCancellationDetails(worker_shutdown=True), False),
        (ActivityCancellationDetails(timed_out=True), False),
    ],
)
def test_only_a_wanted_cancellation_stops_the_command(details: ActivityCancellationDetails, stopped: bool) -> None:
    """A worker that shuts down, or lost the task to another, leaves the command to its successor."""
    host = _Host(endless=True)
    environment = ActivityEnvironment()

    def cancel() -> None:
        host.beating.wait(10)
        environment.cancel(details)

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(CancelledError):
        environment.run(_activities(host).run_step, _REQUEST)
    canceller.join()
    assert (("stop", "demo", ["build"]) in host.asked) == stopped
