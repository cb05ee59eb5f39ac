"""Who else takes our images: kubelets, Docker and crane; and one digest comes out wherever an image is made.

The client of these images tells mode and checksum of every file that it finds, as the user that it runs as. Keys and
client are the same in each run, so that the world's registry stores them once.
"""

import contextlib
import hashlib
import io
import json
import os
import subprocess
import tarfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from clients.git.work_tree import GitSources
from clients.image.images import PushedImages
from clients.kubernetes.cluster import KubernetesCluster
from domain import names
from domain.kubernetes import Manifest
from domain.messages.image import Image, ImageRequest
from domain.spec import ClusterSpec, ConfigSchema, Endpoint
from planning.manifests import render
from sandbox.binaries import CHECKSUM, CRANE, ensure_built
from sandbox.settings import Settings
from tests.support.images.inputs import KEY_SIZE, MEBI, OneLogin, pipeline, quiet, request
from tests.support.registry.server import KINDS, PASSWORD, USER, RegistryRoom, registry_room, until

_OLD = 1_000_000_000  # a time of last change
_WITNESS = "circuit_cpp/circuit"
_SCHEMA = ConfigSchema.STRUCT  # that of such a circuit
_PULL_SECONDS = 60.0


@pytest.fixture(params=KINDS)
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RegistryRoom]:
    """A registry with credentials, of either kind."""
    with registry_room(tmp_path / "registry", request.param) as room:
        yield room


