"""The Workers of one process: one for each task queue that its roles serve, with its activities and their limits."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from temporalio.client import Client
from temporalio.worker import Worker

from activities.backend import BackendActivities
from activities.host.activities import HostActivities
from activities.host.images import ImageActivities
from activities.host.preflight import HostPreflightActivities
from activities.inspection.activities import InspectionActivities
from activities.inspection.preflight import PreflightActivities
from activities.release.activities import KubeActivities
from activities.release.pre_pull import PrePullActivities
from activities.watch import WatchActivities
from domain import names
from worker.interceptors.errors import ErrorTranslation
from worker.interceptors.heartbeats import SteadyBeats
from workflows.backend.workflow import BackendWorkflow
from workflows.deployment.teardown import TeardownWorkflow
from workflows.deployment.workflow import ProverClusterWorkflow
from workflows.inspection.lookup import LogWorkflow, ProfileWorkflow
from workflows.inspection.workflow import InspectWorkflow

WORKFLOWS: Sequence[type] = (
    ProverClusterWorkflow,
    TeardownWorkflow,
    BackendWorkflow,
    InspectWorkflow,
    ProfileWorkflow,
    LogWorkflow,
)
STICKY = timedelta(seconds=1)  # after a kill -9 the next worker waits this long for the dead one's cache
GRACE = timedelta(seconds=5)  # of a shutdown: short steps end, long ones are cancelled and go on elsewhere
BEAT = timedelta(seconds=1)  # at least this often a beat goes out, and a cancellation comes in with its answer
WATCH_BEAT = timedelta(seconds=5)
ANY = timedelta.max  # every call to Kubernetes has a socket timeout
SHORT = timedelta(minutes=30)  # builds and steps are longer, and beat for themselves
KUBE_SLOTS = 300  # each rollout holds a thread while it waits, also while a question about it is open
WATCH_SLOTS = 2000  # a watch holds nothing but memory
HOST_SLOTS = 32  # long steps run beside each other, and logs are read meanwhile; builds keep apart by a lock
HOST_WATCH_SLOTS = 200  # one for each backend of the host
AWAIT_SLOTS = 200  # awaiting a backend costs nothing


def deploy(client: Client) -> Worker:
    """Workflows, and the one activity that talks to Temporal itself."""
    return Worker(
        client,
        task_queue=names.DEPLOY_QUEUE,
        workflows=WORKFLOWS,
        activities=[BackendActivities(client).converge_backend],
        max_concurrent_activities=AWAIT_SLOTS,
        max_heartbeat_throttle_interval=BEAT,
        sticky_queue_schedule_to_start_timeout=STICKY,
        graceful_shutdown_timeout=GRACE,
        interceptors=[ErrorTranslation()],
    )


def kube(
    client: Client,
    cluster: str,
    steps: KubeActivities,
    inspection: InspectionActivities,
    preflight: PreflightActivities,
    pre_pull: PrePullActivities,
) -> Worker:
    """Short steps against one cluster."""
    methods: list[Callable[..., Any]] = [
        steps.inspect_target,
        steps.check_nodes,
        steps.apply_service,
        steps.apply_release,
        steps.await_rollout,
        steps.observe,
        steps.remove_release,
        inspection.plan,
        inspection.diagnose,
        inspection.capture_evidence,
        preflight.preflight_cluster,
        pre_pull.pre_pull,
    ]
    return _in_threads(client, names.kube_queue(cluster), methods, KUBE_SLOTS, SteadyBeats(ANY))


def host(
    client: Client,
    backend_host: str,
    steps: HostActivities,
    preflight: HostPreflightActivities,
    images: ImageActivities,
) -> Worker:
    """Source, image and backend, where repository and keys are."""
    methods: list[Callable[..., Any]] = [
        steps.checkout_source,
        steps.resolve_source,
        steps.ensure_image,
        steps.load_profile,
        steps.run_step,
        steps.stop_steps,
        steps.stop_backend,
        steps.purge_backend,
        steps.read_log,
        preflight.preflight_host,
        images.survey_images,
    ]
    return _in_threads(client, names.host_queue(backend_host), methods, HOST_SLOTS, SteadyBeats(SHORT))


def watch(client: Client, cluster: str, steps: WatchActivities) -> Worker:
    """Long watches of one cluster, all in one event loop."""
    return _in_loop(client, names.watch_queue(cluster), [steps.watch_release, steps.await_nodes], WATCH_SLOTS)


def host_watch(client: Client, backend_host: str, steps: HostActivities) -> Worker:
    """Long watches of the backends of one host, all in one event loop."""
    return _in_loop(client, names.host_watch_queue(backend_host), [steps.watch_backend], HOST_WATCH_SLOTS)


def _in_loop(client: Client, queue: str, methods: Sequence[Callable[..., Any]], slots: int) -> Worker:
    return Worker(
        client,
        task_queue=queue,
        activities=methods,
        max_concurrent_activities=slots,
        max_heartbeat_throttle_interval=WATCH_BEAT,
        graceful_shutdown_timeout=BEAT,
        interceptors=[ErrorTranslation()],
    )


def _in_threads(
    client: Client, queue: str, methods: Sequence[Callable[..., Any]], slots: int, beats: SteadyBeats
) -> Worker:
    return Worker(
        client,
        task_queue=queue,
        activities=methods,
        activity_executor=ThreadPoolExecutor(slots, thread_name_prefix=queue),
        max_concurrent_activities=slots,
        max_heartbeat_throttle_interval=BEAT,
        graceful_shutdown_timeout=GRACE,
        interceptors=[beats, ErrorTranslation()],
    )
