"""A stop while a compose step awaits its services: nothing is left that a later run would wait for."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from clients.backend.host import LocalBackendHost
from clients.backend.processes import runner
from domain.profile import Step, StepState
from tests.support.backend.fluidex.stand_in import StandIn
from tests.support.backend.host import KEY, request, run, stop, until, worker

_PROJECT, _FILE = "blockscout", "docker-compose.yaml"  # a project that the stand-in removes in the end
_STEP = Step.model_validate({"name": "web", "compose": {"project": _PROJECT, "file": _FILE}, "timeout": 60})


def _write(repo: Path, image: str, **more: Any) -> None:
    web = {"image": image, "command": ["nowhere"], "stop_signal": "SIGKILL", **more}
    (repo / _FILE).write_text(yaml.safe_dump({"version": "3.4", "services": {"web": web}}))


def test_a_stop_while_services_are_awaited(stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stop removes the container that never becomes healthy; the next run brings up the corrected one."""
    for name, value in stand_in.environ.items():
        monkeypatch.setenv(name, value)
    repo, state = tmp_path / "repo", tmp_path / "state"
    repo.mkdir()
    _write(repo, stand_in.image, healthcheck={"test": ["CMD", "/absent"], "interval": "1s", "retries": 1000})
    started = worker(state, request(repo, _STEP))
    record = state / "backend" / KEY / "run" / "web.command.json"
    until(lambda: (runner.read(record) or {}).get("code") == 0, "compose has ended, and health is awaited")
    assert started.poll() is None
    started.kill()
    started.wait()
    host = LocalBackendHost(state, stand_in.environ)
    assert stop(host) == ["web"]
    assert stand_in.containers("--all") == []
    _write(repo, stand_in.image)
    assert run(host, repo, _STEP).state is StepState.RUNNING
    assert stop(host) == ["web"]
