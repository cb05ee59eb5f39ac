"""Looks for the programs that a step calls."""

import shutil
from collections.abc import Mapping

from clients.backend.job import Job
from clients.backend.steps.compose import installed
from domain.errors import StepFailed
from domain.profile import Step
from planning.backend.expansion import FieldPath, names
from planning.backend.programs import COMPOSE, programs


def missing_programs(step: Step, env: Mapping[str, str]) -> list[tuple[FieldPath, str]]:
    """Return the programs that are not on PATH, each with the field that names it."""
    found = []
    for path, program in programs(step):
        # One with a directory may be made by an earlier step.
        relative = "/" in program and not program.startswith("/")
        if not program or relative or names(program):
            continue
        there = installed(env) if program == COMPOSE else shutil.which(program, path=env["PATH"])
        if not there:
            found.append((path, program))
    return found


def require_programs(job: Job) -> None:
    """All are there; StepFailed names the step, those that lack, and PATH."""
    if lacking := dict.fromkeys(program for _, program in missing_programs(job.step, job.env)):
        raise StepFailed(
            f"step {job.step.name} needs {', '.join(lacking)}, not found on the worker's PATH",
            on=str(job.directory),
            because=f"PATH is {job.env['PATH']}",
            do="install what lacks, or start the worker with a PATH that holds it, and run the command again",
            code="PROGRAM_MISSING",
        )
