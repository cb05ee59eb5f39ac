"""One step of a backend, ready to be done on this host: texts expanded, paths absolute, environment complete."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from domain.profile import Step


class Place(NamedTuple):
    """Where one step of one backend keeps its files."""

    folder: Path
    name: str

    @property
    def log(self) -> Path:
        """Output of the step, both streams."""
        return self.folder / "logs" / f"{self.name}.log"

    @property
    def record(self) -> Path:
        """The run under way, or the last one."""
        return self.folder / "run" / f"{self.name}.command.json"

    @property
    def lock(self) -> Path:
        """Held by the recorder of the run under way."""
        return self.folder / "run" / f"{self.name}.lock"

    @property
    def ran(self) -> Path:
        """The last success, for skipping."""
        return self.folder / "steps" / f"{self.name}.json"


class Job(NamedTuple):
    """`step` has its texts expanded; `env` is all that its program gets to see, secrets included: never write it."""

    place: Place
    step: Step
    repo: Path
    directory: Path
    env: Mapping[str, str]
    variables: Mapping[str, str]  # for templates; no secrets
