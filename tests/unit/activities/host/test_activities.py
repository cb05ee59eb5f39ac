"""Host activities pass on what they are given, and stop a command only when somebody asked for it."""

import contextlib
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from temporalio.activity import ActivityCancellationDetails
from temporalio.exceptions import CancelledError
from temporalio.testing import ActivityEnvironment

import activities.host.activities
from activities.host.activities import HostActivities
from domain.messages.backend import (
    BackendWatch,
    LoadedProfile,
    LogChunk,
    LogRequest,
    ProfileFacts,
    ProfileRequest,
    ProgramSearch,
    PurgeRequest,
    StepRequest,
)
from domain.messages.image import Image, ImageRequest
from domain.messages.source import Checkout, CheckoutRequest, Source, SourceRequest
from domain.ports import Beat, TransferBeat
from domain.profile import Profile, Step, StepState, StepStatus
from domain.spec import Backend, ImageTarget

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
    def checkout(self, repo: str, ref: str, beat: Beat) -> Checkout:
        beat("fetching")
        return Checkout(directory=f"/state/{repo}@{ref}", commit="1" * 40)

    def located(self, repo: str, ref: str) -> str:
        return f"/state/{repo}@{ref}"

    def resolve(self, repo: str, *, stage: str, allow_dirty: bool, data: Sequence[str] = ()) -> Source:
        return _SOURCE.model_copy(update={"stage": f"{repo} {stage} {allow_dirty} {' '.join(data)}".strip()})


class _Images:
    def __init__(self, *, endless: bool = False) -> None:
        self.beating = threading.Event()
        self.abandoned: list[ImageRequest] = []
        self._endless = endless

    def abandon(self, request: ImageRequest) -> None:
        self.abandoned.append(request)

    def ensure(self, request: ImageRequest, beat: TransferBeat) -> Image:
        beat("pushing")
        while self._endless:
            self.beating.set()
        return Image(reference=request.circuit_dir, digest="sha256:1")


class _Host:
    """Beats until it is cancelled when `endless`; remembers what it was asked."""

    def __init__(self, *, endless: bool = False) -> None:
        self.asked: list[object] = []
        self.beating = threading.Event()
        self.looks: list[list[StepStatus]] = []
        self._endless = endless

    def load(
        self, backend: Backend, variables: Mapping[str, str], programs: ProgramSearch | None = None
    ) -> LoadedProfile:
        assert programs is None
        self.asked.append(("load", dict(variables)))
        return LoadedProfile(profile=Profile(name="demo"), repo=f"/abs/{backend.repo}")

    def facts(self, backend: Backend, variables: Mapping[str, str]) -> ProfileFacts:
        return ProfileFacts(name="demo", data=[f"{backend.profile}/{variables['A']}"])

    def step_at(self, key: str, moment: int) -> str:
        return f"{key} {moment}"

    def run(self, request: StepRequest, beat: Beat) -> StepStatus:
        self.asked.append(request)
        beat("compiling")
        while self._endless:
            self.beating.set()
        return StepStatus(name=request.step.name, kind=request.step.kind, state=StepState.DONE)

    def stop(self, key: str, names: list[str] | None, beat: Beat) -> list[str]:
        beat("ending it")
        self.asked.append(("stop", key, names))
        return ["ticker"]

    def purge(self, request: PurgeRequest, beat: Beat) -> list[str]:
        beat("deleting")
        return request.profile.purge

    def observe(self, key: str) -> list[StepStatus]:
        self.asked.append(("observe", key))
        return self.looks.pop(0)

    def read_log(self, request: LogRequest, beat: Beat) -> LogChunk:
        beat("reading")
        return LogChunk(text=request.step)


def _activities(host: _Host) -> HostActivities:
    return HostActivities(_Sources(), _Images(), host)


def test_results_and_heartbeats() -> None:
    """Each activity is one call, and progress goes out as heartbeats."""
    host, told = _Host(), list[str]()
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: told.append(str(details[0]))
    steps = _activities(host)
    asked_source = SourceRequest(
        repo="r", stage="s", allow_dirty=True, backend=Backend(profile="p"), variables={"A": "data"}
    )
    source = environment.run(steps.resolve_source, asked_source)
    target = ImageTarget(repository="x")
    request = ImageRequest(backend=Backend(), circuit_dir="c", source=_SOURCE, target=target)
    assert source.stage == "r s True p/data"
    made = environment.run(steps.checkout_source, CheckoutRequest(repo="r", ref="v1"))
    assert made.directory == "/state/r@v1"
    assert environment.run(steps.ensure_image, request).reference == "c"
    asked = ProfileRequest(backend=Backend(repo="r"), variables={"EP": "10.0.0.1"})
    assert environment.run(steps.load_profile, asked).repo == "/abs/r"
    assert environment.run(steps.run_step, _REQUEST).state == StepState.DONE
    assert environment.run(steps.stop_steps, _REQUEST).state == StepState.STOPPED
    purge = PurgeRequest(backend=Backend(), profile=Profile(name="demo", purge=["data"]), repo="/repo")
    assert environment.run(steps.purge_backend, purge) == ["data"]
    log = LogRequest(backend=Backend(), profile="demo", step="build")
    assert environment.run(steps.read_log, log).text == "build"
    assert host.asked == [("load", {"EP": "10.0.0.1"}), _REQUEST, ("stop", "demo", ["build"])]
    assert told == [
        *(
            "fetching",
            "pushing",
            "compiling",
            "stopping build",
            "ending it",
            "purging backend demo",
            "deleting",
            "reading",
        )
    ]


