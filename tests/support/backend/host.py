"""A backend host with an empty repository, and short words for what the tests ask of it."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from clients.backend.host import LocalBackendHost
from domain.messages.backend import LogChunk, LogRequest, PurgeRequest, StepRequest
from domain.ports import Beat
from domain.profile import Functions, Profile, Step, StepState, StepStatus
from domain.spec import Backend

KEY = "demo"
ENVIRON = {**os.environ, "IMAGE_AUTH_PASSWORD": "canary", "TEMPORAL_API_KEY": "canary", "GOFLAGS": "-mod=mod"}
_STARTER = """
import os, sys
from pathlib import Path
from clients.backend.host import LocalBackendHost
from domain.messages.backend import StepRequest
LocalBackendHost(Path(sys.argv[1]), os.environ).run(StepRequest.model_validate_json(sys.argv[2]), lambda _: None)
"""


def quiet(_: str) -> None:
    """Progress that nobody hears."""


def request(
    repo: Path,
    step: Step,
    *,
    key: str = KEY,
    variables: Mapping[str, str] = {},
    declared: Mapping[str, str | None] = {},
    secrets: Mapping[str, str] = {},
    again: bool = False,
) -> StepRequest:
    """A request for one step, of a profile whose functions are in `run.sh`."""
    return StepRequest(
        backend=Backend(repo=str(repo)),
        profile=key,
        repo=str(repo),
        step=step,
        variables=dict(variables),
        declared=dict(declared),
        functions=Functions(file="run.sh", env={"AS_RESOURCE": "1"}),
        secrets=dict(secrets),
        again=again,
    )


def run(
    host: LocalBackendHost,
    repo: Path,
    step: Step,
    beat: Beat = quiet,
    *,
    key: str = KEY,
    variables: Mapping[str, str] = {},
    declared: Mapping[str, str | None] = {},
    secrets: Mapping[str, str] = {},
    again: bool = False,
) -> StepStatus:
    """Do one step."""
    wanted = request(repo, step, key=key, variables=variables, declared=declared, secrets=secrets, again=again)
    return host.run(wanted, beat)


def stop(host: LocalBackendHost, names: list[str] | None = None, key: str = KEY) -> list[str]:
    """Stop some steps, or all."""
    return host.stop(key, names, quiet)


def running(host: LocalBackendHost, key: str = KEY) -> list[str]:
    """Names of the steps that are seen to run."""
    return sorted(row.name for row in host.observe(key) if row.state == StepState.RUNNING)


def purge(host: LocalBackendHost, repo: Path, profile: Profile) -> list[str]:
    """Delete the data of a stopped backend."""
    return host.purge(PurgeRequest(backend=Backend(repo=str(repo)), profile=profile, repo=str(repo)), quiet)


def read_log(host: LocalBackendHost, step: str, offset: int = -1, *, limit: int = 32768, wait: float = 0) -> LogChunk:
    """A piece of a log."""
    wanted = LogRequest(backend=Backend(), profile=KEY, step=step, offset=offset, limit=limit, wait=wait)
    return host.read_log(wanted, quiet)


def sh(name: str, script: str, **more: object) -> Step:
    """A command step of a shell script."""
    return Step.model_validate({"name": name, "command": ["sh", "-c", script.replace("$", "$$")], **more})


def process(name: str, script: str, **more: object) -> Step:
    """A process step of a shell script."""
    return Step.model_validate({"name": name, "process": ["sh", "-c", script.replace("$", "$$")], **more})


def function(name: str, **more: object) -> Step:
    """A function step; the function has the step's name with underscores."""
    return Step.model_validate({"name": name, "function": name.replace("-", "_"), **more})


def worker(state: Path, wanted: StepRequest) -> "subprocess.Popen[bytes]":
    """A worker of its own process that does one step, to be killed."""
    return subprocess.Popen([sys.executable, "-c", _STARTER, str(state), wanted.model_dump_json()])


def until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def count(path: Path) -> int:
    """Lines of a file that may not be there."""
    return len(path.read_text().splitlines()) if path.exists() else 0


def pid_in(path: Path) -> int:
    """The last pid that a program wrote."""
    until(lambda: path.exists() and path.read_text().strip() != "", f"{path} holds a pid")
    return int(path.read_text().split()[-1])
