"""A fake cluster whose nodes run one client each, and what a pre-pull makes there."""

from collections.abc import Callable
from typing import Any

from activities.release.pre_pull import PrePull
from clients.registry.credentials import RegistryLogin
from domain import names
from domain.errors import ProverError, Unavailable
from domain.images import PrePulled, PrePullRequest
from domain.kubernetes import Manifest
from domain.spec import ClusterSpec
from domain.status import Release
from planning.image import pre_pull
from tests.support.kubernetes.activities import ID, NS, OWNER, make_spec
from tests.support.kubernetes.fake_cluster import FakeCluster
from tests.support.kubernetes.objects import IMAGE

LOGIN = RegistryLogin("user", "hunter2")
PULLED: Manifest = {"phase": "Failed", "containerStatuses": [{"imageID": "sha256:1"}]}
PULLING: Manifest = {"phase": "Pending", "containerStatuses": [{"state": {"waiting": {"reason": "ContainerCreating"}}}]}
NO_NAME = {"waiting": {"reason": "InvalidImageName", "message": "no"}}
FAILED: Manifest = {"phase": "Pending", "containerStatuses": [{"state": NO_NAME}]}


class Room:
    """A cluster of nodes that run one client each, and the pods that are made on them; `end` says how those end."""

    def __init__(self, nodes: int = 2) -> None:
        self.cluster = FakeCluster()
        self.cluster.put("Namespace", NS)
        self.deployment = self.cluster.put("Deployment", names.DEPLOYMENT, NS)
        for number in range(nodes):
            self._node(f"n{number:03}")
        self.refusals: list[ProverError] = []
        self.made: list[str] = []
        self.most = 0
        self.end = PULLED
        self.beats: list[str] = []
        self.now = 0.0
        self.spec: ClusterSpec = make_spec()

    def _node(self, name: str) -> None:
        taint = {"key": "dedicated", "value": "computation", "effect": "NoSchedule"}
        self.cluster.put(
            "Node",
            name,
            labels={"fluidexnode": "computation"},
            spec={"taints": [taint]},
            status={"conditions": [{"type": "Ready", "status": "True"}], "images": []},
        )
        self.cluster.put("Pod", f"client-{name}", NS, spec={"nodeName": name}, status={"phase": "Running"})

    def create(self, pod: Manifest, *, dry_run: bool) -> list[str]:
        """As the API server, which knows nothing of the node's kubelet."""
        assert not dry_run
        if self.refusals:
            raise self.refusals.pop(0)
        meta = pod["metadata"]
        if ("Pod", NS, meta["name"]) in self.cluster.objects:
            raise Unavailable("it is there already", code="CONFLICT")
        self.put(pod, self.end)
        self.made.append(meta["name"])
        self.most = max(self.most, len(self.pods()))
        return []

    def put(self, pod: Manifest, status: Manifest) -> None:
        """Put a pod of ours on its node."""
        meta = pod["metadata"]
        (term,) = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
            "nodeSelectorTerms"
        ]
        (node,) = term["matchFields"][0]["values"]
        spec = pod["spec"] | {"nodeName": node}
        marks = {key: meta[key] for key in ("annotations", "labels", "ownerReferences")}
        self.cluster.put("Pod", meta["name"], NS, spec=spec, status=status, **marks)

    def leftover(self, node: str, status: Manifest, image: str = IMAGE) -> str:
        """Put what an earlier run made; return its name."""
        name = pre_pull.name(ID, image, node)
        pod = pre_pull.pod(self.spec, OWNER, name, (image, node), deployment=self.deployment, pull_secret=False)
        self.put(pod, status)
        return name

    def pods(self) -> list[str]:
        """Those that pull."""
        return [name for kind, _, name in self.cluster.objects if kind == "Pod" and not name.startswith("client-")]

    def answer(self, status: Manifest) -> Callable[[], None]:
        """Add a step of the cluster: all pods that pull come to this status."""

        def step() -> None:
            for name in self.pods():
                self.cluster.objects["Pod", NS, name]["status"] = status

        return step

    def wait(self, seconds: float = 2.0, times: int = 1) -> None:
        """Add steps in which only time passes."""

        def step() -> None:
            self.now += seconds

        self.cluster.steps += [step] * times

    def run(self, login: RegistryLogin | None = None, *, stopping: bool = False, **changes: Any) -> PrePulled:
        """Run the pre-pull."""
        release = Release(stage="abc", image=IMAGE, replicas=1)
        request = PrePullRequest(spec=self.spec, release=release, deployment_id=ID, cluster_uid="uid-1@ca-1")
        pulling = PrePull(
            self.cluster, self, request.model_copy(update=changes), OWNER, self.beats.append, lambda: self.now
        )
        return pulling.run(login, lambda: stopping)
