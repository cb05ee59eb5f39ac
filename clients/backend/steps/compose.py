"""Compose projects: brought up by the installed `docker compose`, awaited by what the Docker Engine says of them."""

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from clients.backend.job import Job
from clients.backend.logs import last_line, tail
from clients.backend.polling import PollingInterval
from clients.backend.steps.compose_files import expected_services
from clients.docker.compose_project import Project
from clients.docker.connection import connected
from domain.errors import ProverError, Refused, StepFailed, Unavailable
from domain.ports import Beat
from domain.profile import Compose, Step, StepState, StepStatus
from planning.backend.compose_health import ProjectStatus, judge_project, looping
from planning.backend.compose_validation import version_of, version_warnings

Run = Callable[[Job, list[str], Beat], None]

_ANSWER_SECONDS = 10.0  # of the Engine
_VERSION_SECONDS = 20.0  # of compose
_DOWN_SECONDS = 300.0
_FIRST_LOOK, _LAST_LOOK = 0.1, 1.0  # seconds between two looks, growing
_ENGINE_GONE = re.compile(r"Cannot connect to the Docker daemon|error during connect|unexpected EOF|connection reset")
# A second line of defence: newer versions of compose then fetch nothing by themselves either.
_NO_REMOTE = {"COMPOSE_EXPERIMENTAL_GIT_REMOTE": "false", "COMPOSE_EXPERIMENTAL_OCI_REMOTE": "false"}
_OURS_TO_SAY = ("COMPOSE_FILE", "COMPOSE_PROJECT_NAME")


def up(job: Job, beat: Beat, run: Run | None = None) -> StepStatus:
    """Bring the project up and wait until it is healthy; SettingsInvalid, Refused, StepFailed, Unavailable.

    `run` brings an argument list to its end and raises StepFailed; what its beat raises has to end the command, too.
    """
    compose, began = _compose_of(job.step), time.monotonic()
    warnings = check(compose, job.directory, job.env)
    argv = up_argv(job.step, job.directory, job.env)
    try:
        (run or _plainly)(job._replace(env=environment(job.env)), argv, _watchful(job, compose, beat))
    except StepFailed as error:
        raise _explained(error, job, compose) from error
    detail = "; ".join([await_healthy(job, compose, beat).detail, *warnings])
    return _status(job, detail, began)


def up_argv(step: Step, directory: Path, env: Mapping[str, str]) -> list[str]:
    """Return the command that brings the project up, for `environment(env)`, which alone has the secrets."""
    compose = _compose_of(step)
    program, _ = _program(env)
    argv = [*program, "--project-name", compose.project, "--file", str(directory / compose.file)]
    return [*argv, "up", "--detach", "--remove-orphans", *(["--build"] if compose.build else [])]


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of `docker compose`; file and project are arguments."""
    return {name: value for name, value in env.items() if name not in _OURS_TO_SAY} | _NO_REMOTE


def check(compose: Compose, directory: Path, env: Mapping[str, str]) -> list[str]:
    """Warnings; SettingsInvalid for what its files say, Refused for a neighbour's project, StepFailed, Unavailable."""
    top = directory / compose.file
    expected_services(top)
    _, version = _program(env)
    with _project(compose, env) as project:
        if others := project.places() - {top.parent.resolve()}:
            raise Refused(
                f"compose project {compose.project} already belongs to another directory",
                on=str(top),
                because=f"its containers were made from {', '.join(sorted(map(str, others)))}",
                do=f"`docker compose --project-name {compose.project} down` there, or give this project another name",
            )
    return version_warnings(version)


