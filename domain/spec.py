"""Wanted deployment: one frozen model from the CLI to the workflow. No secrets, only references."""

from enum import StrEnum

from pydantic import Field

from domain import names
from domain.model import Message

DEFAULT_COORDINATOR_PORT = 50055
DEFAULT_ANSWER_WITHIN = 1800  # seconds; PROVER_ANSWER_WITHIN
DEFAULT_RETRY_FOR = 600  # seconds; PROVER_RETRY_FOR

DEFAULT_CIRCUIT = "block"
DEFAULT_DOCKERFILE = "Dockerfile"
DEFAULT_CLIENT = "client"  # the program in the base image
DEFAULT_WORKDIR = "/opt"  # CLIENT_CONFIG is relative to it


class Endpoint(Message):
    """Where the coordinator listens: an IP that every node reaches, and a TCP port."""

    ip: str
    port: int = DEFAULT_COORDINATOR_PORT

    def __str__(self) -> str:
        """`ip:port`, with brackets around IPv6."""
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


class SecretRef(Message):
    """Where a worker finds a credential: `env:NAME`, `file:PATH`, `docker-config`, `kubernetes:SECRET`.

    `env:IMAGE_AUTH` means the pair IMAGE_AUTH_USER and IMAGE_AUTH_PASSWORD. `required` is set when the starter saw
    the credential: a worker that cannot resolve it fails instead of going on anonymously.
    """

    ref: str
    required: bool = False
    seen_on: str = ""  # the starter's host name, for the error of a worker that lacks it


class ImageTarget(Message):
    """Where the prover image goes: one repository, pushed through one host, pulled through another."""

    repository: str  # path without host, e.g. fluidex/prover-cluster
    push_host: str = "docker.io"
    pull_host: str = "docker.io"
    push_auth: SecretRef | None = None  # None: anonymous
    pull_auth: SecretRef | None = None


class Backend(Message):
    """The host that holds repository, keys and backend; `repo` and `profile` are paths on that host.

    Until the source was checked out `repo` may be a URL, too.
    """

    host: str = "local"
    repo: str = ""
    ref: str = ""  # commit, tag or branch to check out apart from any work tree; empty: the tree as it is
    profile: str = ""  # path or name of a bundled profile; empty: <repo>/proverctl.yaml
    circuit_dir: str = ""  # relative to repo; empty: the profile's
    base_image: str = "prover"
    base_context: str = ""  # relative to repo; its Dockerfile builds the base image; empty: base_image is there already
    base_dockerfile: str = DEFAULT_DOCKERFILE  # relative to base_context
    client_command: str = ""  # as a shell would split it; empty: the base image's, DEFAULT_CLIENT where it has none
    client_workdir: str = DEFAULT_WORKDIR

    @property
    def apart(self) -> bool:
        """Whether the source has to be checked out, apart from any work tree, before it can be used."""
        return bool(self.ref) or "://" in self.repo

    def checked_out(self, directory: str) -> "Backend":
        """Return the backend with its source in that directory."""
        return self.model_copy(update={"repo": directory, "ref": ""})

    @property
    def asked(self) -> str:
        """The source as it was asked for, `repo@ref`."""
        return f"{self.repo}@{self.ref}" if self.ref else self.repo


class KeyValue(Message):
    """A node label, or key and value of a taint."""

    key: str
    value: str

    def __str__(self) -> str:
        """`key=value`."""
        return f"{self.key}={self.value}"


class ConfigSchema(StrEnum):
    """The prove-client's configuration schema: flat is the original's, struct is upstream's later one."""

    FLAT = "flat"
    STRUCT = "struct"
    AUTO = "auto"  # read off the client's pinned source, before anything is rendered


class BackendMode(StrEnum):
    """Mode of the backend, which is brought up before the clients."""

    NONE = "none"  # deploy: a coordinator already runs
    REAL = "real"  # setup-all: nothing is simulated
    SIMULATED = "simulated"  # run-all: with the ticker


class OnFailure(StrEnum):
    """Reaction to a permanent failure of a deploy."""

    HOLD = "hold"  # park with the diagnosis
    REMOVE = "remove"  # tear down what was applied, then fail
    FAIL = "fail"  # close the workflow as failed, leave objects


class Shortage(StrEnum):
    """Policy when fewer clients fit than are wanted."""

    REFUSE = "refuse"  # with the numbers, changing nothing
    WAIT = "wait"  # durably, up to `wait_for_nodes` seconds
    FIT = "fit"  # as many as fit
    AUTOSCALE = "autoscale"  # apply, so that Pending pods make an autoscaler add nodes, and wait for it


class ClusterSpec(Message):
    """Deployment as the user wants it; see docs/operations.md for each setting."""

    cluster: str = "default"
    namespace: str = "default"
    coordinator: Endpoint
    coordinator_serv: str = ""  # overrides the upstream URL given to clients
    image: ImageTarget
    stage: str = ""  # empty: short commit of the backend repository
    replicas: int = 2
    deploy_name: str = "client"  # value of label `app`
    circuit: str = ""  # empty: the backend profile's, else DEFAULT_CIRCUIT
    config_schema: ConfigSchema = ConfigSchema.FLAT
    node_label: KeyValue = KeyValue(key="fluidexnode", value="computation")
    node_taint: KeyValue = KeyValue(key="dedicated", value="computation")
    client_cpu: str = ""  # Kubernetes quantity; empty: no request
    client_memory: str = ""  # request = limit; empty: none
    client_resources: dict[str, str] = {}  # extended resources such as nvidia.com/gpu → quantity; request = limit
    node_min_cpu: str = ""  # least allocatable cores of a node, a Kubernetes quantity; empty: any
    node_min_memory: str = ""  # the same for memory
    client_grace: int = 5  # seconds a pod may take to end
    max_unavailable: str = "1"  # N or N%
    min_ready: float = Field(default=1.0, ge=0, le=1)  # share of replicas below which it is degraded
    progress_deadline: int = 3600  # seconds; longer than the key load
    backend: Backend = Backend()
    backend_mode: BackendMode = BackendMode.NONE
    allow_dirty: bool = False
    force_tag: bool = False  # let a commit's tag name other content than it does
    pre_pull: bool = True  # nodes pull a new image before the clients that run are replaced
    on_failure: OnFailure = OnFailure.HOLD
    retry_for: int = DEFAULT_RETRY_FOR  # seconds that transient failures are retried before parking
    shortage: Shortage = Shortage.REFUSE
    wait_for_nodes: int = 0  # seconds; with Shortage.WAIT
    answer_within: int = DEFAULT_ANSWER_WITHIN  # seconds that a question waits for a person before its default

    @property
    def circuit_name(self) -> str:
        """The circuit as far as it is known."""
        return self.circuit or DEFAULT_CIRCUIT

    @property
    def deployment_id(self) -> str:
        """The workflow id of this cluster and namespace."""
        return names.deployment_id(self.cluster, self.namespace)
