"""Messages of the read-only operations: preflight, plan and diagnose."""

from enum import StrEnum

from domain.diagnosis import Diagnosis
from domain.images import ImagesReport, ImagesRequest
from domain.messages.nodes import NodesReport
from domain.model import Message
from domain.spec import ClusterSpec
from domain.status import Observation, Release


class CheckVerdict(StrEnum):
    """How one check of the preflight ended."""

    OK = "ok"
    WARNING = "warning"  # works, and yet
    UNKNOWN = "unknown"  # we may not look, or nobody could
    FAILED = "failed"


class Check(Message):
    """Check of the preflight: its subject, its result and the remedy."""

    name: str  # e.g. "registry push"
    verdict: CheckVerdict
    detail: str = ""
    do: str = ""


class PreflightRequest(Message):
    """Deploy that is checked; the host's and the cluster's checks are two activities."""

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
    """Action of a plan on one object."""

    CREATE = "create"
    CHANGE = "change"
    SAME = "same"
    REMOVE = "remove"
    REPLACE = "replace"  # an immutable field changes: deleted and made anew
    REFUSED = "refused"  # the API server or another field manager says no
    UNKNOWN = "unknown"  # we may not look


class ObjectChange(Message):
    """Object of a plan; `lines` is a unified diff of its YAML, secrets masked."""

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
    """Changes that a deploy would make, and their cost."""

    changes: list[ObjectChange] = []
    replaced: int = 0  # pods that a rollout would replace
    pulls: int = 0  # nodes that would pull an image they do not have
    cost: str = ""  # the two in one sentence
    nodes: NodesReport | None = None
    notes: list[str] = []  # why it is of another number of clients or endpoint than the settings say
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
    circuit: str = ""  # the circuit that clients ask for; empty: not known, or they receive tasks of it


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
