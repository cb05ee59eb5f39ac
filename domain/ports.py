"""Protocols that activities use; `clients/` implements them, and tests have small fakes.

All methods block and raise the errors of `domain.errors`. `beat` is called at least every few seconds with a short
text of progress; it raises when the activity was cancelled.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from domain.images import ImagesReport, ImagesRequest
from domain.kubernetes import Manifest, Right, Snapshot
from domain.messages.backend import (
    LoadedProfile,
    LogChunk,
    LogRequest,
    ProfileFacts,
    ProgramSearch,
    PurgeRequest,
    StepRequest,
)
from domain.messages.image import BaseConfig, Image, ImageRequest
from domain.messages.source import Checkout, Source
from domain.profile import StepStatus
from domain.spec import Backend, ConfigSchema, ImageTarget, SecretRef
from domain.status import Observation

Beat = Callable[[str], None]
TransferBeat = Callable[..., None]  # a text as above and, where bytes move, a TransferProgress after it
Slim = Callable[[Manifest], Manifest | None]  # what is worth keeping of an object; None: nothing
Reach = Callable[[str, int], str]  # how a TCP connection to host and port ends: ok, refused, loopback, timeout, …
Explain = Callable[[Snapshot], Awaitable[Snapshot]]  # adds what clients that run say; reads seldom, not at each call


class Sources(Protocol):
    """Reads a git repository."""

    def checkout(self, repo: str, ref: str, beat: Beat) -> Checkout:
        """Return a clean work tree of the repository (path or URL) at a ref; NotARepository, Unavailable.

        Files that git does not track stay, so that keys which were made once need not be made again.
        """
        ...

    def located(self, repo: str, ref: str) -> str:
        """Return the directory of a checkout made before, as it is; NotARepository when there was none."""
        ...

    def resolve(self, repo: str, *, stage: str, allow_dirty: bool, data: Sequence[str] = ()) -> Source:
        """HEAD's commit, submodules and client's schema, and whether the tree is dirty; DirtyTree, NotARepository.

        With changes that are allowed the stage names them by a hash of their content. What lies at the paths of `data`
        (patterns relative to the repository) is no change.
        """
        ...


class Images(Protocol):
    """Builds and pushes prover images."""

    def ensure(self, request: ImageRequest, beat: TransferBeat) -> Image:
        """Make the image of this commit exist in the registry, built only when it is missing.

        What `beat` raises leaves uploads to be resumed by the next call.
        """
        ...

    def abandon(self, request: ImageRequest) -> None:
        """End the uploads that an `ensure` of this request left behind, as far as the registry answers."""
        ...


class ImageStores(Protocol):
    """The prover images at a registry and in the Docker Engine of this host."""

    def survey(self, request: ImagesRequest, beat: Beat) -> ImagesReport:
        """List them and, if asked, remove those that are neither among the newest nor named by anybody."""
        ...


class Secrets(Protocol):
    """Resolves secret references on this worker."""

    def login(self, ref: SecretRef | None, host: str) -> "Login | None":
        """User and password for a registry host; None is anonymous; CredentialsMissing."""
        ...


TOKEN_USER = "<token>"  # noqa: S105 - how Docker marks an identity token that stands in a password's place
"""User of a login whose `reveal` is a refresh token: for registries with a token server, and no use to kubelet."""


class Login(Protocol):
    """A user and a password whose repr is masked."""

    user: str

    def reveal(self) -> str:
        """Return the password, at the place of use only."""
        ...


class Cluster(Protocol):
    """Kubernetes cluster, by its JSON objects."""

    def uid(self) -> str:
        """Return the identity `<UID of kube-system's namespace>@ca-<hash>`, the UID empty where unreadable."""
        ...

    def get(self, kind: str, name: str, namespace: str = "") -> Manifest | None:
        """Return the object or None; kinds: Namespace, Deployment, ConfigMap, Service, EndpointSlice, …"""
        ...

    def find(
        self, kind: str, namespace: str = "", *, selector: str = "", fields: str = "", slim: Slim | None = None
    ) -> list[Manifest]:
        """Return the objects; an empty namespace means all of them (Forbidden when rights lack).

        `selector` is by labels, `fields` by fields. They come page by page, and `slim` takes each one's place.
        """
        ...

    def apply(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Server-side apply as `prover-cluster`, never forced; ApplyConflict, ObjectRejected, Forbidden."""
        ...

    def delete(self, kind: str, name: str, namespace: str, *, uid: str = "") -> bool:
        """Delete with a UID precondition, foreground; False when it was gone already."""
        ...

    def missing(self, namespace: str, rights: list[Right]) -> list[Right]:
        """Return those of the rights that this worker misses in the namespace (empty: cluster-wide)."""
        ...

    def changes(self, namespace: str, stop: Callable[[], bool]) -> Iterable[None]:
        """Yield at once and then whenever Deployment, ReplicaSets, Pods or Events of the namespace changed.

        Also yields at least every few seconds, so that the caller can heartbeat. Lists again after a 410 or a lost
        connection.
        """
        ...

    def follow(self, namespace: str, deploy_name: str, stop: Callable[[], bool]) -> Iterable[Snapshot | None]:
        """Yield the watched parts of a snapshot, from one list a kind and watches; never by polling.

        Yields as soon as every kind was listed, at once after each change (a burst counts as one), and at least every
        few seconds, so that the caller can heartbeat. None while the API server is away or nothing was listed yet.
        Raises Forbidden or CredentialsRejected when the API server says no for good.
        """
        ...

    def logs(self, pod: str, namespace: str, *, previous: bool = False, lines: int = 20) -> str:
        """Return the end of a client's log, scrubbed; empty where there is none, or no right to read it."""
        ...

    def events(self, namespace: str) -> list[Manifest]:
        """Events of the namespace, newest last; empty with no right to read them."""
        ...


