"""A namespace, a repository, a base image and a listening coordinator in the real world, for preflights of them."""

import contextlib
import io
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import docker

from activities.host.preflight import Host, host_checks
from activities.inspection.preflight import PreflightCluster, cluster_checks
from clients.backend.host import LocalBackendHost
from clients.git.work_tree import GitSources
from clients.image.preflight import LocalImagePreflight
from clients.kubernetes.cluster import KubernetesCluster
from clients.kubernetes.pods import PodTrials
from clients.registry.credentials import WorkerSecrets
from clients.system.tcp import reach
from domain.messages.inspection import Check, PreflightReport, PreflightRequest
from domain.spec import Backend, ClusterSpec, Endpoint, ImageTarget, SecretRef
from tests.support.kubernetes.service_accounts import until

KEPT = ("ConfigMap", "Deployment", "EndpointSlice", "Pod", "PodDisruptionBudget", "Secret", "Service", "ReplicaSet")
AUTH = SecretRef(ref="env:IMAGE_AUTH", required=True)


class Room:
    """What a preflight is asked about; `close` takes it all away."""

    def __init__(self, world: dict[str, str], cluster: KubernetesCluster, folder: Path) -> None:
        self.world = world
        self.cluster = cluster
        self.name = f"preflight-{uuid4().hex[:8]}"
        self.prefix = f"test/{self.name}"
        self.repo = folder / "backend"
        self._folder = folder
        self.listening = socket.create_server((world["COORDINATOR_EP"], 0))
        self.port = int(self.listening.getsockname()[1])

    def prepare(self) -> None:
        """Make what has to exist before the checks."""
        self.namespace()
        self._make_repository()
        # The cluster's CA comes by a controller, in its own time: it is no change of ours.
        assert until(lambda: self.cluster.get("ConfigMap", "kube-root-ca.crt", self.name) is not None)

    def close(self) -> None:
        """Delete the namespace with all that a test left."""
        self.listening.close()
        self.cluster.delete("Namespace", self.name, "")

    def namespace(self, **labels: str) -> None:
        """Create the namespace, with these labels of Pod Security."""
        marks = {f"pod-security.kubernetes.io/{mode}": level for mode, level in labels.items()}
        metadata = {"name": self.name, "labels": marks}
        self.cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})

    def put(self, kind: str, name: str, **content: Any) -> None:
        """Create an object of somebody else in the namespace."""
        version = {"Deployment": "apps/v1"}.get(kind, "v1")
        metadata = {"name": name, "namespace": self.name} | content.pop("metadata", {})
        self.cluster.apply({"apiVersion": version, "kind": kind, "metadata": metadata, **content})

    def spec(self, **changes: Any) -> ClusterSpec:
        """No client at all, so that no test depends on who else uses the world's two nodes."""
        image = ImageTarget(
            repository=f"{self.name}/prover",
            push_host=self.world["IMAGE_HOST"],
            pull_host=self.world["IMAGE_HOST_ALIAS"],
            push_auth=AUTH,
            pull_auth=AUTH,
        )
        endpoint = Endpoint(ip=self.world["COORDINATOR_EP"], port=self.port)
        backend = Backend(repo=str(self.repo), circuit_dir="circuit", base_image=f"{self.name}-base")
        least = ClusterSpec(namespace=self.name, coordinator=endpoint, image=image, replicas=0, backend=backend)
        return least.model_copy(update=changes)

    def in_cluster(
        self, spec: ClusterSpec | None = None, cluster: KubernetesCluster | None = None, **changes: Any
    ) -> dict[str, Check]:
        """Return the cluster's checks by name, as an administrator or with the rights of `cluster`."""
        asked = self.request(spec).model_copy(update={"stage": "abc", "image_user": "65532"} | changes)
        used = cluster or self.cluster
        site = PreflightCluster(
            used, PodTrials(used.connection), WorkerSecrets(self.world), reach, self.owner(asked.spec)
        )
        return {check.name: check for check in cluster_checks(site, asked, lambda _: None)}

    def owner(self, spec: ClusterSpec) -> str:
        """Return the mark of this test's deployment."""
        return f"{self.prefix}/{spec.deployment_id}"

    def on_host(self, spec: ClusterSpec | None = None, **environ: str) -> PreflightReport:
        """Return the checks of the backend host, whose environment is the world's with these changes."""
        secrets = WorkerSecrets(self.world | environ)
        image_preflight = LocalImagePreflight(self.world["DOCKER_HOST"], secrets)
        backend = LocalBackendHost(self._folder / "state", self.world)
        host = Host(GitSources(self._folder / "state"), image_preflight, backend, secrets)
        return host_checks(host, self.request(spec), lambda _: None)

    def request(self, spec: ClusterSpec | None = None) -> PreflightRequest:
        """Return the request of a preflight."""
        wanted = spec or self.spec()
        return PreflightRequest(spec=wanted, deployment_id=wanted.deployment_id, probe_image=self.world["PROBE_IMAGE"])

    def contents(self) -> dict[str, str]:
        """`kind/name` of everything in the namespace, with its version."""
        found = [one for kind in KEPT for one in self.cluster.find(kind, self.name)]
        home = self.cluster.get("Namespace", self.name)
        every = [*found, *([home] if home else [])]
        return {f"{one['kind']}/{one['metadata']['name']}": _version(one["metadata"]) for one in every}

    def contents_after(self, before: dict[str, str]) -> dict[str, str]:
        """Return the contents once they are as before, or when that does not come true in time."""
        until(lambda: self.contents() == before)
        return self.contents()

    def pushed_to(self) -> bool:
        """Whether an upload was ever begun in our repository of the registry."""
        return bool(list(self._storage().glob(f"**/repositories/{self.name}/prover/_uploads")))

    def uploads(self) -> list[Path]:
        """Those that are still open."""
        return list(self._storage().glob(f"**/repositories/{self.name}/prover/_uploads/*/startedat"))

    def _storage(self) -> Path:
        return Path(self.world["WORLD_STATE"]) / "registry"

    @contextlib.contextmanager
    def base_image(self, *changes: str) -> Iterator[None]:
        """Build an image in the Docker Engine with these lines of a Dockerfile."""
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            archive.addfile(tarfile.TarInfo("client"))
        name = f"{self.name}-base"
        with contextlib.closing(docker.DockerClient(base_url=self.world["DOCKER_HOST"])) as client:
            client.api.import_image_from_data(content.getvalue(), repository=name, tag="latest", changes=list(changes))
            yield
            client.images.remove(name, force=True)

    def _make_repository(self) -> None:
        (self.repo / "circuit").mkdir(parents=True)
        for name in ("circuit.r1cs", "mon.key", "vk.bin"):
            (self.repo / "circuit" / name).write_text(name)
        author = ("-c", "user.name=test", "-c", "user.email=test@example.com")
        for words in (["init", "--quiet"], ["add", "."], [*author, "commit", "--quiet", "--message", "circuit"]):
            subprocess.run(["git", "-C", str(self.repo), *words], check=True)


def _version(metadata: dict[str, Any]) -> str:
    """Of what people write: controllers go on writing the status of what has one."""
    return str(metadata.get("generation") or metadata["resourceVersion"])