@pytest.fixture
def base(world: dict[str, str]) -> Iterator[str]:
    """A base image whose client can run."""
    name = f"prover-base-{uuid.uuid4().hex[:8]}"
    program = (ensure_built(Settings.from_environment(), CHECKSUM) / "checksum").read_bytes()
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        head = tarfile.TarInfo("checksum")
        head.size, head.mode = len(program), 0o755
        archive.addfile(head, io.BytesIO(program))
    with contextlib.closing(docker.DockerClient(base_url=world["DOCKER_HOST"])) as client:
        changes = ["USER 65532:65532", 'ENTRYPOINT ["/checksum"]', 'CMD ["/opt"]']
        client.api.import_image_from_data(content.getvalue(), repository=name, tag="latest", changes=changes)
        yield name
        client.images.remove(name, force=True)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A git repository with circuit files of all sizes, one of them a program."""
    found = tmp_path / "origin"
    (found / "circuit" / "circuit_cpp").mkdir(parents=True)
    for name in ("circuit.r1cs", "vk.bin"):
        (found / "circuit" / name).write_text(name)
    program = found / "circuit" / _WITNESS
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    with (found / "circuit" / "mon.key").open("wb") as key:
        for number in range(KEY_SIZE // MEBI):
            key.write(hashlib.sha256(str(number).encode()).digest() * (MEBI // 32))
    _git("init", "--quiet", str(found))
    _git("-C", str(found), "add", "--all")
    _git("-C", str(found), "commit", "--quiet", "--message", "A circuit")
    return found


def _git(*arguments: str, umask: int = -1) -> None:
    who = ("-c", "user.name=ann", "-c", "user.email=ann@localhost", "-c", "commit.gpgsign=false")
    dates = dict.fromkeys(("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"), f"{_OLD} +0000")  # one commit in all runs
    subprocess.run(["git", *who, *arguments], check=True, umask=umask, env=os.environ | dates)


def _told(repo: Path) -> dict[str, str]:
    """What the client is to tell: mode and checksum by path."""
    circuit = repo / "circuit"
    files = ["circuit.r1cs", "mon.key", "vk.bin", _WITNESS]
    digests = {name: hashlib.sha256((circuit / name).read_bytes()).hexdigest() for name in files}
    told = {f"/opt/circuit/{name}": f"{755 if name == _WITNESS else 644} {digest}" for name, digest in digests.items()}
    return told | {"/opt/mon.key": f"644 {digests['mon.key']}"}


def _parsed(output: str) -> dict[str, str]:
    lines = (line.rpartition(" ") for line in output.splitlines())
    return {path: said for said, _, path in lines}


def test_kubelets_run_it(
    world: dict[str, str], tmp_path: Path, cluster: KubernetesCluster, namespace: str, base: str, repo: Path
) -> None:
    """A pod pulls it with `img-cred` through the other name of the registry; its user can read every key."""
    # The world may have the image of an earlier client under the tag: it outlives tests.
    asked = request(
        repo,
        base,
        world["IMAGE_HOST"],
        repository="fluidex/prover-runs",
        pull_host=world["IMAGE_HOST_ALIAS"],
        force_tag=True,
        config_schema=_SCHEMA,
    )
    login = world["IMAGE_AUTH_USER"], world["IMAGE_AUTH_PASSWORD"]
    image = PushedImages(world["DOCKER_HOST"], OneLogin(*login), tmp_path / "state").ensure(asked, quiet)
    spec = ClusterSpec(namespace=namespace, coordinator=Endpoint(ip=world["COORDINATOR_EP"]), image=asked.target)
    cluster.apply(render.pull_secret(spec, *login, "test"))
    cluster.apply(_pod(namespace, image))
    until(lambda: _phase(cluster, namespace) in {"Succeeded", "Failed"}, "the pod has ended", _PULL_SECONDS)
    assert _phase(cluster, namespace) == "Succeeded"
    assert _parsed(cluster.logs("reader", namespace)) == _told(repo)


def _phase(cluster: KubernetesCluster, namespace: str) -> str:
    return str((cluster.get("Pod", "reader", namespace) or {}).get("status", {}).get("phase"))


def _pod(namespace: str, image: Image) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "reader", "namespace": namespace},
        "spec": {
            "restartPolicy": "Never",
            "imagePullSecrets": [{"name": names.PULL_SECRET}],
            "nodeSelector": {"fluidexnode": "computation"},
            "tolerations": [{"key": "dedicated", "operator": "Exists"}],
            "containers": [{"name": names.CONTAINER, "image": image.reference}],
        },
    }


def test_docker_and_crane_take_it(
    world: dict[str, str], tmp_path: Path, registry: RegistryRoom, base: str, repo: Path
) -> None:
    """The Engine runs it, its client reads every key; crane finds nothing wrong, and every blob true to its digest."""
    image = pipeline(world, tmp_path).ensure(request(repo, base, registry.host, config_schema=_SCHEMA), quiet)
    assert _parsed(_run_by_docker(world, image)) == _told(repo)
    _crane(tmp_path, registry, "validate", "--fast", f"--remote={image.reference}")
    # Without --fast `crane validate` takes every layer for gzip, and ours are plain tar: this reads and checks all.
    _crane(tmp_path, registry, "pull", "--format=oci", image.reference, str(tmp_path / "pulled"))
    digests = {path.name for path in (tmp_path / "pulled" / "blobs" / "sha256").iterdir()}
    assert image.digest.removeprefix("sha256:") in digests


def _run_by_docker(world: dict[str, str], image: Image) -> str:
    with contextlib.closing(docker.DockerClient(base_url=world["DOCKER_HOST"])) as client:
        client.images.pull(image.reference, auth_config={"username": USER, "password": PASSWORD})
        try:
            output: bytes = client.containers.run(image.reference, network_mode="none", remove=True)
        finally:
            client.images.remove(image.reference, force=True)
    return output.decode()


def _crane(folder: Path, registry: RegistryRoom, *arguments: str) -> None:
    auths = {registry.host: {"username": USER, "password": PASSWORD}}
    (folder / "config.json").write_text(json.dumps({"auths": auths}))
    crane = ensure_built(Settings.from_environment(), CRANE) / "crane"
    done = subprocess.run(
        [str(crane), *arguments],
        env={"DOCKER_CONFIG": str(folder), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, done.stdout + done.stderr)


def test_clean_checkouts_give_one_digest(
    world: dict[str, str], tmp_path: Path, registry: RegistryRoom, base: str, repo: Path
) -> None:
    """Neither directory nor time nor umask is part of it: the second host finds that there is nothing to do."""
    first = _checkout(repo, tmp_path / "one", umask=0o077, age=0)
    second = _checkout(repo, tmp_path / "two" / "deeper", umask=0o000, age=_OLD)
    made = [
        pipeline(world, tmp_path, state=clone.name).ensure(_request(clone, base, registry.host), quiet)
        for clone in (first, second)
    ]
    assert [image.built for image in made] == [True, False]
    assert made[0].reference == made[1].reference
    assert made[0].digest == made[1].digest


def _checkout(repo: Path, clone: Path, *, umask: int, age: int) -> Path:
    clone.parent.mkdir(parents=True, exist_ok=True)
    _git("clone", "--quiet", str(repo), str(clone), umask=umask)
    changed = age or time.time()
    for path in (clone / "circuit").rglob("*"):
        os.utime(path, (changed, changed))
    return clone


def _request(clone: Path, base: str, host: str) -> ImageRequest:
    source = GitSources(clone.parent / "state").resolve(str(clone), stage="", allow_dirty=False)
    return request(clone, base, host, source=source, config_schema=_SCHEMA)
