"""Decides about the steps of a backend profile: which, in which order, with which text, and whether to skip one."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from domain.errors import SettingsInvalid
from domain.model import Message
from domain.profile import Profile, Step, Wait

BUILT_IN = frozenset(
    {
        "BACKEND_REPO",
        "CIRCUIT",
        "CIRCUIT_DIR",
        "CLUSTER",
        "CLUSTER_NS",
        "COORDINATOR_EP",
        "COORDINATOR_PORT",
        "COORDINATOR_SERV",
        "PROVER_STATE_DIR",
        "PYTHON",
    }
)
SECRET_NAME = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|PRIVATE_KEY|API_KEY|^IMAGE_AUTH_")
_REFERENCE = re.compile(r"\$(?:\$|\{([^}]*)\})")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class Fault(NamedTuple):
    """Something wrong with a profile: the path of the field, and a clause about it."""

    path: tuple[str | int, ...]
    text: str


class Ran(Message):
    """What is recorded of a command step that succeeded."""

    fingerprint: str
    seconds: float = 0.0


def chosen(profile: Profile, *, simulated: bool) -> list[Step]:
    """The steps to run, each after all that it needs; those of run-all only when `simulated`."""
    return in_order([step for step in profile.steps if simulated or not step.simulated])


def in_order(steps: Sequence[Step]) -> list[Step]:
    """The steps, each after all that it needs, else as written; SettingsInvalid on a cycle."""
    names = {step.name for step in steps}
    done: set[str] = set()
    ordered: list[Step] = []
    rest = list(steps)
    while rest:
        ready = next((step for step in rest if all(need in done or need not in names for need in step.needs)), None)
        if ready is None:
            raise SettingsInvalid([_circle_text(_circle(rest))])
        rest.remove(ready)
        done.add(ready.name)
        ordered.append(ready)
    return ordered


def faults(profile: Profile) -> list[Fault]:
    """Everything wrong with a well-formed profile, in the order of the file."""
    first = {step.name: index for index, step in reversed(list(enumerate(profile.steps)))}
    found = _variable_faults(profile)
    for index, step in enumerate(profile.steps):
        if first[step.name] != index:
            found.append(Fault(("steps", index, "name"), f"step {step.name} exists twice"))
        found += _need_faults(profile, index, step)
        found += _text_faults(profile, index, step)
    if not any(fault.path[-1] in {"name", "needs"} for fault in found):
        found += _circle_faults(profile)
    return found


def expand(text: str, variables: Mapping[str, str]) -> str:
    """The text with `${NAME}` replaced and `$$` as `$`; SettingsInvalid names what is not set."""
    missing = [name for name in _names(text) if name not in variables]
    if missing:
        raise SettingsInvalid([f"variable {name} is used in {text!r} but not set" for name in missing])
    return _REFERENCE.sub(lambda match: "$" if match[1] is None else variables[match[1]], text)


def expanded(step: Step, variables: Mapping[str, str]) -> Step:
    """The step with every text expanded; SettingsInvalid names all variables that are not set, at once."""
    missing = sorted({name for text in _texts(step) for name in _names(text)} - set(variables))
    if missing:
        raise SettingsInvalid(
            [f"step {step.name} uses ${{{name}}}: set {name} in the worker's environment" for name in missing]
        )

    def all_of(texts: list[str]) -> list[str]:
        return [expand(text, variables) for text in texts]

    return step.model_copy(
        update={
            "command": all_of(step.command),
            "process": all_of(step.process),
            "wait": step.wait and Wait(tcp=expand(step.wait.tcp, variables), file=expand(step.wait.file, variables)),
            "env": {name: expand(value, variables) for name, value in step.env.items()},
            "dir": expand(step.dir, variables),
            "inputs": all_of(step.inputs),
            "outputs": all_of(step.outputs),
        }
    )


def settled(
    declared: Mapping[str, str | None], environ: Mapping[str, str], built_in: Mapping[str, str]
) -> dict[str, str]:
    """The variables a step may use: built in, else from the worker's environment, else the profile's default.

    Only declared names are read from the environment; an empty value there means unset.
    """
    own = {name: environ.get(name) or default for name, default in declared.items()}
    return {name: value for name, value in own.items() if value is not None} | dict(built_in)


def fingerprint(argv: Sequence[str], env: Mapping[str, str], directory: str, inputs: Mapping[str, str]) -> str:
    """A hash of all that decides what a step does; `inputs` maps a path to a hash of its content."""
    meaning = json.dumps([list(argv), sorted(env.items()), directory, sorted(inputs.items())])
    return hashlib.sha256(meaning.encode()).hexdigest()


def may_skip(step: Step, ran: Ran | None, now: str, missing_outputs: Sequence[str]) -> bool:
    """Whether a command step has nothing to do: it names inputs or outputs, ran with these, and its outputs exist."""
    tracked = bool(step.inputs or step.outputs)
    return tracked and ran is not None and ran.fingerprint == now and not missing_outputs


def _texts(step: Step) -> list[str]:
    wait = [step.wait.tcp, step.wait.file] if step.wait else []
    return [*step.command, *step.process, *wait, *step.env.values(), step.dir, *step.inputs, *step.outputs]


def _names(text: str) -> list[str]:
    return [match[1] for match in _REFERENCE.finditer(text) if match[1] is not None]


def _variable_faults(profile: Profile) -> list[Fault]:
    found = []
    for name in profile.variables:
        path = ("variables", name)
        if not _VARIABLE.fullmatch(name):
            found.append(Fault(path, f"{name!r} is no variable name (letters, digits and _)"))
        elif SECRET_NAME.search(name.upper()):
            found.append(Fault(path, f"{name} looks like a secret of the worker: steps may not read those"))
        elif name in BUILT_IN:
            found.append(Fault(path, f"{name} is built in, leave it out"))
    return found


def _need_faults(profile: Profile, index: int, step: Step) -> list[Fault]:
    known = {other.name: other for other in profile.steps}
    path = ("steps", index, "needs")
    found = []
    for need in step.needs:
        if need not in known:
            found.append(Fault(path, f"step {step.name} needs {need}, which does not exist"))
        elif known[need].simulated and not step.simulated:
            found.append(Fault(path, f"step {step.name} needs {need}, which is simulated and so not part of setup-all"))
    return found


def _circle_faults(profile: Profile) -> list[Fault]:
    circle = _circle(profile.steps)
    index = next((index for index, step in enumerate(profile.steps) if step.name in circle), 0)
    return [Fault(("steps", index, "needs"), _circle_text(circle))] if circle else []


def _circle(steps: Sequence[Step]) -> list[str]:
    """The names of one circle in which each step needs the next; empty when there is none."""
    stuck = {step.name: step.needs for step in steps}
    while free := [name for name, needs in stuck.items() if not any(need in stuck for need in needs)]:
        stuck = {name: needs for name, needs in stuck.items() if name not in free}
    path = list(stuck)[:1]
    while path and (need := next(need for need in stuck[path[-1]] if need in stuck)) not in path:
        path.append(need)
    return path[path.index(need) :] if path else []


def _circle_text(circle: Sequence[str]) -> str:
    named = "needs itself" if len(circle) == 1 else "need each other in a circle"
    return f"step{'s' if len(circle) > 1 else ''} {', '.join(circle)} {named}"


def _text_faults(profile: Profile, index: int, step: Step) -> list[Fault]:
    allowed = BUILT_IN | set(profile.variables)
    path: tuple[str | int, ...] = ("steps", index)
    unknown = sorted({name for text in _texts(step) for name in _names(text)} - allowed)
    found = [Fault(path, f"step {step.name} uses ${{{name}}}, which no variable declares") for name in unknown]
    if any("\0" in text for text in _texts(step)):
        found.append(Fault(path, f"step {step.name} holds a NUL character"))
    for field in ("inputs", "outputs"):
        patterns: list[str] = getattr(step, field)
        found += [
            Fault((*path, field), f"{field} {pattern!r} of step {step.name} must be relative to the step's directory")
            for pattern in patterns
            if pattern.startswith("/") or not pattern
        ]
    if step.dir.startswith("/") or ".." in step.dir.split("/"):
        found.append(Fault((*path, "dir"), f"dir {step.dir!r} of step {step.name} must stay within the repository"))
    return found
