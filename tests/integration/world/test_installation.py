"""The installation by compose: its file is clean, and the worker image runs against a real Temporal server."""

import re
import shutil
import subprocess
import time
import tomllib
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from sandbox.binaries import COMPOSE, ensure_built
from sandbox.settings import REPOSITORY, Settings

BASE = "proverctl-test-base:latest"
WORKER = "proverctl-worker:test"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")


@pytest.fixture(scope="session")
def compose() -> Path:
    """Docker compose v2, built once a machine."""
    return ensure_built(Settings.from_environment(), COMPOSE) / COMPOSE.program


@pytest.fixture(scope="session")
def engine(world: dict[str, str]) -> Iterator[Any]:
    """Yield the world's Docker Engine; a build may take minutes."""
    client = docker.DockerClient(base_url=world["DOCKER_HOST"], timeout=900)
    yield client
    client.close()


@pytest.fixture(scope="session")
def base_image(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Build a small Debian with Python, made from packages, that trusts whom this machine trusts."""
    archive = Settings.from_environment().cache / "worker-base.tar"
    if not archive.exists():
        wanted = "python3,python3-venv,python3-pip,git,ca-certificates"
        unfinished = archive.with_suffix(".unfinished")
        subprocess.run(
            ["mmdebstrap", "--variant=minbase", f"--include={wanted}", "--format=tar", "bookworm", str(unfinished)],
            check=True,
            capture_output=True,
        )
        unfinished.rename(archive)
    if not engine.images.list(name="proverctl-test-base:raw"):
        engine.api.import_image(src=str(archive), repository="proverctl-test-base", tag="raw")
    context = tmp_path_factory.mktemp("base")
    shutil.copy(AUTHORITIES, context / AUTHORITIES.name)
    (context / "Dockerfile").write_text(
        f"FROM proverctl-test-base:raw\nCOPY {AUTHORITIES.name} {AUTHORITIES}\n"
        "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
        f"ENV SSL_CERT_FILE={AUTHORITIES} PIP_CERT={AUTHORITIES}\n"
    )
    engine.images.build(path=str(context), tag=BASE, rm=True)
    return BASE


@pytest.fixture(scope="session")
def worker_image(engine: Any, base_image: str) -> str:
    """Build the worker image of this checkout."""
    engine.images.build(
        path=str(REPOSITORY),
        dockerfile="worker/Dockerfile",
        buildargs={"BASE_IMAGE": base_image},
        network_mode="host",
        tag=WORKER,
        rm=True,
    )
    return WORKER


def test_compose_file_is_clean(compose: Path) -> None:
    """`docker compose config` accepts the file without a warning."""
    command = [str(compose), "--env-file", "compose/example.env", "config", "--quiet"]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_compose_names_a_missing_password(compose: Path, tmp_path: Path) -> None:
    """Without POSTGRES_PASSWORD nothing starts, and the message says what to set."""
    empty = tmp_path / "empty.env"
    empty.write_text("")
    command = [str(compose), "--env-file", str(empty), "config", "--quiet"]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert "set POSTGRES_PASSWORD in .env" in ended.stderr


def test_worker_image_takes_every_room() -> None:
    """A package that the Dockerfile does not copy would fail only where it is first imported."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = re.findall(r"^COPY (\w+) \1$", (REPOSITORY / "worker" / "Dockerfile").read_text(), re.MULTILINE)
    allowed = re.findall(r"^!(\w+)$", (REPOSITORY / ".dockerignore").read_text(), re.MULTILINE)
    assert (sorted(copied), sorted(allowed)) == (sorted(packages), sorted(packages))


def test_worker_image_does_not_run_as_root(engine: Any, worker_image: str) -> None:
    """The image names an unprivileged numeric user, so that `runAsNonRoot` can check it."""
    assert engine.images.get(worker_image).attrs["Config"]["User"] == "10001:10001"


async def test_worker_image_polls_temporal(engine: Any, worker_image: str, world: dict[str, str]) -> None:
    """The container polls its task queue, and ends by itself on SIGTERM."""
    host = f"install-{uuid.uuid4().hex[:8]}"
    container = engine.containers.run(
        worker_image,
        detach=True,
        network_mode="host",
        environment={
            "TEMPORAL_ADDRESS": world["TEMPORAL_ADDRESS"],
            "BACKEND_HOST": host,
        },
        command=["--roles", "host"],
    )
    try:
        client = await Client.connect(world["TEMPORAL_ADDRESS"])
        await _until_polled(client, f"prover-host.{host}", container)
        container.stop(timeout=30)
        assert container.wait()["StatusCode"] == 0, container.logs().decode()
    finally:
        container.remove(force=True)


async def _until_polled(client: Client, queue: str, container: Any, patience: float = 60) -> None:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
    )
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        answer = await client.workflow_service.describe_task_queue(request)
        if answer.pollers:
            return
        container.reload()
        assert container.status == "running", container.logs().decode()
    pytest.fail(f"nobody polls {queue} after {patience} s:\n{container.logs().decode()}")
