"""Requests and results of the activities: data only, small (digests, never manifests or logs)."""

from enum import StrEnum

from domain.diagnosis import Diagnosis
from domain.images import ImagesReport, ImagesRequest
from domain.model import Message
from domain.profile import Functions, Profile, Step, StepStatus
from domain.spec import Backend, BackendMode, ClusterSpec, ConfigSchema, ImageTarget
from domain.status import Observation, Release


class SourceRequest(Message):
    """Which tree to read."""

    repo: str
    stage: str = ""  # set by hand; empty: short commit
    allow_dirty: bool = False


class Source(Message):
    """One commit, pinned: every later step uses this and never reads HEAD again (trap 13)."""

    commit: str  # 40 hex digits; empty when STAGE is set by hand and there is no repository
    stage: str
    dirty: bool = False
    submodules: dict[str, str] = {}  # path → commit
    committed: str = ""  # when, ISO 8601 UTC; a function of the commit, so images may bear it
    by_hand: bool = False  # the stage was set by hand: its tag may move
    config_schema: ConfigSchema | None = None  # of the client at its pin; None: it was not asked for, or cannot be told


class CheckoutRequest(Message):
    """Fetch a repository at a ref into a work tree of the worker's own."""

    repo: str  # path or URL
    ref: str = ""  # empty: the default branch


class Checkout(Message):
    """A clean work tree, of this one commit."""

    directory: str  # absolute, on the backend host
    commit: str


class ImageRequest(Message):
    """Build `base image + circuit files` and push it."""

    backend: Backend
    circuit_dir: str  # resolved, relative to repo
    source: Source
    target: ImageTarget
    force_tag: bool = False
    config_schema: ConfigSchema = ConfigSchema.FLAT  # what the client will be given; never AUTO


class Image(Message):
    """The image by digest; `reference` is what pods pull."""

    reference: str  # pull host/repo:client-<stage>@sha256:…
    digest: str
    user: str = ""  # USER of its configuration; empty or 0 means root
    built: bool = True  # False: the registry had it already
    replaced: str = ""  # digest that a tag set by hand named before
    lagrange: bool = True  # it holds lag.key
    warnings: list[str] = []


class TargetRequest(Message):
    """The namespace about to be written to."""

    spec: ClusterSpec
    deployment_id: str
    cluster_uid: str = ""  # fence; empty on the first contact


class Target(Message):
    """What is there already."""

    cluster_uid: str
    namespace_exists: bool = True
    deployed: bool = False  # a Deployment of ours exists
    stage: str = ""  # annotation on the namespace
    owner: str = ""
    warnings: list[str] = []


class NodesRequest(Message):
    """How many clients are to be placed, and where."""

    spec: ClusterSpec
    replicas: int
    keep: bool = False  # the clients that run stay where they are, as when only their number changes


class NodeVerdict(Message):
    """Whether one node can take a client, and why not."""

    name: str
    usable: bool
    reasons: list[str] = []  # e.g. "label fluidexnode=computation missing", "cordoned", "NotReady since …"
    booked_by: str = ""  # namespace/pod of a prover of another namespace on it
    fix: str = ""  # the kubectl line that makes it usable; empty when there is none
    warnings: list[str] = []  # usable, and yet, e.g. labelled but untainted
    unknown: list[str] = []  # what we may not read and so could not judge
    ours: str = ""  # the client of this very deployment that runs on it


class NodesReport(Message):
    """Verdict per node and in sum."""

    wanted: int
    usable: int  # nodes that can hold a client of this deployment, those that hold one now included
    total: int = 0  # all nodes, listed or not
    possible: int = 0  # clients that can run at once: usable nodes, less what a quota forbids
    nodes: list[NodeVerdict] = []
    diagnosis: Diagnosis | None = None  # set when usable < wanted
    warnings: list[str] = []


class CheckVerdict(StrEnum):
    """How one check of the preflight ended."""

    OK = "ok"
    WARNING = "warning"  # works, and yet
    UNKNOWN = "unknown"  # we may not look, or nobody could
    FAILED = "failed"


class Check(Message):
    """One check of the preflight: what was looked at, what was found, and the remedy."""

    name: str  # e.g. "registry push"
    verdict: CheckVerdict
    detail: str = ""
    do: str = ""


class PreflightRequest(Message):
    """What is about to be deployed; the host's and the cluster's checks are two activities."""

    spec: ClusterSpec
    deployment_id: str
    probe: bool = False  # also a short-lived pod on a computation node that connects to the coordinator
    probe_image: str = ""
    stage: str = ""  # for the cluster's checks, as the host's found it; empty: not known
    image_user: str | None = None  # the same: USER of the base image; None: not known


