"""When a compose project is up, on its way, or lost."""

from typing import Any

import pytest

from planning.backend.compose_health import Container, ProjectStatus, judge_container, judge_project

READY, WAITING, FAILED = ProjectStatus.READY, ProjectStatus.WAITING, ProjectStatus.FAILED


def _one(service: str = "db", status: str = "running", **more: Any) -> Container:
    fields: dict[str, Any] = {"id": service, "name": f"p-{service}-1", "age": 60} | more
    return Container(service=service, status=status, **fields)


@pytest.mark.parametrize(
    ("container", "standing", "text"),
    [
        (_one(), READY, "runs"),
        (_one(age=0.5), WAITING, "was started just now"),
        (_one(age=-30), READY, "runs"),
        (_one(restarts=7, age=5), WAITING, "was restarted just now"),
        (_one(restarts=7), READY, "runs"),
        (_one(health="healthy", age=0.1), READY, "is healthy"),
        (_one(health="starting"), WAITING, "runs, its health is starting"),
        (_one(health="unhealthy"), FAILED, "is unhealthy"),
        (_one(status="created"), WAITING, "is created"),
        (_one(status="created", error="port is taken", code=128), FAILED, "could not be started (port is taken)"),
        (_one(status="paused"), WAITING, "is paused"),
        (_one(status="restarting", code=7, restarts=7), WAITING, "is restarting, exit code 7"),
        (_one(status="restarting", code=7, restarts=10), FAILED, "again (3 times so far, exit code 7)"),
        (_one(status="exited", code=137), FAILED, "has exited with code 137"),
        (_one(status="exited"), FAILED, "service_completed_successfully"),
        (_one("migration", "exited"), READY, "is done"),
        (_one("migration", "exited", restart_policy="no"), READY, "is done"),
        (_one("migration", "exited", code=1), FAILED, "has exited with code 1"),
        (_one("migration", "exited", restart_policy="always"), FAILED, "has exited with code 0"),
        (_one(status="dead"), FAILED, "has exited with code 0"),
    ],
)
def test_one_container(container: Container, standing: ProjectStatus, text: str) -> None:
    """By its state, health, age and restarts; what happened before the gate was opened is history."""
    found, told = judge_container(container, frozenset({"migration"}), 7)
    assert found is standing
    assert text in told


def test_the_worst_decides() -> None:
    """A failure before what only takes its time, whatever the order; the container meant comes along."""
    slow, lost = _one("a", health="starting"), _one("z", "exited", code=3)
    assert judge_project([slow, lost, _one()], ["a"]) == (FAILED, "service z has exited with code 3", lost)
    assert judge_project([slow, _one()], ["a"]) == (WAITING, "service a runs, its health is starting", slow)
    assert judge_project([_one(), _one("b")], ["b", "db"]) == (READY, "2 containers up", None)


def test_what_is_not_there() -> None:
    """A service without a container is missing, and a project without any is not up."""
    assert judge_project([_one()], ["web", "db", "api"])[:2] == (WAITING, "service api, web has no container")
    assert judge_project([], [])[:2] == (WAITING, "no container")


def test_who_may_end_is_said_by_others() -> None:
    """As compose notes the conditions at the containers that depend on it."""
    done = _one("migration", "exited")
    web = _one("web", depends_on="db:service_healthy:false,migration:service_completed_successfully:false")
    assert judge_project([done, web], [])[0] is READY
    assert judge_project([done, _one("web", depends_on="migration:service_started:true")], [])[0] is FAILED


def test_restarts_count_from_the_begin() -> None:
    """Without one they are all old; a container made since then began at none."""
    loop = _one(status="restarting", restarts=3, code=1)
    assert judge_project([loop], [])[0] is WAITING
    assert judge_project([loop], [], {"db": 1})[0] is WAITING
    assert judge_project([loop], [], {})[0] is FAILED
