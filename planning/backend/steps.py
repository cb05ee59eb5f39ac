"""Decides about the steps of a backend profile: which, in which order, and whether one has nothing to do."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from domain.errors import SettingsInvalid
from domain.model import Message
from domain.profile import Profile, Step, StepState, StepStatus


class Ran(Message):
    """Record of a step that succeeded; of one with outputs also that a run of it began."""

    fingerprint: str  # empty: a run began and has not succeeded, so the outputs may be incomplete
    seconds: float = 0.0
    values: dict[str, str] = {}  # what it handed on
    directory: str = ""  # where it ran: the record of one repository says nothing of another
    adopted: dict[str, str] = {}  # output → SHA-256 of its content, when it was there before the first run


def chosen(profile: Profile, *, simulated: bool) -> list[Step]:
    """Return the steps to run, each after all that it needs; those of run-all only when `simulated`."""
    return in_order([step for step in profile.steps if simulated or not step.simulated])


def in_order(steps: Sequence[Step]) -> list[Step]:
    """Return the steps, each after all that it needs, else as written; SettingsInvalid on a circle."""
    known = {step.name for step in steps}
    done: set[str] = set()
    ordered: list[Step] = []
    rest = list(steps)
    while rest:
        ready = next((step for step in rest if all(need in done or need not in known for need in step.needs)), None)
        if ready is None:
            raise SettingsInvalid([circle_text(circle(rest))])
        rest.remove(ready)
        done.add(ready.name)
        ordered.append(ready)
    return ordered


def needed(steps: Sequence[Step], step: Step) -> list[Step]:
    """All that a step needs, directly or through others, in the order of the file; itself only in a circle."""
    by_name = {one.name: one for one in steps}
    found: set[str] = set()
    open_ends = list(step.needs)
    while open_ends:
        name = open_ends.pop()
        if name in by_name and name not in found:
            found.add(name)
            open_ends += by_name[name].needs
    return [one for one in steps if one.name in found]


def optional_warnings(steps: Sequence[Step], rows: Sequence[StepStatus]) -> list[str]:
    """Return a warning about each optional step that failed: its reason, and the command that tries it again."""
    optional = {step.name for step in steps if step.optional}
    return [
        f"optional step {row.name} failed, all else goes on. {row.detail.rstrip('. ')}. "
        f"Try it again: proverctl backend restart {row.name}"
        for row in rows
        if row.name in optional and row.state is StepState.FAILED
    ]


def circle(steps: Sequence[Step]) -> list[str]:
    """Return the names of one circle in which each step needs the next; empty when there is none."""
    stuck = {step.name: step.needs for step in steps}
    while free := [name for name, needs in stuck.items() if not any(need in stuck for need in needs)]:
        stuck = {name: needs for name, needs in stuck.items() if name not in free}
    path = list(stuck)[:1]
    while path and (need := next(need for need in stuck[path[-1]] if need in stuck)) not in path:
        path.append(need)
    return path[path.index(need) :] if path else []


def circle_text(names: Sequence[str]) -> str:
    """Return the clause about a circle."""
    named = "needs itself" if len(names) == 1 else "need each other in a circle"
    return f"step{'s' if len(names) > 1 else ''} {', '.join(names)} {named}"


def fingerprint(argv: Sequence[str], env: Mapping[str, str], directory: str, inputs: Mapping[str, str]) -> str:
    """Return a hash of all that decides what a step does; `inputs` maps a path to a hash of its content."""
    meaning = json.dumps([list(argv), sorted(env.items()), directory, sorted(inputs.items())])
    return hashlib.sha256(meaning.encode()).hexdigest()


def keeps_outputs(step: Step) -> bool:
    """Return whether the outputs of a step are adopted where they exist, instead of a run that may delete them."""
    return bool(step.outputs) and step.kind in {"function", "command"} and not step.leaves


def outlives_purge(step: Step) -> bool:
    """Return whether a purge keeps the record of a step: outputs are kept, and its own `purge` spares one of them."""
    spared = [path for path in step.outputs if not any(_is_below(path, purged) for purged in step.purge)]
    return keeps_outputs(step) and bool(spared)


def _is_below(path: str, pattern: str) -> bool:
    output = PurePosixPath(path)
    return any(fnmatchcase(str(one), pattern.rstrip("/")) for one in (output, *output.parents))


def may_adopt(step: Step, ran: Ran | None, missing_outputs: Sequence[str], *, began: bool, newer: bool) -> bool:
    """Whether outputs that exist are taken as they are, instead of a run that may delete them.

    `began`: a run of the step was started here. Its outputs may be incomplete, unless they are `newer` than its end.
    """
    if not keeps_outputs(step) or missing_outputs or (ran is not None and ran.fingerprint):
        return False
    return newer or (ran is None and not began)


def may_skip(step: Step, ran: Ran | None, now: str, missing_outputs: Sequence[str]) -> bool:
    """Whether a step has nothing to do: it names inputs or outputs, ran with these, and its outputs exist."""
    tracked = bool(step.inputs or step.outputs)
    return tracked and ran is not None and ran.fingerprint == now and not missing_outputs
