"""The one table of settings: it drives the CLI's flags, the parsing and the messages; docs/operations.md repeats it.

Imports nothing but the standard library, so that `proverctl --help` stays fast.
"""

from planning.settings import checks
from planning.settings.image_table import IMAGE
from planning.settings.setting import Setting

PROBE = "probe"  # the group of what only the preflight takes

CLUSTER_NS = Setting(
    "CLUSTER_NS",
    "--namespace",
    "default",
    "Kubernetes namespace of the prover cluster; a deployment creates it when missing, where allowed.",
    checks.namespace,
    "cluster",
    short="-n",
)
CLUSTER = Setting(
    "CLUSTER",
    "--cluster",
    "default",
    "Kubernetes cluster by name; the worker's KUBE_CONTEXTS maps it to a context.",
    checks.plain_name,
    "cluster",
)

SETTINGS: tuple[Setting, ...] = (
    CLUSTER_NS,
    CLUSTER,
    Setting(
        "COORDINATOR_EP",
        "--coordinator-ep",
        "",
        "IP address of the coordinator, reachable from every node.",
        checks.text,  # planning.endpoint judges address and port together
        "coordinator",
    ),
    Setting(
        "COORDINATOR_PORT", "--coordinator-port", "50055", "Its TCP port.", checks.port, "coordinator", short="--port"
    ),
    Setting(
        "COORDINATOR_SERV",
        "--coordinator-serv",
        "",
        "URL given to clients instead of the in-cluster service; reset-endpoint then has no effect on them.",
        checks.upstream,
        "coordinator",
    ),
    *IMAGE,
    Setting("CLIENT_REPLICAS", "--replicas", "2", "Number of prove-clients.", checks.replicas, "clients"),
    Setting(
        "CLUSTER_DEPLOYNAME",
        "--deploy-name",
        "client",
        "Value of the label `app` of selector and pods; fixed after the first deploy.",
        checks.label_value,
        "clients",
    ),
    Setting(
        "CIRCUIT",
        "--circuit",
        "",
        "Circuit that the clients prove, as the coordinator calls it (default: the backend profile's, else block).",
        checks.circuit,
        "clients",
    ),
    Setting(
        "CLIENT_CONFIG_SCHEMA",
        "--config-schema",
        "flat",
        "Schema of the client's configuration: flat (the original's), struct (upstream's later one), or auto to read it"
        " off the client's pinned source.",
        checks.one_of("flat", "struct", "auto"),
        "clients",
    ),
    Setting(
        "CLIENT_CPU", "--client-cpu", "", "Cores each client requests, a Kubernetes quantity.", checks.cpu, "clients"
    ),
    Setting(
        "CLIENT_MEMORY",
        "--client-memory",
        "",
        "Memory each client requests and is limited to, a Kubernetes quantity.",
        checks.memory,
        "clients",
    ),
    Setting(
        "CLIENT_RESOURCES",
        "--client-resources",
        "",
        "Extended resources each client requests, such as nvidia.com/gpu=1, several with commas.",
        checks.extended_resources,
        "clients",
    ),
    Setting(
        "CLIENT_GRACE",
        "--client-grace",
        "5s",
        "How long a pod may take to end.",
        checks.duration,
        "clients",
    ),
    Setting(
        "NODE_LABEL",
        "--node-label",
        "fluidexnode=computation",
        "Label that a node must carry.",
        checks.key_value,
        "nodes",
    ),
    Setting(
        "NODE_TAINT",
        "--node-taint",
        "dedicated=computation",
        "Taint of those nodes that clients tolerate, with every effect.",
        checks.taint,
        "nodes",
    ),
    Setting("NODE_MIN_CPU", "--node-min-cpu", "", "Least allocatable cores of a node.", checks.cpu, "nodes"),
    Setting("NODE_MIN_MEMORY", "--node-min-memory", "", "Least allocatable memory of a node.", checks.memory, "nodes"),
    Setting(
        "PROVER_WAIT_FOR_NODES",
        "--wait-for-nodes",
        "",
        "With too few usable nodes wait so long for more, e.g. 2d, instead of refusing.",
        checks.duration,
        "shortage",
    ),
    Setting(
        "PROVER_AS_MANY_AS_FIT",
        "--as-many-as-fit",
        "",
        "With too few usable nodes go on with as many clients as fit.",
        checks.boolean,
        "shortage",
        switch=True,
    ),
    Setting(
        "PROVER_EXPECT_AUTOSCALER",
        "--expect-autoscaler",
        "",
        "With too few usable nodes apply all the same, so that Pending pods make an autoscaler add nodes.",
        checks.boolean,
        "shortage",
        switch=True,
    ),
    Setting(
        "PROVER_MAX_UNAVAILABLE",
        "--max-unavailable",
        "1",
        "How many clients, or which share, a rollout may replace at once.",
        checks.max_unavailable,
        "rollout",
    ),
    Setting(
        "PROVER_MIN_READY",
        "--min-ready",
        "1",
        "Share of the clients that must be available, else it counts as degraded.",
        checks.share,
        "rollout",
    ),
    Setting(
        "PROVER_ON_FAILURE",
        "--on-failure",
        "hold",
        "After a permanent failure: hold (park and wait for a person), remove, or fail.",
        checks.one_of("hold", "remove", "fail"),
        "rollout",
    ),
    Setting(
        "PROVER_RETRY_FOR",
        "--retry-for",
        "10m",
        "How long transient failures are retried before it parks.",
        checks.duration,
        "rollout",
    ),
    Setting(
        "PROVER_ANSWER_WITHIN",
        "--answer-within",
        "30m",
        "How long a question waits for an answer before its default is taken.",
        checks.duration,
        "rollout",
    ),
    Setting(
        "BACKEND_REPO",
        "--backend-repo",
        "",
        "The backend's git tree on the backend host, or the URL of its repository (default: the tree around the working"
        " directory).",
        checks.git_repository,
        "backend",
    ),
    Setting(
        "BACKEND_REF",
        "--backend-ref",
        "",
        "Commit, tag or branch of BACKEND_REPO to check out apart from any work tree (default for a URL: its default"
        " branch).",
        checks.git_ref,
        "backend",
    ),
    Setting(
        "BACKEND_PROFILE",
        "--backend-profile",
        "",
        "File or bundled name of the backend profile (default: proverctl.yaml in BACKEND_REPO).",
        checks.text,
        "backend",
    ),
    Setting(
        "BACKEND_HOST",
        "--backend-host",
        "local",
        "Names the host, and so the task queue, that holds repository, keys and backend.",
        checks.plain_name,
        "backend",
    ),
    Setting(
        "CIRCUIT_DIR",
        "--circuit-dir",
        "",
        "Directory of the circuit files, relative to BACKEND_REPO (default: the profile's).",
        checks.relative_path,
        "backend",
    ),
    Setting(
        "PROBE_IMAGE",
        "--probe-image",
        "",
        "Image that `preflight --probe` runs briefly on a computation node: given HOST:PORT it says ok or why not.",
        checks.image,
        PROBE,
    ),
)

BY_NAME = {setting.name: setting for setting in SETTINGS}

# What commands about a backend take.
BACKEND = (
    "BACKEND_REPO",
    "BACKEND_REF",
    "BACKEND_PROFILE",
    "BACKEND_HOST",
    "CIRCUIT",
    "CIRCUIT_DIR",
    "COORDINATOR_EP",
    "COORDINATOR_PORT",
    "COORDINATOR_SERV",
    "PROVER_RETRY_FOR",
    "CLUSTER",
    "CLUSTER_NS",
)
