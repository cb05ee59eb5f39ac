"""A namespace with a release in it, looked at through real activities and through `proverctl --direct`."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from temporalio.testing import ActivityEnvironment

from activities.inspection.activities import InspectionActivities
from activities.release.activities import KubeActivities
from clients.kubernetes.cluster import KubernetesCluster
from clients.registry.credentials import WorkerSecrets
from clients.system.evidence import EvidenceFiles
from domain import names
from domain.messages.inspection import DiagnoseReport, DiagnoseRequest, PlanReport, PlanRequest
from domain.messages.release import ApplyRequest
from domain.spec import ClusterSpec, Endpoint, ImageTarget, KeyValue, SecretRef
from domain.status import Release
from tests.support.command_line import Cli

CANARY = "canary-hunter2"
LOGIN = {"IMAGE_AUTH_USER": "prover", "IMAGE_AUTH_PASSWORD": CANARY}
NOWHERE = "127.0.0.1:1"  # where no Temporal listens
PREFIX = "test/inspection"
HOST = "pull.example.com:5000"
IMAGE = f"{HOST}/prover:client-abc@sha256:{'a' * 64}"


class Inspected:
    """Activities of an administrator, and a command line that reaches nothing but the cluster."""

    def __init__(self, cluster: KubernetesCluster, world: dict[str, str], namespace: str, folder: Path) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.folder = folder
        self.login(CANARY)
        self.cli = Cli(
            {
                "PATH": os.environ["PATH"],
                "HOME": str(folder),
                "KUBECONFIG": world["KUBECONFIG"],
                "TEMPORAL_ADDRESS": NOWHERE,
                "PROVER_STATE_DIR": str(folder / "state"),
                "CLUSTER_NS": namespace,
                "IMAGE_REPO": f"{HOST}/prover",
                "COORDINATOR_EP": "10.0.0.9",
                "NODE_LABEL": f"nobody={namespace}",
                "STAGE": "abc",
                **LOGIN,
            },
            folder,
        )

    def login(self, password: str) -> None:
        """Start the worker with this password."""
        secrets = WorkerSecrets(LOGIN | {"IMAGE_AUTH_PASSWORD": password})
        self.kube = KubeActivities({"default": self.cluster}, secrets, PREFIX)
        self.inspection = InspectionActivities({"default": self.cluster}, secrets, PREFIX, EvidenceFiles(self.folder))

    def spec(self, **changes: Any) -> ClusterSpec:
        """Two clients for which there is no node: nothing runs, nothing is pulled."""
        auth = SecretRef(ref="env:IMAGE_AUTH", required=True)
        spec = ClusterSpec(
            namespace=self.namespace,
            coordinator=Endpoint(ip="10.0.0.9"),
            image=ImageTarget(repository="prover", push_host=HOST, pull_host=HOST, pull_auth=auth),
            node_label=KeyValue(key="nobody", value=self.namespace),
        )
        return spec.model_copy(update=changes)

    def apply(self, spec: ClusterSpec | None = None) -> None:
        """apply_release of stage abc."""
        spec = spec or self.spec()
        release = Release(stage="abc", image=IMAGE, replicas=spec.replicas)
        request = ApplyRequest(
            spec=spec, release=release, deployment_id=spec.deployment_id, cluster_uid="", image_user="1"
        )
        self._run(self.kube.apply_release, request)

    def plan(self, spec: ClusterSpec | None = None, stage: str = "abc") -> PlanReport:
        """Run the activity `plan`."""
        spec = spec or self.spec()
        release = Release(stage=stage, image=f"{HOST}/prover:{names.image_tag(stage)}", replicas=spec.replicas)
        request = PlanRequest(spec=spec, release=release, deployment_id=spec.deployment_id)
        report: PlanReport = self._run(self.inspection.plan, request)
        return report

    def diagnose(self, *, bundle: bool = False) -> DiagnoseReport:
        """Run the activity `diagnose`."""
        report: DiagnoseReport = self._run(self.inspection.diagnose, DiagnoseRequest(spec=self.spec(), bundle=bundle))
        return report

    def _run(self, activity: Callable[[Any], Any], request: Any) -> Any:
        return ActivityEnvironment().run(activity, request)


def said(report: PlanReport) -> dict[str, str]:
    """Kind → action."""
    return {change.kind: str(change.action) for change in report.changes}
