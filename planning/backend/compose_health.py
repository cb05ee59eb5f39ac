"""Judges the containers of a compose project: whether it is up, on its way, or will never be."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

_STEADY_SECONDS = 1.0  # a container without a health check counts as up when it ran this long
_AGAIN_STEADY_SECONDS = 10.0  # and this long when it was restarted: after that the Engine calls it steady, too
_RESTARTS = 3  # that are called a loop


class ProjectStatus(StrEnum):
    """How far a container is."""

    READY = "ready"
    WAITING = "waiting"
    FAILED = "failed"


class Container(NamedTuple):
    """Container of a project as the Engine describes it."""

    id: str
    service: str
    name: str
    status: str  # created, running, paused, restarting, removing, exited, dead
    health: str = ""  # starting, healthy, unhealthy; empty without a health check
    code: int = 0  # exit code
    restarts: int = 0
    age: float = 0.0  # seconds since its start; negative when the Engine's clock is ahead of ours
    restart_policy: str = ""
    error: str = ""  # why it could not be started
    depends_on: str = ""  # `service:condition:…` with commas, as compose notes it


def looping(one: Container, restarts_before: int) -> str:
    """Return the clause about a container in a restart loop; empty when it is in none."""
    again = one.restarts - restarts_before
    return f"is restarted again and again ({again} times so far{_code(one)})" if again >= _RESTARTS else ""


def judge_container(one: Container, awaited: frozenset[str], restarts_before: int) -> tuple[ProjectStatus, str]:
    """Its standing and why; `awaited` are services whose completion others await."""
    if told := looping(one, restarts_before):
        return ProjectStatus.FAILED, told
    if one.status == "running":
        return _running(one)
    if one.status == "exited" and one.code == 0 and one.service in awaited and one.restart_policy in {"", "no"}:
        return ProjectStatus.READY, "is done"
    if one.status in {"exited", "dead"}:
        hint = "" if one.code else "; a service that ends needs `condition: service_completed_successfully` in another"
        return ProjectStatus.FAILED, f"has exited with code {one.code}{one.error and f' ({one.error})'}{hint}"
    if one.status == "created" and one.error:
        return ProjectStatus.FAILED, f"could not be started ({one.error})"
    return ProjectStatus.WAITING, f"is {one.status}{_code(one)}"


def _awaited_services(containers: Sequence[Container]) -> frozenset[str]:
    """Services that end, because another one begins only after they succeeded."""
    parts = [part.split(":") for one in containers for part in one.depends_on.split(",")]
    return frozenset(part[0] for part in parts if part[1:2] == ["service_completed_successfully"])


def judge_project(
    containers: Sequence[Container], expected: Sequence[str], restarts_before: Mapping[str, int] | None = None
) -> tuple[ProjectStatus, str, Container | None]:
    """Return the worst status, its reason, and the container meant; `restarts_before` by container id.

    Without it restarts count as old ones.
    """
    awaited = _awaited_services(containers)
    judged = []
    for one in sorted(containers, key=lambda one: one.service):
        before = one.restarts if restarts_before is None else restarts_before.get(one.id, 0)
        standing, text = judge_container(one, awaited, before)
        judged.append((standing, f"service {one.service} {text}", one))
    for wanted in (ProjectStatus.FAILED, ProjectStatus.WAITING):
        for standing, text, one in judged:
            if standing is wanted:
                return standing, text, one
    missing = sorted(set(expected) - {one.service for one in containers})
    if missing or not containers:
        return (
            ProjectStatus.WAITING,
            f"service {', '.join(missing)} has no container" if missing else "no container",
            None,
        )
    return ProjectStatus.READY, f"{len(containers)} container{'s' if len(containers) > 1 else ''} up", None


def _running(one: Container) -> tuple[ProjectStatus, str]:
    if one.health == "healthy":
        return ProjectStatus.READY, "is healthy"
    if one.health == "unhealthy":
        return ProjectStatus.FAILED, "is unhealthy"
    if one.health:
        return ProjectStatus.WAITING, f"runs, its health is {one.health}"
    if 0 <= one.age < (_AGAIN_STEADY_SECONDS if one.restarts else _STEADY_SECONDS):
        return ProjectStatus.WAITING, "was restarted just now" if one.restarts else "was started just now"
    return ProjectStatus.READY, "runs"


def _code(one: Container) -> str:
    return f", exit code {one.code}" if one.code else ""