class PreflightReport(Message):
    """Every check, in the order in which a deploy would meet them."""

    checks: list[Check] = []
    stage: str = ""  # found by the host's checks, for those of the cluster
    image_user: str | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing would stop a deploy."""
        return all(check.verdict is not CheckVerdict.FAILED for check in self.checks)


class Action(StrEnum):
    """What a plan says of one object."""

    CREATE = "create"
    CHANGE = "change"
    SAME = "same"
    REMOVE = "remove"
    REPLACE = "replace"  # an immutable field changes: deleted and made anew
    REFUSED = "refused"  # the API server or another field manager says no
    UNKNOWN = "unknown"  # we may not look


class ObjectChange(Message):
    """One object of a plan: `lines` is the difference, `-` as it is and `+` as it would be, secrets masked."""

    kind: str
    name: str
    action: Action
    lines: list[str] = []
    note: str = ""  # conflict (manager, field), immutable field, admission's words


class PlanRequest(Message):
    """Compare the rendering of this release with what is live, by server-side dry-run."""

    spec: ClusterSpec
    release: Release
    deployment_id: str


class PlanReport(Message):
    """What a deploy would change and what that costs."""

    changes: list[ObjectChange] = []
    replaced: int = 0  # pods that a rollout would replace
    pulls: int = 0  # nodes that would pull an image they do not have
    cost: str = ""  # the two in one sentence
    nodes: NodesReport | None = None
    warnings: list[str] = []


class DiagnoseRequest(Message):
    """Look at what is deployed; empty stage and image: whatever the Deployment wants."""

    spec: ClusterSpec
    stage: str = ""
    image: str = ""
    bundle: bool = False  # also keep the evidence in a file on the worker


class DiagnoseReport(Message):
    """Why it is stuck, or that it is not."""

    observed: Observation = Observation()
    findings: list[Diagnosis] = []  # the one that matters most first
    bundle: str = ""  # path on `host`
    host: str = ""
    warnings: list[str] = []  # what could not be seen


class InspectInput(Message):
    """Start input of InspectWorkflow: look, change nothing that is deployed."""

    spec: ClusterSpec
    replicas: int
    what: str = "nodes"  # nodes, preflight, plan, diagnose, images
    probe: bool = False
    probe_image: str = ""
    bundle: bool = False
    images: ImagesRequest | None = None  # with images; prune changes what is stored, never what is deployed


class Inspection(Message):
    """The answer of InspectWorkflow, by what was asked; at most 256 KiB."""

    nodes: NodesReport | None = None
    preflight: PreflightReport | None = None
    plan: PlanReport | None = None
    diagnose: DiagnoseReport | None = None
    images: ImagesReport | None = None


class ApplyRequest(Message):
    """Make the namespace equal to the rendering of this spec and release."""

    spec: ClusterSpec
    release: Release
    deployment_id: str
    cluster_uid: str
    image_user: str = ""


class Applied(Message):
    """What was written."""

    config_hash: str
    generation: int  # of the Deployment, for the rollout wait
    changed: bool = True  # False: the cluster was equal already
    warnings: list[str] = []


class RolloutRequest(Message):
    """Wait until exactly this release runs with this many clients."""

    spec: ClusterSpec
    release: Release
    generation: int
    replicas: int
    patient: bool = False  # only completion or a fatal finding ends the wait: a person has been asked already


class WatchRequest(Message):
    """Return when what is observed differs from `known` in something that matters."""

    spec: ClusterSpec
    release: Release
    known: Observation


class TeardownInput(Message):
    """Start input of TeardownWorkflow."""

    spec: ClusterSpec
    deployment_id: str
    cluster_uid: str = ""
    stop_backend: bool = False
    purge: bool = False  # with stop_backend: delete the backend's data, too
    profile_name: str = ""  # of the backend that the deployment brought up; empty: the profile says
    request_id: str = ""  # of the asking command


class Removed(Message):
    """`kind/name` of each object removed."""

    objects: list[str] = []
    warnings: list[str] = []


class BackendInput(Message):
    """Start input of BackendWorkflow and argument of its update `converge`."""

    backend: Backend
    spec: ClusterSpec
    mode: BackendMode
    profile_name: str = ""
    request_id: str = ""  # of the asking command: a repeated `converge` under it joins the first one
    force: bool = False  # stop everything first, then bring it up
    restart: list[str] = []  # names of steps to stop and do again, whatever their inputs
    purge: bool = False  # with mode NONE: delete the data, too
    known: "BackendReport | None" = None  # carried into the next run of the workflow
    loaded: "LoadedProfile | None" = None  # as well: the profile as it was brought up, for cures


class BackendReport(Message):
    """What came of bringing the backend to its desired state."""

    workflow_id: str
    profile: str
    circuit_dir: str = ""
    ok: bool = True
    mode: BackendMode = BackendMode.NONE  # the desired one
    repo: str = ""  # absolute, on the backend host
    steps: list[StepStatus] = []
    diagnosis: Diagnosis | None = None
    purged: list[str] = []  # paths and volumes


class ProfileRequest(Message):
    """Read and validate the profile on the backend host.

    With `profile` only that backend's records are used, so that it can be stopped when its profile is gone.
    """

    backend: Backend
    profile: str = ""  # name
    variables: dict[str, str] = {}


class LoadedProfile(Message):
    """The profile, and the repository it belongs to."""

    profile: Profile  # with `circuit_dir` expanded
    repo: str  # absolute
    left_out: dict[str, str] = {}  # step → why its `when` does not hold, judged once for a whole set-up


class StepRequest(Message):
    """Run, start, await or stop one step."""

    backend: Backend
    profile: str
    repo: str
    step: Step
    variables: dict[str, str] = {}  # built in: COORDINATOR_EP, COORDINATOR_PORT, CIRCUIT, …; never secrets
    declared: dict[str, str | None] = {}  # the profile's own: name → default
    functions: Functions | None = None
    secrets: dict[str, str] = {}  # name → reference
    again: bool = False  # do it even if nothing changed


class PurgeRequest(Message):
    """Delete a stopped backend's data: what its steps and its profile declare, compose volumes, records and logs."""

    backend: Backend
    profile: Profile
    repo: str
    variables: dict[str, str] = {}


class BackendWatch(Message):
    """Return when a step that stays is in another state than the known one."""

    profile: str  # name
    known: list[StepStatus] = []


class LogRequest(Message):
    """A piece of a step's log."""

    backend: Backend
    profile: str
    step: str
    offset: int = -1  # bytes; negative: the last `limit` bytes
    limit: int = 32768
    wait: float = 0.0  # seconds to await more when there is none


class LogChunk(Message):
    """Clean text of `[offset, next)` of the log; a log that was begun anew is read from its beginning."""

    text: str = ""
    offset: int = 0
    next: int = 0
    exists: bool = True
