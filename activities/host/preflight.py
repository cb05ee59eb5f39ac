"""The backend host's part of a preflight: everything that could stop an image from being made, looked at there."""

from dataclasses import dataclass

from temporalio import activity

from activities.host.source import Profiles, resolved
from activities.inspection.checks import Checks
from domain.errors import SettingsInvalid
from domain.messages.inspection import Check, PreflightReport, PreflightRequest
from domain.messages.source import Source
from domain.ports import Beat, ImagePreflight, Secrets, Sources
from domain.spec import ClusterSpec
from planning.backend.variables import built_in, source_request
from planning.image.command import remarks
from planning.manifests.circuit_name import settle
from planning.manifests.pod import image_warnings
from planning.preflight.checks import circuit_name, failed, login, ok, source, warning

UNKNOWN_STAGE = "preflight"


@dataclass(frozen=True)
class Host:
    """Clients that the checks of the backend host use."""

    sources: Sources
    image_preflight: ImagePreflight
    profiles: Profiles
    secrets: Secrets


class HostPreflightActivities:
    """Git, the preflight of the image, the reader of profiles and this worker's secrets."""

    def __init__(self, host: Host) -> None:
        """All of them work on this machine."""
        self._host = host

    @activity.defn
    def preflight_host(self, request: PreflightRequest) -> PreflightReport:
        """Every check of the backend host's side, and what those of the cluster need to know; heartbeats."""
        return host_checks(self._host, request, activity.heartbeat)


def host_checks(host: Host, request: PreflightRequest, beat: Beat) -> PreflightReport:
    """All of them, in the order in which a deploy would meet them; needs neither Temporal nor a worker."""
    looks, checks = _HostChecks(host, request, beat), Checks(beat)
    checks.look("source", looks.source)
    checks.look("push credentials", looks.push_secret)
    checks.look("pull credentials", looks.pull_secret)
    checks.look("Docker", looks.docker)
    if not checks.failed("Docker") and not (looks.absent and request.spec.backend.base_context):
        checks.look("base image", looks.base_image)
    if not looks.absent:
        checks.look("circuit", looks.circuit)
        if looks.found:
            checks.look("circuit name", looks.circuit_name)
    if not checks.failed("Docker"):  # it says which registries are insecure
        if not checks.failed("push credentials"):
            checks.look("registry push", looks.push)
        if not checks.failed("pull credentials"):
            checks.look("registry pull", looks.pull)
    stage = looks.found.stage if looks.found else request.spec.stage
    return PreflightReport(checks=checks.found, stage=stage, image_user=looks.user)


class _HostChecks:
    """Checks of the backend host, one method each; each may raise what a deploy would."""

    def __init__(self, host: Host, request: PreflightRequest, beat: Beat) -> None:
        self._host = host
        self._beat = beat
        self._request = request
        self._spec: ClusterSpec = request.spec
        self.found: Source | None = None
        self.user: str | None = None

    def source(self) -> Check:
        asked = self._spec.backend
        if asked.apart:
            made = self._host.sources.checkout(asked.repo, asked.ref, self._beat)
            self._use(backend=asked.checked_out(made.directory))
        spec = self._spec
        self.found = resolved(self._host.sources, self._host.profiles, source_request(spec))
        self._spec = settle(spec, self.found)
        return source(self.found, asked.asked)

    @property
    def absent(self) -> bool:
        """Whether the source could not be checked out, so that nothing in it can be looked at."""
        return self._spec.backend.apart

    def _use(self, **changes: object) -> None:
        self._spec = self._spec.model_copy(update=changes)

    def push_secret(self) -> Check:
        target = self._spec.image
        return login("push credentials", self._host.secrets.login(target.push_auth, target.push_host), target.push_host)

    def pull_secret(self) -> Check:
        target = self._spec.image
        return login("pull credentials", self._host.secrets.login(target.pull_auth, target.pull_host), target.pull_host)

    def docker(self) -> Check:
        return ok("Docker", self._host.image_preflight.engine())

    def base_image(self) -> Check:
        backend = self._spec.backend
        name = backend.base_image
        if backend.base_context:
            told, name = self._host.image_preflight.base_context(
                backend.repo, backend.base_context, backend.base_dockerfile
            )
            if not name:
                return ok("base image", f"a deploy builds it from {told}")
        config = self._host.image_preflight.base_image(name)
        self.user = config.user
        said = f"{name} is there; {remarks(config, backend)}"
        warnings = image_warnings(self.user)
        if warnings:
            return warning("base image", f"{said}. {' '.join(warnings)}")
        return ok("base image", f"{said}, as user {self.user}")

    def circuit(self) -> Check:
        backend = self._spec.backend
        try:
            variables = built_in(self._spec, "")
            folder = backend.circuit_dir or self._host.profiles.load(backend, variables).profile.circuit_dir
        except SettingsInvalid as error:
            remedy = "mend what is named, or set CIRCUIT_DIR: clients alone are deployed without a profile then"
            return failed("backend profile", "; ".join(error.problems), remedy)
        files = self._host.image_preflight.circuit(backend.repo, folder, self._spec.config_schema)
        return ok("circuit", f"{folder}: {files}")

    def circuit_name(self) -> Check:
        return circuit_name(self._spec, self.found or Source(commit="", stage=""), given=self._request.spec.circuit)

    def push(self) -> Check:
        return ok("registry push", self._host.image_preflight.push(self._spec.image))

    def pull(self) -> Check:
        stage = self.found.stage if self.found else self._spec.stage or UNKNOWN_STAGE
        return ok("registry pull", self._host.image_preflight.pull(self._spec.image, stage))