@pytest.mark.parametrize(
    ("profile", "asked"), [("demo", [("stop", "demo", None)]), ("", [("load", {}), ("stop", "demo", None)])]
)
def test_a_backend_known_by_name_is_stopped_without_its_profile(profile: str, asked: list[object]) -> None:
    """The file may be gone; only who knows no name has to read it."""
    host = _Host()
    request = ProfileRequest(backend=Backend(repo="r"), profile=profile)
    assert ActivityEnvironment().run(_activities(host).stop_backend, request) == ["ticker"]
    assert host.asked == asked


def _row(name: str, state: StepState) -> StepStatus:
    return StepStatus(name=name, kind="process", state=state)


@pytest.mark.parametrize(
    ("known", "looks", "answer"),
    [
        pytest.param(
            [_row("a", StepState.RUNNING)],
            [[_row("a", StepState.RUNNING)], [_row("a", StepState.FAILED), _row("b", StepState.RUNNING)]],
            [("a", StepState.FAILED)],
            id="another state",
        ),
        pytest.param([_row("a", StepState.RUNNING)], [[]], [("a", StepState.STOPPED)], id="no record any more"),
        pytest.param([], [[_row("b", StepState.RUNNING)]], [("b", StepState.RUNNING)], id="nothing known"),
    ],
)
async def test_the_watch_returns_when_a_known_step_changes(
    monkeypatch: pytest.MonkeyPatch,
    known: list[StepStatus],
    looks: list[list[StepStatus]],
    answer: list[tuple[str, StepState]],
) -> None:
    """Steps that nobody asked about say nothing; with none known all are told at once."""
    monkeypatch.setattr(activities.host.activities, "LOOK_EVERY", 0.001)
    host = _Host()
    host.looks = looks
    seen = await ActivityEnvironment().run(_activities(host).watch_backend, BackendWatch(profile="demo", known=known))
    assert [(row.name, row.state) for row in seen] == answer
    assert host.looks == []


@pytest.mark.parametrize("backend", [Backend(repo="https://h/r"), Backend(repo="r", ref="v1")])
def test_a_source_apart_is_read_where_it_was_checked_out(backend: Backend) -> None:
    """Commands about a backend fetch nothing: its source stays as it was brought up."""
    loaded = ActivityEnvironment().run(_activities(_Host()).load_profile, ProfileRequest(backend=backend))
    assert loaded.repo == f"/abs//state/{backend.repo}@{backend.ref}"


_CANCELLATIONS = [
    (ActivityCancellationDetails(cancel_requested=True), True),
    (ActivityCancellationDetails(worker_shutdown=True), False),
    (ActivityCancellationDetails(timed_out=True), False),
]


def _cancel(environment: ActivityEnvironment, details: ActivityCancellationDetails) -> None:
    with contextlib.suppress(RuntimeError):  # the SDK goes through its activities while the one there is leaves them
        environment.cancel(details)


@pytest.mark.parametrize(("details", "abandoned"), _CANCELLATIONS)
def test_only_a_wanted_cancellation_ends_the_uploads(details: ActivityCancellationDetails, abandoned: bool) -> None:
    """A worker that shuts down leaves them to be resumed by its successor."""
    images, environment = _Images(endless=True), ActivityEnvironment()
    request = ImageRequest(backend=Backend(), circuit_dir="c", source=_SOURCE, target=ImageTarget(repository="x"))

    def cancel() -> None:
        images.beating.wait(10)
        _cancel(environment, details)

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(CancelledError):
        environment.run(HostActivities(_Sources(), images, _Host()).ensure_image, request)
    canceller.join()
    assert images.abandoned == ([request] if abandoned else [])


@pytest.mark.parametrize("kind", [{"command": ["make"]}, {"function": "build"}])
@pytest.mark.parametrize(("details", "stopped"), _CANCELLATIONS)
def test_only_a_wanted_cancellation_stops_the_command(
    details: ActivityCancellationDetails, stopped: bool, kind: dict[str, Any]
) -> None:
    """A worker that shuts down, or lost the task to another, leaves the command to its successor."""
    host = _Host(endless=True)
    request = _REQUEST.model_copy(update={"step": Step(name="build", **kind)})
    environment = ActivityEnvironment()

    def cancel() -> None:
        host.beating.wait(10)
        _cancel(environment, details)

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(CancelledError):
        environment.run(_activities(host).run_step, request)
    canceller.join()
    assert (("stop", "demo", ["build"]) in host.asked) == stopped
