"""The backend profile `proverctl.yaml`: how the backend is set up, described by data."""

from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from domain.model import Document, Message


class Wait(Document):
    """A condition that a wait step awaits; exactly one."""

    tcp: str = ""  # host:port that accepts connections
    file: str = ""  # path that exists

    @model_validator(mode="after")
    def _one(self) -> "Wait":
        if bool(self.tcp) == bool(self.file):
            raise ValueError("wait needs exactly one of tcp, file")
        return self


class Step(Document):
    """One step: a command that ends, a process that stays, or a condition to await."""

    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    needs: list[str] = []
    command: list[str] = []  # argv, never a shell string
    process: list[str] = []
    wait: Wait | None = None
    env: dict[str, str] = {}
    dir: str = ""  # relative to the repository
    timeout: int = Field(default=3600, ge=1)  # seconds
    inputs: list[str] = []  # globs; unchanged content means the step is skipped
    outputs: list[str] = []  # paths that must exist for a skip
    simulated: bool = False  # run-all only

    @model_validator(mode="after")
    def _one(self) -> "Step":
        kinds = [bool(self.command), bool(self.process), self.wait is not None]
        if sum(kinds) != 1:
            raise ValueError(f"step {self.name} needs exactly one of command, process, wait")
        return self

    @property
    def kind(self) -> str:
        """`command`, `process` or `wait`."""
        if self.command:
            return "command"
        return "process" if self.process else "wait"


class Profile(Document):
    """A whole profile; `variables` maps a name to its default, null means required."""

    version: Literal[1] = 1
    name: str = Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")
    circuit: str = ""
    circuit_dir: str = ""
    variables: dict[str, str | None] = {}
    steps: list[Step] = []


class StepState(StrEnum):
    """Where a step stands."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"
    STOPPED = "stopped"


class StepStatus(Message):
    """One row of the backend's status."""

    name: str
    kind: str
    state: StepState = StepState.PENDING
    detail: str = ""  # why skipped, last output line, or the failure
    seconds: float = 0.0