def await_healthy(job: Job, compose: Compose, beat: Beat) -> StepStatus:
    """Return when every service is up, healthy where it can tell, or done; StepFailed, Unavailable."""
    began, pace = time.monotonic(), PollingInterval(beat, _FIRST_LOOK, _LAST_LOOK)
    expected = expected_services(job.directory / compose.file)
    before: dict[str, int] | None = None
    while True:
        with _project(compose, job.env) as project:
            containers = project.containers()
            before = {one.id: one.restarts for one in containers} if before is None else before
            standing, text, one = judge_project(containers, expected, before)
            late = time.monotonic() - began >= job.step.timeout
            if standing is ProjectStatus.FAILED or (late and standing is ProjectStatus.WAITING):
                raise _failed(job, compose, text + (f" after {job.step.timeout} s" if late else ""), project.log(one))
        if standing is ProjectStatus.READY:
            return _status(job, text, began)
        pace.rest(lambda: f"{job.step.name}: {text}")  # noqa: B023 - told at once


def state(compose: Compose, directory: Path, env: Mapping[str, str]) -> tuple[bool, str]:
    """Whether it is up as it should be, and in words; Unavailable."""
    try:
        expected = expected_services(directory / compose.file)
    except ProverError:
        expected = []  # a file that is gone or broken says nothing about what runs
    with _project(compose, env) as project:
        standing, text, _ = judge_project(project.containers(), expected)
    return standing is ProjectStatus.READY, text


def rising(compose: Compose, directory: Path, env: Mapping[str, str]) -> bool:
    """Whether it is on its way: every service has a container and none has failed; Unavailable."""
    try:
        services = expected_services(directory / compose.file)
    except ProverError:
        return False
    with _project(compose, env) as project:
        containers = project.containers()
    standing, _, _ = judge_project(containers, services)
    return standing is ProjectStatus.WAITING and set(services) <= {one.service for one in containers}


def down(compose: Compose, directory: Path, env: Mapping[str, str], *, volumes: bool, beat: Beat) -> bool:
    """Nothing of the project is left afterwards, but its volumes unless `volumes`; StepFailed, Unavailable.

    False when nothing was there, or only a neighbour's project of the same name. Compose v1 alone needs the file.
    """
    file = directory / compose.file
    with _project(compose, env) as project:
        if not project.remains(volumes=volumes) or project.places() - {file.parent.resolve()}:
            return False
    program, version = _program(env)
    named = ["--file", str(file)] if version < (2,) else []
    argv = [*program, "--project-name", compose.project, *named, "down", "--remove-orphans"]
    with tempfile.NamedTemporaryFile() as output:
        log = Path(output.name)
        full = [*argv, *(["--volumes"] if volumes else [])]
        code = _ended(full, environment(env), log, _DOWN_SECONDS, beat)
        evidence = tail(log)
    with _project(compose, env) as project:
        if left := project.remains(volumes=volumes):
            raise Unavailable(
                f"compose project {compose.project} was not taken down whole",
                on=", ".join(left),
                because=f"`{' '.join(full)}` ended with {code}",
                evidence=evidence,
            )
    return True


def restarts(step: Step, env: Mapping[str, str]) -> dict[str, int]:
    """How often each container of the projects that a step leaves was restarted, by its id; Unavailable."""
    found: dict[str, int] = {}
    for compose in (left.compose for left in step.leaves if left.compose):
        with _project(compose, env) as project:
            found |= {one.id: one.restarts for one in project.containers()}
    return found


def check_left(job: Job, before: Mapping[str, int]) -> None:
    """No service of the projects that a step leaves has failed, as for a compose step; StepFailed with its log.

    `before` holds the restarts of old containers.
    """
    for compose in (left.compose for left in job.step.leaves if left.compose):
        with _project(compose, job.env) as project:
            containers = project.containers()
            known = {one.id: before.get(one.id, 0) for one in containers}
            standing, text, one = judge_project(containers, [], known)
            if standing is ProjectStatus.FAILED:
                raise _failed(job._replace(directory=job.repo), compose, text, project.log(one))


def installed(env: Mapping[str, str]) -> bool:
    """Whether compose is, as Docker's plugin or as a program of its own."""
    try:
        _program(env)
    except StepFailed:
        return False
    return True


def _compose_of(step: Step) -> Compose:
    if step.compose is None:
        raise TypeError(f"step {step.name} is no compose project")
    return step.compose


