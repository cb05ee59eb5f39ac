"""Activities on the host that holds repository, keys and backend: source, image, backend steps (prover-host.<host>)."""

from temporalio import activity
from temporalio.exceptions import CancelledError

from domain.ports import BackendHost, Images, Sources
from domain.profile import StepState, StepStatus
from domain.steps import Image, ImageRequest, LoadedProfile, ProfileRequest, Source, SourceRequest, StepRequest


class HostActivities:
    """Needs git, the image pipeline and the backend host."""

    def __init__(self, sources: Sources, images: Images, host: BackendHost) -> None:
        """All three work on this machine."""
        self._sources = sources
        self._images = images
        self._host = host

    @activity.defn
    def resolve_source(self, request: SourceRequest) -> Source:
        """The commit, once; DirtyTree, NotARepository."""
        return self._sources.resolve(request.repo, stage=request.stage, allow_dirty=request.allow_dirty)

    @activity.defn
    def ensure_image(self, request: ImageRequest) -> Image:
        """Build and push unless the registry has it; heartbeats progress."""
        return self._images.ensure(request, activity.heartbeat)

    @activity.defn
    def load_profile(self, request: ProfileRequest) -> LoadedProfile:
        """Read and validate the profile; SettingsInvalid."""
        profile, repo = self._host.load(request.backend)
        return LoadedProfile(profile=profile, repo=repo)

    @activity.defn
    def run_step(self, request: StepRequest) -> StepStatus:
        """Run, start or await one step; heartbeats the last output line; StepFailed."""
        step = request.step
        try:
            return self._host.run(
                request.profile, request.repo, step, request.variables, activity.heartbeat, request.declared
            )
        except CancelledError:
            details = activity.cancellation_details()
            # Only when somebody asked: a worker that shuts down or lost the task leaves the command to the next one.
            if step.command and details is not None and details.cancel_requested:
                self._host.stop(request.profile, [step.name])
            raise

    @activity.defn
    def stop_steps(self, request: StepRequest) -> StepStatus:
        """Stop the process of this step; a process that does not run is fine."""
        activity.heartbeat(f"stopping {request.step.name}")
        ran = self._host.stop(request.profile, [request.step.name])
        detail = "" if ran else "did not run"
        return StepStatus(name=request.step.name, kind=request.step.kind, state=StepState.STOPPED, detail=detail)

    @activity.defn
    def stop_backend(self, request: ProfileRequest) -> list[str]:
        """Stop every process of the profile; their names."""
        profile, _ = self._host.load(request.backend)
        activity.heartbeat(f"stopping backend {profile.name}")
        return self._host.stop(profile.name)
