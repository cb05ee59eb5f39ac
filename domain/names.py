"""Every name that others rely on: objects in Kubernetes, workflow ids, task queues, search attributes."""

DEPLOYMENT = "prover-cli-t"  # within 13 characters, so that pod names stay within the task table's 30
CONTAINER = "client"
CONFIG_MAP = "cluster-conf"
CONFIG_KEY = "client"
COORDINATOR_SERVICE = "cluster-coordinator"
COORDINATOR_PORT_NAME = "http"
PULL_SECRET = "img-cred"  # noqa: S105 - the name of the Secret
DISRUPTION_BUDGET = "prover-cli-t"
HISTORY_CONFIG_MAP = "prover-cluster-history"

STAGE_ANNOTATION = "stage"
OWNER_ANNOTATION = "prover-cluster/owner"
CONFIG_HASH_ANNOTATION = "prover-cluster/config-hash"
ROLE_LABEL = "role"
ROLE_VALUE = "cluster-prover"
FIELD_MANAGER = "prover-cluster"

DEPLOY_QUEUE = "prover-deploy"

SEARCH_STAGE = "ProverStage"
SEARCH_PHASE = "ProverPhase"
SEARCH_NAMESPACE = "ProverNamespace"


def deployment_id(cluster: str, namespace: str) -> str:
    """Return the workflow id that makes "one prover cluster per namespace" true."""
    return f"prover-cluster/{cluster}/{namespace}"


def backend_id(host: str, profile: str) -> str:
    """Return the workflow id of one backend on one host."""
    return f"prover-backend/{host}/{profile}"


def kube_queue(cluster: str) -> str:
    """Short activities against one Kubernetes cluster."""
    return f"prover-kube.{cluster}"


def watch_queue(cluster: str) -> str:
    """Long watches of one Kubernetes cluster; async, so that hundreds fit in one worker."""
    return f"prover-watch.{cluster}"


def host_queue(host: str) -> str:
    """Source, image and backend work on the host that holds the repository and the keys."""
    return f"prover-host.{host}"


def host_watch_queue(host: str) -> str:
    """Return the queue of the backend watches on a host; async, so that they take no slot from the steps."""
    return f"prover-host-watch.{host}"


def image_tag(stage: str) -> str:
    """Return the tag of the prover image of one stage."""
    return f"client-{stage}"


def image_twin(stage: str, digest: str) -> str:
    """Return a second tag of the same image that never moves: with the first eight digits of its digest."""
    return f"{image_tag(stage)}-{digest.removeprefix('sha256:')[:8]}"
