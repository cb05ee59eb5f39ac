"""Activities on the host that holds repository, keys and backend: source, image, backend steps (prover-host.<host>)."""

from temporalio import activity

from domain.ports import BackendHost, Images, Sources
from domain.profile import StepStatus
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
        raise NotImplementedError

    @activity.defn
    def ensure_image(self, request: ImageRequest) -> Image:
        """Build and push unless the registry has it; heartbeats progress."""
        raise NotImplementedError

    @activity.defn
    def load_profile(self, request: ProfileRequest) -> LoadedProfile:
        """Read and validate the profile; SettingsInvalid."""
        raise NotImplementedError

    @activity.defn
    def run_step(self, request: StepRequest) -> StepStatus:
        """Run, start or await one step; heartbeats the last output line; StepFailed."""
        raise NotImplementedError

    @activity.defn
    def stop_steps(self, request: StepRequest) -> StepStatus:
        """Stop the process of this step; a process that does not run is fine."""
        raise NotImplementedError

    @activity.defn
    def stop_backend(self, request: ProfileRequest) -> list[str]:
        """Stop every process of the profile; their names."""
        raise NotImplementedError
