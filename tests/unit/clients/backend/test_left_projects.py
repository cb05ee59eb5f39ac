"""Compose projects that a function leaves: a service that can never be up ends the wait, with its log."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.backend.job import Job
from clients.backend.steps import compose
from clients.backend.steps.compose import check_left, restarts
from domain.errors import StepFailed
from planning.backend.compose_health import Container
from tests.support.backend.jobs import job_in

_OLD = Container("1", "zookeeper", "demo-zookeeper-1", "restarting", code=1, restarts=7)


class _Project:
    def __init__(self, containers: list[Container]) -> None:
        self._containers = containers

    def containers(self) -> list[Container]:
        return self._containers

    def log(self, one: Container | None) -> str:
        return f"{one.service}: no such file" if one else ""


@pytest.fixture
def containers(monkeypatch: pytest.MonkeyPatch) -> list[Container]:
    """What the Engine knows of the project."""
    found: list[Container] = []

    @contextlib.contextmanager
    def project(*_: object) -> Iterator[_Project]:
        yield _Project(found)

    monkeypatch.setattr(compose, "_project", project)
    return found


def _job(folder: Path) -> Job:
    return job_in(folder, function="up", leaves=[{"compose": {"project": "demo", "file": "c.yaml"}}])


def test_a_service_in_a_restart_loop_ends_the_wait(tmp_path: Path, containers: list[Container]) -> None:
    """Restarts of before the function do not count, those since do."""
    job = _job(tmp_path)
    containers.append(_OLD)
    before = restarts(job.step, job.env)
    assert before == {"1": 7}
    check_left(job, before)
    containers[:] = [_OLD._replace(restarts=10)]
    with pytest.raises(StepFailed, match="service zookeeper is restarted again and again") as caught:
        check_left(job, before)
    assert caught.value.diagnosis.evidence == "zookeeper: no such file"
    with pytest.raises(StepFailed, match="zookeeper"):
        check_left(job, {})  # a container that the function made


def test_a_service_that_is_on_its_way_does_not(tmp_path: Path, containers: list[Container]) -> None:
    """Nor one that is up, nor a project without containers yet."""
    check_left(_job(tmp_path), {})
    containers += [
        _OLD._replace(status="created", code=0, restarts=0),
        _OLD._replace(id="2", status="running", restarts=0, age=60),
    ]
    check_left(_job(tmp_path), {})
