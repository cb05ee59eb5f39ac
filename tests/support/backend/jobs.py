"""Jobs for tests of single step kinds, outside of any backend host."""

import os
from collections.abc import Mapping
from pathlib import Path

from clients.backend.job import Job, StepFiles
from domain.profile import Step


def job_in(
    folder: Path, env: Mapping[str, str] | None = None, variables: Mapping[str, str] | None = None, **fields: object
) -> Job:
    """A job of the repository `folder`/repo; the fields are the step's."""
    step = Step.model_validate({"name": "one", **fields})
    directory = folder / "repo" / step.dir
    directory.mkdir(parents=True, exist_ok=True)
    own = {"PATH": os.environ["PATH"], "HOME": str(folder), **(env or {})}
    return Job(StepFiles(folder / "state", step.name), step, folder / "repo", directory, own, variables or {})


def quiet(_: str) -> None:
    """A beat that nobody hears."""