class Trials(Protocol):
    """Pods that are tried on one Kubernetes cluster; apart from Cluster, for only the preflight makes pods."""

    def create(self, pod: Manifest, *, dry_run: bool) -> list[str]:
        """Create a pod, or have the API server judge one; its warnings; ObjectRejected, Forbidden."""
        ...


class ImagePreflight(Protocol):
    """Preflight of building, pushing and pulling an image on the backend host; it leaves nothing behind.

    Each method raises what the build would raise; an answer is a clause for people where nothing else is said.
    """

    def engine(self) -> str:
        """Ping the Docker Engine; Unavailable."""
        ...

    def base_image(self, name: str) -> BaseConfig:
        """How the base image is configured; ImageInputMissing, Unavailable."""
        ...

    def base_context(self, repo: str, base_context: str, dockerfile: str) -> tuple[str, str]:
        """Return a clause about the build context, and the image's name, empty unless it was built already."""
        ...

    def circuit(self, repo: str, circuit_dir: str, schema: ConfigSchema) -> str:
        """Return the files that the image would take, which must fit the client's schema; ImageInputMissing."""
        ...

    def push(self, target: ImageTarget) -> str:
        """Begin an upload and cancel it at once; CredentialsRejected, Unavailable."""
        ...

    def pull(self, target: ImageTarget, stage: str) -> str:
        """Look for the image of that stage at the registry; CredentialsRejected, Unavailable."""
        ...


class Evidence(Protocol):
    """Keeps evidence bundles on this host, outside Temporal's history."""

    def keep(self, name: str, content: Mapping[str, Any]) -> str:
        """Write a bundle named after `name` and return its path; Unavailable when the disk does not take it."""
        ...


class Watches(Protocol):
    """Long, cheap observation of many namespaces of one cluster (shared informers)."""

    def observations(
        self, namespace: str, deploy_name: str, stage: str, explain: Explain | None = None
    ) -> AsyncGenerator[Observation, None]:
        """Yield the current observation and then each that differs; `explain` runs before each while clients run."""
        ...

    def capacity(self) -> AsyncGenerator[None, None]:
        """Yield at once, whenever nodes or provers of any namespace changed, and at least every few seconds."""
        ...


class BackendHost(Protocol):
    """Runs the steps of backends on this host; `key` is the name of a backend's profile."""

    def load(
        self, backend: Backend, variables: Mapping[str, str], programs: ProgramSearch | None = None
    ) -> LoadedProfile:
        """Return the profile, judged on this host before anything runs; SettingsInvalid names file, line and field.

        Programs are looked for as `programs` says: not at all where no step is to be run.
        """
        ...

    def facts(self, backend: Backend, variables: Mapping[str, str]) -> ProfileFacts:
        """Return what a deploy of the clients needs of the profile, whatever a set-up would miss; SettingsInvalid."""
        ...

    def step_at(self, key: str, moment: int) -> str:
        """Return the step started last before a moment, in nanoseconds of the epoch; empty when there is none."""
        ...

    def run(self, request: StepRequest, beat: Beat) -> StepStatus:
        """Do one step, whatever its kind; safe to call twice at once, and after a death at any line.

        Refused when the backend's records belong to another repository. What `beat` raises leaves the work running.
        """
        ...

    def stop(self, key: str, names: list[str] | None, beat: Beat) -> list[str]:
        """Stop what these steps started (None: all that is recorded); names of those that ran.

        From the records alone, later steps first: counterparts, processes, what functions left, compose projects.
        """
        ...

    def purge(self, request: PurgeRequest, beat: Beat) -> list[str]:
        """Delete data inside the backend's own directories and volumes; what was deleted."""
        ...

    def observe(self, key: str) -> list[StepStatus]:
        """Return the steps that stay, as they stand now; quick."""
        ...

    def read_log(self, request: LogRequest, beat: Beat) -> LogChunk:
        """Return a piece of a log, clean; waits up to `request.wait` seconds for more."""
        ...
