"""Checks of a profile that only the backend's host can make: programs, functions, files, links, left-out steps."""

import difflib
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from clients.backend.shell_functions import sourced
from clients.backend.steps.programs import missing_programs
from clients.system.environment import inherited
from domain.errors import SettingsInvalid
from domain.profile import Profile, Step, When
from planning.backend.expansion import BUILT_IN, VARIABLE, FieldPath, expanded_functions, foreseen, names, texts
from planning.backend.field_validation import DATA, form_faults, used_places
from planning.backend.profile_parser import ProfileFault
from planning.backend.profile_validation import unknown_clause
from planning.backend.steps import needed

_MAKERS = {"submodules", "function", "command", "file"}  # kinds that may make the files of later steps
_MAX_TEMPLATE = 1 << 20


def host_faults(
    profile: Profile,
    repo: Path,
    environ: Mapping[str, str],
    variables: Mapping[str, str],
    judged: set[FieldPath],
    searched: Collection[str] = (),
) -> list[ProfileFault]:
    """Everything on this host that would make a step fail; fields that were `judged` wrong already are left alone.

    Programs are looked for of the `searched` steps only.
    """
    return _Host(profile, repo.resolve(), environ, variables, judged, searched).faults()


def left_out(profile: Profile, repo: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the steps whose `when` does not hold now, with the reason."""
    found = {}
    for step in profile.steps:
        if step.when and (why := _untrue(step.when, foreseen(step, variables).when or step.when, repo)):
            found[step.name] = why
    return found


def _untrue(written: When, when: When, repo: Path) -> str:
    """Why it does not hold, empty when it does."""
    if when.equal:
        left, right = when.equal
        shown = [
            source if source == text else f"{source} = {text!r}"
            for source, text in zip(written.equal, when.equal, strict=True)
        ]
        return "" if left == right else f"{shown[0]} is not {shown[1] or repr('')}"
    missing = [path for path in (*when.all_exist, *when.any_missing) if not _exists(repo / path)]
    if when.all_exist:
        return f"{missing[0]} does not exist" if missing else ""
    return "" if missing else f"{' and '.join(when.any_missing)} exist{'s' if len(when.any_missing) == 1 else ''}"


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except OSError:
        return False
    return True


class _Host:
    """Check of one profile on this host."""

    def __init__(
        self,
        profile: Profile,
        repo: Path,
        environ: Mapping[str, str],
        variables: Mapping[str, str],
        judged: set[FieldPath],
        searched: Collection[str],
    ) -> None:
        self._profile = profile
        self._repo = repo
        self._environ = environ
        self._inherited = inherited(environ)
        self._variables = variables
        self._judged = judged
        self._searched = searched

    def faults(self) -> list[ProfileFault]:
        """All of them."""
        found = [*self._unset_variables(), *self._function_faults()]
        for index, written in enumerate(self._profile.steps):
            place: FieldPath = ("steps", index)
            try:
                step = foreseen(written, self._variables)
            except SettingsInvalid as error:
                found += [ProfileFault(place, problem) for problem in error.problems]
                continue
            forms = [*form_faults(step, self._variables.get("BACKEND_DATA", DATA))]
            wrong = {fault.path for fault in forms}
            links = [fault for fault in self._link_faults(step) if fault.path not in wrong]
            steps_own = [*forms, *links, *self._program_faults(step), *self._file_faults(written, step)]
            found += [ProfileFault((*place, *fault.path), fault.text) for fault in steps_own]
        return [fault for fault in dict.fromkeys(found) if fault.path not in self._judged]

    def _unset_variables(self) -> Iterator[ProfileFault]:
        for name, default in self._profile.variables.items():
            if default is None and name not in BUILT_IN and not self._environ.get(name):
                clause = f"variable {name} has no default: set {name} in the worker's environment"
                yield ProfileFault(("variables", name), clause)

    def _program_faults(self, step: Step) -> Iterator[ProfileFault]:
        if step.name in self._searched:
            env = {**self._inherited, **step.env}
            for path, program in missing_programs(step, env):
                clause = f"which is not on the worker's PATH ({env['PATH']})"
                yield ProfileFault(path, f"step {step.name} needs the program {program}, {clause}")

    def _link_faults(self, step: Step) -> Iterator[ProfileFault]:
        """Textual ways out are refused already."""
        data = self._variables.get("BACKEND_DATA", "")
        within = [self._repo, *([Path(data).resolve()] if data else [])]
        for path, text, from_repository in used_places(step):
            start = self._repo if from_repository else self._repo / step.dir
            place = start / _before_glob(text)
            # A link in the place of what is written or deleted is itself replaced or deleted.
            own_end = path[-1] == "to" or (path[0] == "purge" and place == start / text)
            real = (place.parent if own_end else place).resolve()
            if not names(text) and not any(real.is_relative_to(top) for top in within):
                yield ProfileFault(
                    path, f"step {step.name}: {text} is a link that leads out of the repository, to {real}"
                )

    def _file_faults(self, written: Step, step: Step) -> Iterator[ProfileFault]:
        if self._made_later(written):
            return
        directory = self._repo / step.dir
        if step.compose and not names(step.compose.file) and not _exists(directory / step.compose.file):
            yield ProfileFault(("compose", "file"), f"step {step.name}: there is no compose file {step.compose.file}")
        if step.file and step.file.template and not names(step.file.template):
            yield from self._template_faults(written, directory / step.file.template)

    def _made_later(self, step: Step) -> bool:
        """Whether a file that is absent now may be there once the step's turn has come."""
        return any(one.kind in _MAKERS for one in needed(self._profile.steps, step))

    def _template_faults(self, step: Step, template: Path) -> Iterator[ProfileFault]:
        path = ("file", "template")
        try:
            with template.open(encoding="utf-8") as file:
                content = file.read(_MAX_TEMPLATE)
        except (OSError, UnicodeDecodeError) as error:
            yield ProfileFault(path, f"step {step.name}: template {template} cannot be read: {error}")
            return
        for number, line in enumerate(content.splitlines(), 1):
            for name in names(line):
                if VARIABLE.fullmatch(name) and (clause := unknown_clause(self._profile, step, name)):
                    yield ProfileFault(path, f"step {step.name} {clause} (in {template}, line {number})")

    def _function_faults(self) -> Iterator[ProfileFault]:
        functions, calls = self._profile.functions, list(_calls(self._profile))
        if functions is None or not calls:
            return
        if {name for _, text in texts(functions) for name in names(text)} - set(self._variables):
            return  # said of the variable
        functions = expanded_functions(functions, self._variables)
        place: FieldPath = ("functions", "file")
        file = self._repo / functions.file
        if not file.is_file():
            if not all(self._made_later(step) for _, step, _ in calls):
                yield ProfileFault(place, f"there is no file {file}")
            return
        if not file.resolve().is_relative_to(self._repo):
            yield ProfileFault(
                place, f"{functions.file} is a link that leads out of the repository, to {file.resolve()}"
            )
            return
        if not shutil.which("bash", path=self._inherited["PATH"]):
            return  # said of each step
        result = sourced(file, self._repo, {**self._inherited, **functions.env})
        if result.functions is None:
            yield ProfileFault(place, f"{functions.file} cannot be sourced: {result.why}")
            return
        for path, step, function in calls:
            if function not in result.functions:
                yield ProfileFault(path, _absent(step, function, functions.file, result.functions))


def _absent(step: Step, function: str, file: str, defined: Iterable[str]) -> str:
    near = difflib.get_close_matches(function, sorted(defined), 3)
    guess = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"step {step.name} calls {function}, which {file} does not define{guess}"


def _calls(profile: Profile) -> Iterator[tuple[FieldPath, Step, str]]:
    for index, step in enumerate(profile.steps):
        if step.function:
            yield ("steps", index, "function"), step, step.function
        if step.stop and step.stop.function:
            yield ("steps", index, "stop", "function"), step, step.stop.function


def _before_glob(text: str) -> str:
    parts = text.split("/")
    first = next((number for number, part in enumerate(parts) if set("*?[") & set(part)), len(parts))
    return "/".join(parts[:first])
