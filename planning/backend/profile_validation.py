"""Judges a well-formed backend profile before anything runs: everything that is wrong with it, at once."""

from collections.abc import Iterator

from domain.profile import Profile, Step
from planning.backend.expansion import BUILT_IN, SECRET_NAME, VARIABLE, FieldPath, names, texts
from planning.backend.field_validation import form_faults, is_whole, path_clause, purge_clause
from planning.backend.profile_parser import ProfileFault
from planning.backend.steps import circle, circle_text, needed

_REFERENCES = ("env:", "file:")
_RECORDED = ("function", "command", "submodules")
# Fields that would do nothing for other kinds, which nobody means.
_GO_WITH = {"values": _RECORDED, "outputs": _RECORDED, "inputs": (*_RECORDED, "process")}


def faults(profile: Profile) -> list[ProfileFault]:
    """All of them, without regard to the host that would run it."""
    found = [*_variable_faults(profile), *_secret_faults(profile), *_profile_faults(profile), *_double_values(profile)]
    first = {step.name: index for index, step in reversed(list(enumerate(profile.steps)))}
    for index, step in enumerate(profile.steps):
        if first[step.name] != index:
            found.append(ProfileFault(("steps", index, "name"), f"step {step.name} exists twice"))
        found += [ProfileFault(("steps", index, *fault.path), fault.text) for fault in _step_faults(profile, step)]
    if names_ := circle(profile.steps):
        index = min(first[name] for name in names_)
        found.append(ProfileFault(("steps", index, "needs"), circle_text(names_)))
    return found


def known_names(profile: Profile, step: Step) -> set[str]:
    """Return the names that a step's texts may refer to: declared, built in, and handed on by what it needs."""
    handed = {name for one in needed(profile.steps, step) if one.name != step.name for name in one.values}
    return {*BUILT_IN, *profile.variables, *handed}


def unknown_clause(profile: Profile, step: Step, name: str) -> str:
    """Why a step may not refer to a name, and what to do; empty when it may."""
    givers = [one.name for one in profile.steps if name in one.values]
    has = {one.name for one in needed(profile.steps, step)}
    if lacking := [giver for giver in givers if giver not in has and giver != step.name]:
        return f"uses ${{{name}}}, which {' and '.join(lacking)} hands on: add {' and '.join(lacking)} to its needs"
    if name in known_names(profile, step):
        return ""
    if givers:
        return f"uses ${{{name}}}, which it hands on itself, so it is not known before the step is done"
    if name in profile.secrets:
        return (
            f"uses ${{{name}}}, which is a secret: name it in `secrets`, then the program finds it in its environment"
        )
    return f"uses ${{{name}}}, which no variable declares"


def _variable_faults(profile: Profile) -> Iterator[ProfileFault]:
    for name, default in profile.variables.items():
        if clause := _name_clause(name):
            yield ProfileFault(("variables", name), clause)
        elif SECRET_NAME.search(name.upper()):
            yield ProfileFault(
                ("variables", name), f"{name} looks like a secret of the worker: steps may not read those"
            )
        elif default and names(default):
            yield ProfileFault(
                ("variables", name), f"a default is taken as it is, it cannot refer to ${{{names(default)[0]}}}"
            )


def _name_clause(name: str) -> str:
    if not VARIABLE.fullmatch(name):
        return f"{name!r} is no variable name (letters, digits and _)"
    return f"{name} is built in, leave it out" if name in BUILT_IN else ""


def _secret_faults(profile: Profile) -> Iterator[ProfileFault]:
    for name, reference in profile.secrets.items():
        path = ("secrets", name)
        if clause := _name_clause(name):
            yield ProfileFault(path, clause)
        elif name in profile.variables:
            yield ProfileFault(path, f"{name} is a variable, too: a secret needs a name of its own")
        kind, _, where = reference.partition(":")
        if f"{kind}:" not in _REFERENCES or not where or (kind == "env" and not VARIABLE.fullmatch(where)):
            yield ProfileFault(
                path, f"secret {name} must be a reference, env:NAME or file:PATH, never the secret itself"
            )


def _profile_faults(profile: Profile) -> Iterator[ProfileFault]:
    places: dict[FieldPath, str] = {("circuit",): profile.circuit, ("circuit_dir",): profile.circuit_dir}
    if profile.functions is not None:
        places |= {("functions", *path): text for path, text in texts(profile.functions)}
    purges: dict[FieldPath, str] = {("purge", index): text for index, text in enumerate(profile.purge)}
    data: dict[FieldPath, str] = {("data", index): text for index, text in enumerate(profile.data)}
    configs: dict[FieldPath, str] = {("circuit_in", index): text for index, text in enumerate(profile.circuit_in)}
    allowed = {*BUILT_IN, *profile.variables}
    for path, text in {**places, **purges, **data, **configs}.items():
        own = {"circuit": {"CIRCUIT", "CIRCUIT_DIR"}, "circuit_dir": {"CIRCUIT_DIR"}}.get(str(path[0]), set())
        for name in sorted({*names(text)} - (allowed - own)):
            yield ProfileFault(path, f"uses ${{{name}}}, which no variable declares")
    within: list[FieldPath] = [("circuit_dir",), ("functions", "file")]
    clauses = {path: path_clause(places.get(path, "")) for path in within}
    if profile.functions is not None and (not profile.functions.file or names(profile.functions.file)):
        yield ProfileFault(("functions", "file"), "it is the path itself, neither empty nor made of variables")
    clauses |= {path: purge_clause(text) for path, text in purges.items()}
    clauses |= {path: path_clause(text) for path, text in configs.items()}
    clauses |= {path: path_clause(text) or _whole_clause(text) for path, text in data.items()}
    yield from (ProfileFault(path, clause) for path, clause in clauses.items() if clause)