@contextmanager
def _project(compose: Compose, env: Mapping[str, str]) -> Iterator[Project]:
    with connected(env, _ANSWER_SECONDS) as engine:
        yield Project(engine, compose.project)


def _program(env: Mapping[str, str]) -> tuple[list[str], tuple[int, ...]]:
    """Docker's plugin, else compose as a program of its own; and its version."""
    for argv in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(argv[0], path=env.get("PATH")) is None:
            continue
        try:
            answer = subprocess.run(  # noqa: S603 - fixed words
                [*argv, "version", "--short"], env=dict(env), capture_output=True, timeout=_VERSION_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise Unavailable(f"`{' '.join(argv)} version` does not end", on="the worker's host") from error
        version = version_of(answer.stdout.decode(errors="replace"))
        if answer.returncode == 0 and version:
            return argv, version
    raise StepFailed(
        "docker compose is not installed",
        on="the worker's host",
        because="neither `docker compose version` nor `docker-compose version` answers",
        do="install the package docker-compose-plugin (Docker's own) or docker-compose (Debian's, Ubuntu's)",
    )


def _watchful(job: Job, compose: Compose, beat: Beat) -> Beat:
    """Compose itself awaits for ever a service that another one depends on and that starts again and again."""
    with _project(compose, job.env) as project:
        before = {one.id: one.restarts for one in project.containers()}

    def watch(text: str) -> None:
        beat(text)
        with _project(compose, job.env) as project:
            for one in project.containers():
                if told := looping(one, before.get(one.id, 0)):
                    raise _failed(job, compose, f"service {one.service} {told}", project.log(one))

    return watch


def _explained(error: StepFailed, job: Job, compose: Compose) -> ProverError:
    """Why `up` really failed: the Engine is away, or a container that compose names."""
    said = error.diagnosis.evidence
    with _project(compose, job.env) as project:
        if _ENGINE_GONE.search(said):
            return Unavailable("Docker went away meanwhile", on=compose.project, evidence=said, code="DOCKER_DOWN")
        blamed = said.rpartition("\n")[2]
        standing, text, one = judge_project([one for one in project.containers() if one.name in blamed], [], {})
        if standing is not ProjectStatus.READY and one is not None:
            if standing is ProjectStatus.WAITING:  # between two failures; compose saw one of them
                text = f"service {one.service} was restarted {one.restarts} times ({blamed.strip()})"
            return _failed(job, compose, text, f"{said}\n{project.log(one)}")
    return error


def _failed(job: Job, compose: Compose, text: str, log: str) -> StepFailed:
    shown = f"docker compose --project-name {compose.project} logs"
    return StepFailed(
        f"step {job.step.name}: {text}",
        on=f"compose project {compose.project} ({job.directory / compose.file})",
        evidence=log,
        do=f"read `{shown}` on the backend host, mend the service and run the command again",
    )


def _status(job: Job, detail: str, began: float) -> StepStatus:
    seconds = round(time.monotonic() - began, 3)
    return StepStatus(name=job.step.name, kind=job.step.kind, state=StepState.RUNNING, detail=detail, seconds=seconds)


def _plainly(job: Job, argv: list[str], beat: Beat) -> None:
    job.place.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if code := _ended(argv, job.env, job.place.log, job.step.timeout, beat):
        raise StepFailed(
            f"step {job.step.name} ended with exit code {code}",
            on=str(job.directory),
            evidence=tail(job.place.log),
            do=f"read {job.place.log} on the backend host, mend the cause and run the command again",
        )


def _ended(argv: list[str], env: Mapping[str, str], log: Path, seconds: float, beat: Beat) -> int:
    """Return the exit code, that of a kill after `seconds`; what `beat` raises ends the process, too."""
    deadline, pace = time.monotonic() + seconds, PollingInterval(beat)
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own argument list
            argv, env=dict(env), stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        while process.poll() is None and time.monotonic() < deadline:
            pace.rest(lambda: last_line(log) or argv[-1])
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
    return process.returncode
