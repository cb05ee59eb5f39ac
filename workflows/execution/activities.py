"""Table of the activities that workflows use: queue, timeouts and title of each."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Generic, TypeVar

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
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
    from domain.images import ImagesReport, ImagesRequest, PrePulled, PrePullRequest
    from domain.messages.backend import (
        BackendInput,
        BackendReport,
        BackendWatch,
        LoadedProfile,
        LogChunk,
        LogRequest,
        ProfileRequest,
        PurgeRequest,
        StepRequest,
    )
    from domain.messages.image import Image, ImageRequest
    from domain.messages.inspection import (
        DiagnoseReport,
        DiagnoseRequest,
        PlanReport,
        PlanRequest,
        PreflightReport,
        PreflightRequest,
    )
    from domain.messages.nodes import NodesReport, NodesRequest
    from domain.messages.release import (
        Applied,
        ApplyRequest,
        Removed,
        RolloutRequest,
        Target,
        TargetRequest,
        WatchRequest,
    )
    from domain.messages.source import Checkout, CheckoutRequest, Source, SourceRequest
    from domain.profile import StepStatus
    from domain.spec import ClusterSpec
    from domain.status import Observation

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

HEARTBEAT = timedelta(seconds=10)  # activities beat every few seconds; a dead worker is noticed within this
WATCH_HEARTBEAT = timedelta(seconds=30)  # a lost watch costs freshness only, and there may be hundreds
MINUTE = timedelta(minutes=1)
HOURS = timedelta(hours=24)  # circuit set-up and pushes of tens of GB
MONTH = timedelta(days=31)  # longer than any wait that can be asked for; the workflow ends it earlier
WATCH = timedelta(days=7)  # afterwards the watch is simply started again
ROLLOUT_SLACK = timedelta(minutes=2)  # beyond progressDeadlineSeconds, so that Kubernetes speaks first
STEP_SLACK = timedelta(minutes=5)  # beyond a step's own timeout, so that the host speaks first; hashing takes time, too


def _cluster_queue(spec: ClusterSpec) -> str:
    return names.kube_queue(spec.cluster)


def _watch_queue(spec: ClusterSpec) -> str:
    return names.watch_queue(spec.cluster)


def _host_queue(spec: ClusterSpec) -> str:
    return names.host_queue(spec.backend.host)


def _host_watch_queue(spec: ClusterSpec) -> str:
    return names.host_watch_queue(spec.backend.host)


def _deploy_queue(_spec: ClusterSpec) -> str:
    return names.DEPLOY_QUEUE


@dataclass(frozen=True)
class Work(Generic[Asked, Answer]):
    """Activity of the table: `title` is what operators read, `role` is the worker role that polls `queue`."""

    method: Callable[..., Any]
    title: str
    queue: Callable[[ClusterSpec], str]
    role: str
    lasts: timedelta
    heartbeat: timedelta | None = HEARTBEAT
    wait_for_cancel: bool = True  # False: abandon at once, for work that changes nothing


CHECK_TARGET: Work[TargetRequest, Target] = Work(
    KubeActivities.inspect_target, "check the namespace", _cluster_queue, "kube", MINUTE
)
CHECK_NODES: Work[NodesRequest, NodesReport] = Work(
    KubeActivities.check_nodes, "check the nodes", _cluster_queue, "kube", MINUTE
)
PLAN: Work[PlanRequest, PlanReport] = Work(
    InspectionActivities.plan, "compare with what is live", _cluster_queue, "kube", MINUTE
)
DIAGNOSE: Work[DiagnoseRequest, DiagnoseReport] = Work(
    InspectionActivities.diagnose, "look at the clients", _cluster_queue, "kube", 2 * MINUTE
)
PREFLIGHT_HOST: Work[PreflightRequest, PreflightReport] = Work(
    HostPreflightActivities.preflight_host, "check the backend host", _host_queue, "host", 5 * MINUTE
)
PREFLIGHT_CLUSTER: Work[PreflightRequest, PreflightReport] = Work(
    PreflightActivities.preflight_cluster, "check the cluster", _cluster_queue, "kube", 5 * MINUTE
)
CAPTURE_EVIDENCE: Work[DiagnoseRequest, DiagnoseReport] = Work(
    InspectionActivities.capture_evidence, "keep the evidence", _cluster_queue, "kube", MINUTE / 2
)
PRE_PULL: Work[PrePullRequest, PrePulled] = Work(
    PrePullActivities.pre_pull, "have the nodes pull the image", _cluster_queue, "kube", HOURS
)
APPLY: Work[ApplyRequest, Applied] = Work(
    KubeActivities.apply_release, "apply the objects", _cluster_queue, "kube", 5 * MINUTE
)
APPLY_SERVICE: Work[ApplyRequest, Applied] = Work(
    KubeActivities.apply_service, "apply Service and EndpointSlice", _cluster_queue, "kube", MINUTE
)
AWAIT_ROLLOUT: Work[RolloutRequest, Observation] = Work(
    KubeActivities.await_rollout, "wait for the rollout", _cluster_queue, "kube", HOURS
)
AWAIT_CLEARING: Work[RolloutRequest, Observation] = replace(
    AWAIT_ROLLOUT, title="see whether the trouble clears", lasts=MONTH, wait_for_cancel=False
)
REMOVE: Work[TargetRequest, Removed] = Work(
    KubeActivities.remove_release, "remove the objects", _cluster_queue, "kube", timedelta(hours=2)
)
AWAIT_NODES: Work[NodesRequest, NodesReport] = Work(
    WatchActivities.await_nodes,
    "wait for nodes",
    _watch_queue,
    "kube",
    MONTH,
    heartbeat=WATCH_HEARTBEAT,
    wait_for_cancel=False,
)
WATCH_RELEASE: Work[WatchRequest, Observation] = Work(
    WatchActivities.watch_release,
    "watch the clients",
    _watch_queue,
    "kube",
    WATCH,
    heartbeat=WATCH_HEARTBEAT,
    wait_for_cancel=False,
)
CONVERGE_BACKEND: Work[BackendInput, BackendReport] = Work(
    BackendActivities.converge_backend, "bring up the backend", _deploy_queue, "deploy", 7 * HOURS
)
CHECKOUT_SOURCE: Work[CheckoutRequest, Checkout] = Work(
    HostActivities.checkout_source, "check out the source", _host_queue, "host", HOURS
)
RESOLVE_SOURCE: Work[SourceRequest, Source] = Work(
    HostActivities.resolve_source, "read the commit", _host_queue, "host", 5 * MINUTE
)
ENSURE_IMAGE: Work[ImageRequest, Image] = Work(
    HostActivities.ensure_image, "build and push the image", _host_queue, "host", HOURS
)
SURVEY_IMAGES: Work[ImagesRequest, ImagesReport] = Work(
    ImageActivities.survey_images, "look at the images", _host_queue, "host", 30 * MINUTE
)
LOAD_PROFILE: Work[ProfileRequest, LoadedProfile] = Work(
    HostActivities.load_profile, "read the backend profile", _host_queue, "host", MINUTE
)
RUN_STEP: Work[StepRequest, StepStatus] = Work(HostActivities.run_step, "run a step", _host_queue, "host", HOURS)
STOP_STEPS: Work[StepRequest, StepStatus] = Work(HostActivities.stop_steps, "stop a step", _host_queue, "host", HOURS)
STOP_BACKEND: Work[ProfileRequest, list[str]] = Work(
    HostActivities.stop_backend, "stop the backend", _host_queue, "host", HOURS
)
PURGE_BACKEND: Work[PurgeRequest, list[str]] = Work(
    HostActivities.purge_backend, "delete the backend's data", _host_queue, "host", HOURS
)
WATCH_BACKEND: Work[BackendWatch, list[StepStatus]] = Work(
    HostActivities.watch_backend,
    "watch the backend",
    _host_watch_queue,
    "host",
    WATCH,
    heartbeat=WATCH_HEARTBEAT,
    wait_for_cancel=False,
)
READ_LOG: Work[LogRequest, LogChunk] = Work(HostActivities.read_log, "read the log", _host_queue, "host", MINUTE)


def start_to_close(work: Work[Asked, Answer], spec: ClusterSpec, request: object = None) -> timedelta:
    """How long one attempt may take; a rollout's and a step's bound is the user's own and some slack."""
    if work is PREFLIGHT_HOST and spec.backend.apart:
        return work.lasts + CHECKOUT_SOURCE.lasts
    if work is AWAIT_ROLLOUT:
        return timedelta(seconds=spec.progress_deadline) + ROLLOUT_SLACK
    if isinstance(request, StepRequest):
        own = request.step.timeout if work is RUN_STEP else request.step.grace
        return timedelta(seconds=own) + STEP_SLACK
    return work.lasts
