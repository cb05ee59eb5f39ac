"""Activities on the host that holds repository, keys and backend: source, image, backend steps (prover-host.<host>)."""

import asyncio

from temporalio import activity
from temporalio.exceptions import CancelledError

from activities.host.source import resolved
from domain.messages.backend import (
    BackendWatch,
    LoadedProfile,
    LogChunk,
    LogRequest,
    ProfileRequest,
    PurgeRequest,
    StepRequest,
)
from domain.messages.image import Image, ImageRequest
from domain.messages.source import Checkout, CheckoutRequest, Source, SourceRequest
from domain.ports import BackendHost, Images, Sources
from domain.profile import StepState, StepStatus
from domain.spec import Backend

LOOK_EVERY = 2.0  # seconds between two looks of the watch


class HostActivities:
    """Needs git, the image pipeline and the backend host."""

    def __init__(self, sources: Sources, images: Images, host: BackendHost) -> None:
        """All three work on this machine."""
        self._sources = sources
        self._images = images
        self._host = host

    @activity.defn
    def checkout_source(self, request: CheckoutRequest) -> Checkout:
        """Check out a repository at a ref in a work tree of this host; heartbeats; NotARepository, Unavailable."""
        return self._sources.checkout(request.repo, request.ref, activity.heartbeat)

    @activity.defn
    def resolve_source(self, request: SourceRequest) -> Source:
        """Resolve the commit, and read what the profile says of it; DirtyTree, NotARepository, SettingsInvalid.

        A backend whose source is apart is read as its last checkout left it.
        """
        if request.backend and request.backend.apart:
            backend = self._here(request.backend)
            request = request.model_copy(update={"backend": backend, "repo": backend.repo})
        return resolved(self._sources, self._host, request)

    @activity.defn
    def ensure_image(self, request: ImageRequest) -> Image:
        """Build and push unless the registry has it; heartbeats progress."""
        try:
            return self._images.ensure(request, activity.heartbeat)
        except CancelledError:
            if _wanted():  # nobody will go on with what was sent so far; else the next attempt does
                self._images.abandon(request)
            raise

    @activity.defn
    def load_profile(self, request: ProfileRequest) -> LoadedProfile:
        """Read and judge the profile; SettingsInvalid, NotARepository where its source was never checked out."""
        return self._host.load(self._here(request.backend), request.variables, request.programs)

    @activity.defn
    def run_step(self, request: StepRequest) -> StepStatus:
        """Do, start or await one step; heartbeats the last output line; StepFailed."""
        step = request.step
        try:
            return self._host.run(request, activity.heartbeat)
        except CancelledError:
            # Only when somebody asked: a worker that shuts down or lost the task leaves the command to the next one.
            if (step.command or step.function) and _wanted():
                self._host.stop(request.profile, [step.name], activity.heartbeat)
            raise

    @activity.defn
    def stop_steps(self, request: StepRequest) -> StepStatus:
        """Stop what this step started; one that does not run is fine."""
        activity.heartbeat(f"stopping {request.step.name}")
        ran = self._host.stop(request.profile, [request.step.name], activity.heartbeat)
        detail = "" if ran else "did not run"
        return StepStatus(name=request.step.name, kind=request.step.kind, state=StepState.STOPPED, detail=detail)

    @activity.defn
    def stop_backend(self, request: ProfileRequest) -> list[str]:
        """Stop everything that the backend started; names of the steps that ran."""
        name = request.profile or self._host.load(self._here(request.backend), request.variables).profile.name
        activity.heartbeat(f"stopping backend {name}")
        return self._host.stop(name, None, activity.heartbeat)

    @activity.defn
    def purge_backend(self, request: PurgeRequest) -> list[str]:
        """Delete a stopped backend's data; what was deleted."""
        activity.heartbeat(f"purging backend {request.profile.name}")
        return self._host.purge(request, activity.heartbeat)

    @activity.defn
    def read_log(self, request: LogRequest) -> LogChunk:
        """Return a piece of a step's log; wait for more as long as asked."""
        return self._host.read_log(request, activity.heartbeat)

    @activity.defn
    async def watch_backend(self, request: BackendWatch) -> list[StepStatus]:
        """Return the known steps once one has another state; with none known return all at once."""
        while True:
            activity.heartbeat()
            seen = await asyncio.to_thread(self._host.observe, request.profile)
            now = _as_known(request.known, seen)
            if [row.state for row in now] != [row.state for row in request.known] or not request.known:
                return now
            await asyncio.sleep(LOOK_EVERY)

    def _here(self, backend: Backend) -> Backend:
        """With the directory of its source, which the commands about a backend leave as the last checkout made it."""
        return backend.checked_out(self._sources.located(backend.repo, backend.ref)) if backend.apart else backend


def _wanted() -> bool:
    """Whether the cancellation was asked for."""
    details = activity.cancellation_details()
    return details is not None and details.cancel_requested


def _as_known(known: list[StepStatus], seen: list[StepStatus]) -> list[StepStatus]:
    """Return the known steps in their order as seen; one without a record does not run."""
    found = {row.name: row for row in seen}
    gone = {"state": StepState.STOPPED, "detail": "nothing is recorded of it"}
    return [found.get(row.name) or row.model_copy(update=gone) for row in known] if known else seen
