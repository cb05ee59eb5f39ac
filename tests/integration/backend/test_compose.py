"""Compose projects on a real Docker Engine, of two images built here: up, health gate, repair, down, refusals."""

import contextlib
import os
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml

from clients.backend.job import Job
from clients.backend.steps.compose import await_healthy, check, down, state, up, up_argv
from domain.errors import Refused, SettingsInvalid, StepFailed, Unavailable
from domain.profile import Compose, StepState
from sandbox.binaries import COMPOSE, ensure_built
from sandbox.go import go_command
from sandbox.settings import REPOSITORY, Settings
from tests.support.backend.jobs import job_in, quiet
from tests.support.ports import free_port

SOURCE = REPOSITORY / "tests" / "support" / "images" / "compose_service"
STORE, FRONT = "proverctl-test-store:latest", "proverctl-test-front:latest"
PORT = free_port()

MakeJob = Callable[..., Job]


@pytest.fixture(scope="module")
def engine(world: dict[str, str]) -> Iterator[Any]:
    """The world's Docker Engine."""
    client = docker.DockerClient(base_url=world["DOCKER_HOST"], timeout=120)
    yield client
    client.close()


@pytest.fixture(scope="module")
def _images(engine: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Both images, from nothing but one static program; only the first knows how to check its health."""
    context = tmp_path_factory.mktemp("images")
    build = [
        go_command(Settings.from_environment()),
        "build",
        "-trimpath",
        "-ldflags",
        "-s -w",
        "-o",
        str(context / "it"),
    ]
    static = os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off", "GOFLAGS": ""}
    subprocess.run([*build, "."], cwd=SOURCE, env=static, check=True)
    check_words = 'HEALTHCHECK --interval=500ms --timeout=2s --retries=20 CMD ["/it", "reach", "127.0.0.1:7000"]\n'
    for tag, health in ((STORE, check_words), (FRONT, "")):
        text = f'FROM scratch\nCOPY it /it\n{health}ENTRYPOINT ["/it"]\nLABEL of={tag}\n'
        (context / "Dockerfile").write_text(text)
        engine.images.build(path=str(context), tag=tag, rm=True)


@pytest.fixture
def make_job(_images: None, world: dict[str, str], engine: Any, tmp_path: Path) -> Iterator[MakeJob]:
    """Jobs of compose projects of this test alone, of which nothing is left afterwards."""
    plugins = tmp_path / ".docker/cli-plugins"
    plugins.mkdir(parents=True)
    program = ensure_built(Settings.from_environment(), COMPOSE) / COMPOSE.program
    (plugins / "docker-compose").symlink_to(program)
    project = f"test-{uuid.uuid4().hex[:8]}"

    def make(document: object, *, timeout: int = 60, env: dict[str, str] | None = None, repo: str = "") -> Job:
        compose = {"project": project, "file": "docker/compose.yaml"}
        own = {"DOCKER_HOST": world["DOCKER_HOST"], **(env or {})}
        job = job_in(tmp_path / repo, env=own | {"HOME": str(tmp_path)}, compose=compose, timeout=timeout)
        (job.directory / "docker").mkdir(exist_ok=True)
        (job.directory / "docker/compose.yaml").write_text(yaml.safe_dump(document))
        return job

    yield make
    for container in _of(engine, project):
        container.remove(force=True, v=True)
    label = {"label": f"com.docker.compose.project={project}"}
    for one in (*engine.networks.list(filters=label), *engine.volumes.list(filters=label)):
        one.remove()


def _of(engine: Any, project: str) -> list[Any]:
    found: list[Any] = engine.containers.list(all=True, filters={"label": f"com.docker.compose.project={project}"})
    return found


def _compose(job: Job) -> Compose:
    assert job.step.compose
    return job.step.compose


def _down(job: Job, *, volumes: bool = True) -> bool:
    return down(_compose(job), job.directory, job.env, volumes=volumes, beat=quiet)


def _pair() -> dict[str, Any]:
    """A store that becomes healthy after a second, a migration that ends, and what needs both from its first moment."""
    migration = {"image": FRONT, "command": ["done"], "restart": "no"}
    store = {"image": STORE, "command": ["listen", ":7000", "1s"], "volumes": ["data:/data"]}
    front = {
        "image": FRONT,
        "command": ["listen", ":7001", "0s", "store:7000"],
        "ports": [f"127.0.0.1:{PORT}:7001"],
        "depends_on": {
            "store": {"condition": "service_healthy"},
            "migration": {"condition": "service_completed_successfully"},
        },
    }
    return {"services": {"store": store, "migration": migration, "front": front}, "volumes": {"data": {}}}


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def test_up_again_repaired_and_down(make_job: MakeJob, engine: Any) -> None:
    """It waits for health, is not started twice, is repaired after kills, and leaves nothing but asked-for volumes."""
    job = make_job(_pair())
    compose, where = _compose(job), (job.directory, job.env)
    assert state(compose, *where) == (False, "service front, migration, store has no container")
    told: list[str] = []
    status = up(job, told.append)
    assert (status.state, status.kind, status.detail) == (StepState.RUNNING, "compose", "3 containers up")
    assert _accepts(PORT)
    assert state(compose, *where) == (True, "3 containers up")
    assert len(told) >= 2
    before = {one.name: one.id for one in _of(engine, compose.project)}
    up(job, quiet)
    assert {one.name: one.id for one in _of(engine, compose.project)} == before
    for one in _of(engine, compose.project):
        one.kill() if one.status == "running" else one.remove()
    assert state(compose, *where)[0] is False
    up(job, quiet)
    assert _accepts(PORT)
    assert _down(job, volumes=False) is True
    assert not _accepts(PORT)
    assert _of(engine, compose.project) == []
    label = {"label": f"com.docker.compose.project={compose.project}"}
    assert engine.networks.list(filters=label) == []
    assert [one.name for one in engine.volumes.list(filters=label)] == [f"{compose.project}_data"]
    assert _down(job, volumes=False) is False
    assert _down(job) is True
    assert engine.volumes.list(filters=label) == []
    assert _down(job) is False


def test_down_needs_no_file(make_job: MakeJob, engine: Any) -> None:
    """A checkout of something else, or a broken file, does not keep a project from being stopped."""
    job = make_job({"services": {"front": {"image": FRONT, "command": ["listen", ":7001"]}}})
    up(job, quiet)
    (job.directory / "docker/compose.yaml").unlink()
    assert _down(job) is True
    assert _of(engine, _compose(job).project) == []


def test_a_service_that_exits(make_job: MakeJob) -> None:
    """Named with its exit code and the end of its log, and what to do."""
    job = make_job({"services": {"vault": {"image": FRONT, "command": ["fail"]}}})
    with pytest.raises(StepFailed) as caught:
        up(job, quiet)
    diagnosis = caught.value.diagnosis
    assert diagnosis.what == "step one: service vault has exited with code 7"
    assert diagnosis.evidence == "cannot open the vault"
    assert "docker compose --project-name" in diagnosis.do


def test_a_service_that_ends_and_nobody_awaits(make_job: MakeJob) -> None:
    """A service is there to stay unless another one says that it awaits its completion."""
    job = make_job({"services": {"migration": {"image": FRONT, "command": ["done"]}}})
    with pytest.raises(StepFailed, match=r"service migration has exited with code 0.*service_completed_successfully"):
        up(job, quiet)


@pytest.mark.parametrize("needed", [False, True], ids=["alone", "needed by another"])
def test_a_restart_loop_is_named_soon(make_job: MakeJob, needed: bool) -> None:
    """After a few restarts, not at the timeout; also while compose itself still waits for its health."""
    services: dict[str, Any] = {"vault": {"image": STORE, "command": ["fail"], "restart": "always"}}
    if needed:
        waits = {"vault": {"condition": "service_healthy"}}
        services["front"] = {"image": FRONT, "command": ["listen", ":7001"], "depends_on": waits}
    job = make_job({"services": services}, timeout=120)
    with pytest.raises(StepFailed, match=r"service vault (is|was) (restarted|restarting|unhealthy)") as caught:
        up(job, quiet)
    assert "after 120 s" not in str(caught.value)
    assert "cannot open the vault" in caught.value.diagnosis.evidence


def test_an_unhealthy_service(make_job: MakeJob) -> None:
    """Named, also when compose gives up first because another service depends on it."""
    sick = {"test": ["CMD", "/it", "reach", "127.0.0.1:1"], "interval": "300ms", "retries": 2}
    store = {"image": STORE, "command": ["listen", ":7000"], "healthcheck": sick}
    front = {"image": FRONT, "command": ["listen", ":7001"], "depends_on": {"store": {"condition": "service_healthy"}}}
    for services in ({"store": store}, {"store": store, "front": front}):
        with pytest.raises(StepFailed, match="service store is unhealthy"):
            up(make_job({"services": services}), quiet)


def test_a_service_that_is_never_ready(make_job: MakeJob) -> None:
    """After the step's timeout the gate says what it still waits for."""
    slow = {"test": ["CMD", "/it", "reach", "127.0.0.1:1"], "interval": "300ms", "retries": 9, "start_period": "90s"}
    store = {"image": STORE, "command": ["listen", ":7000"], "healthcheck": slow}
    with pytest.raises(StepFailed, match="service store runs, its health is starting after 2 s"):
        up(make_job({"services": {"store": store}}, timeout=2), quiet)


def test_a_port_in_use(make_job: MakeJob) -> None:
    """What the Engine says of it reaches the error."""
    with socket.create_server(("127.0.0.1", PORT)), pytest.raises(StepFailed) as caught:
        up(make_job(_pair()), quiet)
    assert str(PORT) in str(caught.value)


def test_secrets_stay_out_of_arguments(make_job: MakeJob, engine: Any) -> None:
    """They reach a service by the environment of compose; its arguments, beats and the log do not have them."""
    service = {"image": FRONT, "command": ["listen", ":7001"], "environment": {"PASSWORD": "${DB_PASSWORD:?}"}}
    job = make_job({"services": {"front": service}}, env={"DB_PASSWORD": "canary"})
    told: list[str] = []
    status = up(job, told.append)
    (container,) = _of(engine, _compose(job).project)
    assert "PASSWORD=canary" in container.attrs["Config"]["Env"]
    argv = up_argv(job.step, job.directory, job.env)
    assert "canary" not in f"{argv}{told}{status}{job.place.log.read_text()}"


def test_another_directorys_project_is_left_alone(make_job: MakeJob, engine: Any) -> None:
    """Neither brought up over it nor taken down: a neighbour may use the same name."""
    document = {"services": {"front": {"image": FRONT, "command": ["listen", ":7001"]}}}
    ours, theirs = make_job(document), make_job(document, repo="neighbour")
    up(theirs, quiet)
    with pytest.raises(Refused, match="neighbour/repo/docker"):
        up(ours, quiet)
    assert _down(ours) is False
    assert [one.status for one in _of(engine, _compose(ours).project)] == ["running"]


def test_variables_of_compose_do_not_lead_elsewhere(make_job: MakeJob) -> None:
    """File and project are the profile's, whatever the environment says."""
    document = {"services": {"front": {"image": FRONT, "command": ["listen", ":7001"]}}}
    job = make_job(document, env={"COMPOSE_FILE": "/nowhere.yaml", "COMPOSE_PROJECT_NAME": "other"})
    assert up(job, quiet).detail == "1 container up"


@pytest.mark.parametrize(
    "document",
    [
        {"include": ["oci://registry.example/app:latest"]},
        {"services": {"a": {"image": FRONT, "extends": {"file": "https://example.org/a.git", "service": "a"}}}},
        {"include": ["more.yaml"]},
    ],
    ids=["oci", "extends", "absent"],
)
def test_bad_files_are_refused_before_anything_runs(make_job: MakeJob, engine: Any, document: object) -> None:
    """By our own check, whatever compose would do with them."""
    job = make_job(document)
    with pytest.raises(SettingsInvalid, match=r"compose file .*(no file on this host|No such file)"):
        up(job, quiet)
    assert not job.place.log.exists()
    assert _of(engine, _compose(job).project) == []


def test_no_compose_file(make_job: MakeJob) -> None:
    """It may come with a submodule that is not checked out."""
    job = make_job({})
    (job.directory / "docker/compose.yaml").unlink()
    with pytest.raises(StepFailed, match=r"there is no compose file compose\.yaml"):
        up(job, quiet)


def test_compose_absent_old_or_v1(make_job: MakeJob, tmp_path: Path) -> None:
    """Absent: the packages are named. Older: a warning. Version 1 is found as a program of its own."""
    job = make_job(_pair())
    compose, programs = _compose(job), tmp_path / "bin"
    programs.mkdir()
    alone = {**job.env, "PATH": str(programs)}
    with pytest.raises(StepFailed, match=r"docker compose is not installed.*docker-compose-plugin"):
        check(compose, job.directory, alone)
    old = programs / "docker-compose"
    old.write_text("#!/bin/sh\necho 1.29.2\n")
    old.chmod(0o755)
    assert check(compose, job.directory, job.env) == []
    (warning,) = check(compose, job.directory, alone)
    assert warning.startswith("docker compose 1.29.2 is older than 2.40.2")
    assert up_argv(job.step, job.directory, alone)[0] == "docker-compose"


def test_the_engine_is_away(make_job: MakeJob) -> None:
    """Worth another try, and named."""
    job = make_job(_pair(), env={"DOCKER_HOST": "unix:///nowhere/docker.sock"})
    for ask in (lambda: up(job, quiet), lambda: state(_compose(job), job.directory, job.env), lambda: _down(job)):
        with pytest.raises(Unavailable, match=r"DOCKER_HOST=unix:///nowhere/docker\.sock"):
            ask()


def test_an_engine_that_hangs(make_job: MakeJob, tmp_path: Path) -> None:
    """It accepts and never answers: said within seconds."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "s"))
        silent.listen()
        job = make_job(_pair(), env={"DOCKER_HOST": f"unix://{tmp_path}/s"})
        began = time.monotonic()
        with pytest.raises(Unavailable, match="Docker does not answer"):
            state(_compose(job), job.directory, job.env)
        assert time.monotonic() - began < 25


def test_a_gate_alone_awaits_what_others_bring_up(make_job: MakeJob) -> None:
    """What a function's own compose call left is awaited in the same way."""
    job = make_job(_pair())
    thread = threading.Thread(target=up, args=(job, quiet))
    thread.start()
    told: list[str] = []
    try:
        status = await_healthy(job, _compose(job), told.append)
    finally:
        thread.join()
    assert (status.state, status.detail) == (StepState.RUNNING, "3 containers up")
    assert told[0] == "one: service front, migration, store has no container"


def test_what_a_beat_raises_ends_compose(make_job: MakeJob) -> None:
    """A cancelled step leaves no compose program behind."""
    job = make_job(_pair())
    argv = " ".join(up_argv(job.step, job.directory, job.env))

    def cancelled(_: str) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        up(job, cancelled)
    shown = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert argv not in shown
