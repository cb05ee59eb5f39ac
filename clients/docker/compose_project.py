"""Compose project in the Docker Engine: containers, networks and volumes that carry its name."""

import time
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import docker
from docker.errors import APIError, NotFound

from planning.backend.compose_health import Container
from planning.text.sanitize import scrub

_LABEL = "com.docker.compose"
_TAIL = 15  # lines of a container's log
_SHOWN = 300  # characters of each


class Project(NamedTuple):
    """Compose project in an open connection, whose errors it raises."""

    engine: docker.DockerClient
    name: str

    def containers(self) -> list[Container]:
        """Return the containers of its services, without one-off ones and those that vanish meanwhile."""
        found = []
        for one in self.engine.api.containers(all=True, filters=self._filters(f"{_LABEL}.oneoff=False")):
            try:
                found.append(_container(self.engine.api.inspect_container(one["Id"])))
            except NotFound:
                continue
        return found

    def places(self) -> set[Path]:
        """Return the directories that its containers were made from."""
        labels = [one.get("Labels") or {} for one in self.engine.api.containers(all=True, filters=self._filters())]
        named = {found for one in labels if (found := one.get(f"{_LABEL}.project.working_dir"))}
        return {Path(place).resolve() for place in named}

    def remains(self, *, volumes: bool) -> list[str]:
        """All that is there of it, in words."""
        api, filters = self.engine.api, self._filters()
        found = [f"container {one['Names'][0].lstrip('/')}" for one in api.containers(all=True, filters=filters)]
        found += [f"network {one['Name']}" for one in api.networks(filters=filters)]
        if volumes:
            found += [f"volume {one['Name']}" for one in api.volumes(filters=filters)["Volumes"] or []]
        return found

    def log(self, one: Container | None) -> str:
        """Return the last printable lines of a container."""
        if one is None:
            return ""
        try:
            text = scrub(self.engine.api.logs(one.id, tail=_TAIL).decode(errors="replace"))
        except APIError:  # gone, or its log driver cannot be read
            return ""
        return "\n".join(line[:_SHOWN] for line in text.splitlines() if line.strip())

    def _filters(self, *labels: str) -> dict[str, list[str]]:
        return {"label": [f"{_LABEL}.project={self.name}", *labels]}


def _container(found: dict[str, Any]) -> Container:
    state, labels = found["State"], found["Config"].get("Labels") or {}
    return Container(
        id=found["Id"],
        name=found["Name"].lstrip("/"),
        service=labels.get(f"{_LABEL}.service", found["Name"].lstrip("/")),
        status=state["Status"],
        health=(state.get("Health") or {}).get("Status", "").replace("none", ""),
        code=state.get("ExitCode", 0),
        restarts=found.get("RestartCount", 0),
        age=_age(state.get("StartedAt", "")),
        restart_policy=((found.get("HostConfig") or {}).get("RestartPolicy") or {}).get("Name", ""),
        error=state.get("Error", ""),
        depends_on=labels.get(f"{_LABEL}.depends_on", ""),
    )


def _age(started: str) -> float:
    try:
        return time.time() - datetime.fromisoformat(started[:19] + "+00:00").timestamp()  # the Engine speaks UTC
    except ValueError:
        return 0.0