def _whole_clause(text: str) -> str:
    return f"{text!r} would be the whole repository" if is_whole(text) else ""


def _double_values(profile: Profile) -> Iterator[ProfileFault]:
    """Yield the values that two steps hand on, unless only one of them ever runs."""
    givers: dict[str, list[Step]] = {}
    for index, step in enumerate(profile.steps):
        for name in step.values:
            for other in givers.get(name, []):
                if step.name != other.name and (not step.when or not other.when or step.when == other.when):
                    clause = (
                        f"{name} is handed on by step {other.name}, too: only steps with different `when`s may do so"
                    )
                    yield ProfileFault(("steps", index, "values", name), clause)
            givers.setdefault(name, []).append(step)


def _step_faults(profile: Profile, step: Step) -> Iterator[ProfileFault]:
    for field, kinds in _GO_WITH.items():
        if getattr(step, field) and step.kind not in kinds:
            yield ProfileFault(
                (field,), f"step {step.name}: {field} goes with {', '.join(kinds)}, not with {step.kind}"
            )
    yield from _need_faults(profile, step)
    yield from _reference_faults(profile, step)
    yield from _value_faults(profile, step)
    yield from _function_faults(profile, step)
    yield from _given_secret_faults(profile, step)
    yield from _log_faults(profile, step)
    yield from form_faults(step)


def _need_faults(profile: Profile, step: Step) -> Iterator[ProfileFault]:
    for need in step.needs:
        yield from _other_step_faults(profile, step, need, ("needs",), "needs")


def _log_faults(profile: Profile, step: Step) -> Iterator[ProfileFault]:
    for field, wait in (("wait", step.wait), ("ready", step.ready)):
        if wait is None or wait.log is None:
            continue
        path = (field, "log")
        if wait.log.step:
            yield from _other_step_faults(profile, step, wait.log.step, (*path, "step"), "reads the log of")
        if wait.log.step and wait.log.file:
            yield ProfileFault(
                path, f"step {step.name}: a line is found in the log of a step, or in a file, not in both"
            )
        if field == "wait" and not wait.log.step and not wait.log.file:
            yield ProfileFault(path, f"step {step.name} has no log of its own to wait for: say which `step` or `file`")


def _other_step_faults(
    profile: Profile, step: Step, name: str, path: tuple[str, ...], verb: str
) -> Iterator[ProfileFault]:
    other = next((one for one in profile.steps if one.name == name), None)
    if other is None:
        yield ProfileFault(path, f"step {step.name} {verb} {name}, which does not exist")
    elif other.simulated and not step.simulated:
        yield ProfileFault(path, f"step {step.name} {verb} {name}, which is simulated and so not part of setup-all")
    elif other.optional and not step.optional:
        yield ProfileFault(path, f"step {step.name} {verb} {name}, which is optional, so it may never be done")


def _reference_faults(profile: Profile, step: Step) -> Iterator[ProfileFault]:
    said: set[str] = set()
    for path, text in texts(step):
        for name in names(text):
            clause = "" if name in said else unknown_clause(profile, step, name)
            if not clause and path[0] == "when" and name not in {*BUILT_IN, *profile.variables}:
                clause = f"uses ${{{name}}} in `when`, which is judged before any step has handed anything on"
            if clause:
                said.add(name)
                yield ProfileFault(path, f"step {step.name} {clause}")


def _value_faults(profile: Profile, step: Step) -> Iterator[ProfileFault]:
    for name, value in step.values.items():
        path = ("values", name)
        if clause := _name_clause(name):
            yield ProfileFault(path, clause)
        elif SECRET_NAME.search(name.upper()):
            yield ProfileFault(path, f"{name} looks like a secret: values are recorded and shown")
        elif name in profile.variables or name in profile.secrets:
            yield ProfileFault(path, f"{name} is declared by the profile, too: a value needs a name of its own")
        if value.variable and not step.function:
            yield ProfileFault(
                (*path, "variable"), f"step {step.name} is no function, it has no shell to take {name} from"
            )
        if value.variable and not VARIABLE.fullmatch(value.variable):
            yield ProfileFault((*path, "variable"), f"{value.variable!r} is no variable name (letters, digits and _)")


def _function_faults(profile: Profile, step: Step) -> Iterator[ProfileFault]:
    used = {("function",): step.function, ("stop", "function"): step.stop.function if step.stop else ""}
    for path, function in used.items():
        if function and profile.functions is None:
            yield ProfileFault(path, f"step {step.name} calls {function}, but the profile names no file of `functions`")


def _given_secret_faults(profile: Profile, step: Step) -> Iterator[ProfileFault]:
    for index, name in enumerate(step.secrets):
        path = ("secrets", index)
        if name not in profile.secrets:
            yield ProfileFault(
                path, f"step {step.name} is given the secret {name}, which `secrets` of the profile does not name"
            )
        elif step.process and not profile.secrets[name].startswith("file:"):
            clause = "a process outlives the worker, so its secrets must be of the kind file:PATH"
            yield ProfileFault(path, f"step {step.name} is given {name}, which is {profile.secrets[name]}: {clause}")
