"""Stops what steps started, from the records alone, and says whether anything of a step is still there."""

from collections.abc import Mapping
from pathlib import Path

from clients.backend.job import Job, StepFiles
from clients.backend.processes.supervisor import Processes
from clients.backend.records import Started, note_stopped
from clients.backend.secrets import resolved
from clients.backend.steps.background import sweep
from clients.backend.steps.command import StepCommand, discard, forget, stop_command
from clients.backend.steps.compose import down
from clients.backend.steps.function import function_argv, prepare_values
from clients.system.environment import inherited
from domain.errors import StepFailed
from domain.ports import Beat
from domain.profile import Compose


class Stopping:
    """Stops the steps of one backend."""

    def __init__(self, folder: Path, processes: Processes, environ: Mapping[str, str], beat: Beat) -> None:
        """`environ` is the worker's."""
        self._folder = folder
        self._processes = processes
        self._environ = environ
        self._beat = beat

    def step(self, started: Started) -> bool:
        """Nothing of the step runs afterwards; whether anything did. What fails is raised once all the rest is done."""
        place, step, repo = StepFiles(self._folder, started.step.name), started.step, Path(started.repo)
        failure: StepFailed | None = None
        ran = stop_command(place, step.grace, self._beat)
        if step.stop and not started.stopped and _begun(place, self._folder):
            ran = True
            try:
                self._undo(place, started)
            except StepFailed as error:
                failure = error
        if step.process:
            ran = bool(self._processes.stop([step.name], self._beat)) or ran
        known = step.model_copy(update={"leaves": []}) if started.stopped else step
        swept = sweep(place, known, repo, self._beat)
        ran = sweep(place.counterpart, known, repo, self._beat) or swept or ran
        if not started.stopped:
            for compose, directory in projects(started):
                env = {**inherited(self._environ), **step.env}
                ran = down(compose, directory, env, volumes=False, beat=self._beat) or ran
        if step.stays or swept:
            discard(place)  # also of a command that had ended well: what it brought about is gone
        if swept and step.ready and not step.stays:
            forget(place)  # `ready` awaits what was just ended
        if failure:
            raise failure
        note_stopped(place)
        return ran

    def _undo(self, place: StepFiles, started: Started) -> None:
        """Run the counterpart as a command of its own, with a log of its own."""
        step, counterpart = started.step, started.step.stop
        secrets = resolved(step.secrets, started.secrets, self._environ)
        bare = step.model_copy(update={"inputs": [], "outputs": [], "values": {}, "leaves": []})
        env = {**inherited(self._environ), **step.env, **secrets}
        job = Job(place.counterpart, bare, Path(started.repo), Path(started.directory), env, {})
        if counterpart and counterpart.function and started.functions:
            prepare_values(job)
            argv = function_argv(job, started.functions.file, counterpart.function)
        else:
            argv = counterpart.command if counterpart else []
        StepCommand(job, argv).run(self._beat, again=True)


def projects(started: Started) -> list[tuple[Compose, Path]]:
    """Compose projects of a step, each with the directory that its file is relative to."""
    own = [(started.step.compose, Path(started.directory))]
    left = [(one.compose, Path(started.repo)) for one in started.step.leaves]
    return [(compose, directory) for compose, directory in (*own, *left) if compose]


def _begun(place: StepFiles, folder: Path) -> bool:
    return place.record.exists() or place.ran.exists() or (folder / "conf.d" / f"{place.name}.conf").exists()
