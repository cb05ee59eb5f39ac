"""Programs that steps call, and the steps whose programs are looked for before anything runs."""

from collections.abc import Collection, Iterator

from domain.messages.backend import ProgramSearch
from domain.profile import Profile, Step, Wait
from planning.backend.expansion import FieldPath
from planning.backend.steps import needed

COMPOSE = "docker compose"  # the plugin, or the program docker-compose


def programs(step: Step) -> Iterator[tuple[FieldPath, str]]:
    """Yield the programs that the step runs, each with the field that names it."""
    if step.command:
        yield ("command",), "bash" if isinstance(step.command, str) else step.command[0]
    if step.process:
        yield ("process",), step.process[0]
    if step.function or (step.stop and step.stop.function):
        yield ("function",), "bash"
    if step.compose or any(left.compose for left in step.leaves):
        yield ("compose",) if step.compose else ("leaves",), COMPOSE
    if step.submodules:
        yield ("submodules",), "git"
    waits: list[tuple[str, Wait | None]] = [("wait", step.wait), ("ready", step.ready)]
    for field, wait in waits:
        if wait and wait.command:
            yield (field, "command"), wait.command[0]
    if step.stop and step.stop.command:
        yield ("stop", "command"), step.stop.command[0]
    for number, program in enumerate(step.programs):
        yield ("programs", number), program


def searched(profile: Profile, search: ProgramSearch, left_out: Collection[str], settled: Collection[str]) -> list[str]:
    """Return the steps whose programs are looked for: those that will run and whose failure would stop the set-up.

    `settled` steps are done, adopted or running. One that needs a step which will run, and keeps a record, may run too.
    """
    chosen = [step for step in profile.steps if search.simulated or not step.simulated]
    chosen = [step for step in chosen if step.name not in left_out and not step.optional]
    if search.every:
        return [step.name for step in chosen]
    found = [step.name for step in chosen if step.name not in settled or step.name in search.again]
    made = {step.name for step in chosen if step.name in found and (step.inputs or step.outputs)}
    behind = [step.name for step in chosen if made & {one.name for one in needed(profile.steps, step)}]
    return [step.name for step in chosen if step.name in found or step.name in behind]
