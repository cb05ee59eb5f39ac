"""Workers as `worker.queues` has them, with fake activities."""

from datetime import timedelta

from temporalio.client import Client
from temporalio.worker import Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions
from temporalio.workflow import SandboxImportNotificationPolicy

from activities.backend import BackendActivities
from domain import names
from tests.support.temporal.fake_activities import HostFakes, KubeFakes
from tests.support.temporal.world import World
from worker.interceptors.errors import ErrorTranslation
from workflows.backend.workflow import BackendWorkflow
from workflows.deployment.teardown import TeardownWorkflow
from workflows.deployment.workflow import ProverClusterWorkflow
from workflows.inspection.lookup import LogWorkflow, ProfileWorkflow
from workflows.inspection.workflow import InspectWorkflow

WORKFLOWS = [
    ProverClusterWorkflow,
    TeardownWorkflow,
    BackendWorkflow,
    InspectWorkflow,
    ProfileWorkflow,
    LogWorkflow,
]


def workers(client: Client, world: World, host: str) -> list[Worker]:
    """Build the workers of `worker.queues` with fakes."""
    kube, backend = KubeFakes(world), HostFakes(world)
    return [
        Worker(
            client,
            task_queue=names.DEPLOY_QUEUE,
            workflows=WORKFLOWS,
            activities=[BackendActivities(client).converge_backend],
            interceptors=[ErrorTranslation()],
            max_heartbeat_throttle_interval=timedelta(milliseconds=100),
            workflow_runner=SandboxedWorkflowRunner(
                restrictions=SandboxRestrictions.default.with_import_notification_policy(
                    SandboxImportNotificationPolicy.RAISE_ON_UNINTENTIONAL_PASSTHROUGH
                )
            ),
        ),
        Worker(
            client,
            task_queue=names.kube_queue("default"),
            activities=[
                kube.inspect_target,
                kube.check_nodes,
                kube.pre_pull,
                kube.apply_service,
                kube.apply_release,
                kube.await_rollout,
                kube.remove_release,
                kube.plan,
                kube.diagnose,
                kube.capture_evidence,
                kube.preflight_cluster,
            ],
            interceptors=[ErrorTranslation()],
            max_heartbeat_throttle_interval=timedelta(milliseconds=100),
        ),
        Worker(
            client,
            task_queue=names.watch_queue("default"),
            activities=[kube.watch_release, kube.await_nodes],
            interceptors=[ErrorTranslation()],
            max_heartbeat_throttle_interval=timedelta(milliseconds=100),
        ),
        Worker(
            client,
            task_queue=names.host_queue(host),
            activities=[
                backend.checkout_source,
                backend.resolve_source,
                backend.preflight_host,
                backend.ensure_image,
                backend.survey_images,
                backend.load_profile,
                backend.run_step,
                backend.stop_steps,
                backend.stop_backend,
                backend.purge_backend,
                backend.read_log,
            ],
            interceptors=[ErrorTranslation()],
            max_heartbeat_throttle_interval=timedelta(milliseconds=100),
        ),
        Worker(
            client,
            task_queue=names.host_watch_queue(host),
            activities=[backend.watch_backend],
            interceptors=[ErrorTranslation()],
            max_heartbeat_throttle_interval=timedelta(milliseconds=100),
        ),
    ]
