"""Status of a deployment: the answer of query `status`, of `proverctl status -o json`, and of the UI."""

from enum import StrEnum

from domain.commands import Outcome
from domain.diagnosis import Choice, Diagnosis
from domain.model import Message


class Phase(StrEnum):
    """Where a deployment stands."""

    PREPARING = "preparing"
    BACKEND = "backend"
    IMAGE = "image"
    WAITING = "waiting"
    APPLYING = "applying"
    ROLLING_OUT = "rolling-out"
    SERVING = "serving"
    DEGRADED = "degraded"
    ROLLING_BACK = "rolling-back"
    PARKED = "parked"
    PAUSED = "paused"
    RELEASING = "releasing"
    REMOVED = "removed"


PODS_MATTER = {Phase.ROLLING_OUT, Phase.ROLLING_BACK, Phase.SERVING, Phase.DEGRADED}


class Pod(Message):
    """Pod of a prove-client as Kubernetes sees it."""

    name: str
    node: str = ""
    ready: bool = False
    stage: str = ""
    state: str = ""  # Running, Pending, a waiting reason such as ImagePullBackOff, Terminating
    restarts: int = 0


class Observation(Message):
    """The live state of the clients in one namespace; `ready` counts pods of the wanted release only."""

    exists: bool = False  # the Deployment is there
    wanted: int = 0
    updated: int = 0
    ready: int = 0
    available: int = 0
    complete: bool = False  # the rollout of the wanted release is done and nothing else runs
    pods: list[Pod] = []
    diagnosis: Diagnosis | None = None


class Release(Message):
    """Release that is, or was, deployed."""

    revision: int = 0
    stage: str = ""
    commit: str = ""
    submodules: dict[str, str] = {}  # path → commit
    checked_out: str = ""  # URL or path, with @ref, that it was checked out from; empty: a work tree as it stood
    dirty: bool = False
    image: str = ""  # host/repo:tag@sha256:…
    image_user: str = ""  # USER of its configuration, for the pod's security context
    lagrange: bool = True  # the image holds lag.key; a configuration that names it without it is fatal
    config_hash: str = ""
    endpoint: str = ""
    replicas: int = 0
    replicas_by: str = ""  # the command and time that set their number; empty: the settings did
    endpoint_by: str = ""
    settings: dict[str, str] = {}  # CLIENT_REPLICAS and COORDINATOR_… below the flags, as its last deploy found them
    outcome: str = ""  # deploying, done, failed, superseded
    at: str = ""


class Retry(Message):
    """A step that failed and is being tried again."""

    step: str
    attempt: int
    diagnosis: Diagnosis


class Question(Message):
    """Question to a person before a command continues; without an answer the default is taken at the deadline."""

    id: str
    command_id: str  # of the command that waits
    diagnosis: Diagnosis
    choices: list[Choice]
    default: Choice
    deadline: str  # ISO 8601 UTC
    fits: int = 0  # clients that can run now; what Choice.FEWER goes on with


class Status(Message):
    """Everything `proverctl status` shows."""

    deployment: str = ""  # workflow id
    cluster: str = ""
    namespace: str = ""
    phase: Phase = Phase.PREPARING
    since: str = ""  # of the phase, ISO 8601 UTC
    step: str = ""  # what is being done right now
    release: Release | None = None
    serving: Release | None = None  # the last good one
    endpoint: str = ""
    upstream_override: str = ""
    backend: str = ""  # workflow id of the backend, empty when deployed without
    simulated: bool = False
    observed: Observation = Observation()
    retry: Retry | None = None
    diagnosis: Diagnosis | None = None
    question: Question | None = None
    warnings: list[str] = []
    pending: list[str] = []  # titles of the commands waiting
    outcomes: list[Outcome] = []  # newest last, at most 50
    releases: list[Release] = []  # newest last, at most 10

    @property
    def finding(self) -> Diagnosis | None:
        """Finding about the wanted release; pods that a command is about to replace do not count."""
        return self.diagnosis or (self.observed.diagnosis if self.phase in PODS_MATTER else None)
