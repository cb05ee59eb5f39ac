"""Step of a backend, ready for this host: texts expanded, paths absolute, environment complete."""

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from domain.profile import Step


class StepFiles(NamedTuple):
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

    @property
    def started(self) -> Path:
        """How to stop it, written before anything of it starts."""
        return self.folder / "run" / f"{self.name}.started.json"

    @property
    def left(self) -> Path:
        """The processes that were seen to go on after it returned."""
        return self.folder / "run" / f"{self.name}.left.json"

    @property
    def handed(self) -> Path:
        """Where a function's shell writes the variables that it hands on."""
        return self.folder / "run" / f"{self.name}.values"

    @property
    def counterpart(self) -> "StepFiles":
        """The files of what undoes the step; no step can have such a name."""
        return StepFiles(self.folder, f"{self.name}.stop")

    @property
    def cookie(self) -> str:
        """Return the cookie in the environment of every process of the step; it differs for each state directory."""
        whole = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]
        return f"{self.folder.name}/{self.name}@{whole}"

    def prepare(self) -> None:
        """Make the folders of its files."""
        for path in (self.log, self.record, self.ran):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)


class Job(NamedTuple):
    """`step` has its texts expanded; `env` is all that its program gets to see, secrets included: never write it."""

    place: StepFiles
    step: Step
    repo: Path
    directory: Path
    env: Mapping[str, str]
    variables: Mapping[str, str]  # for templates; no secrets
