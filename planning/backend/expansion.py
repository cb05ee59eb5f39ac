"""Variables of a backend profile: which texts may hold `${NAME}`, what each name stands for, and filling them in."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from domain.errors import SettingsInvalid
from domain.model import Document
from domain.profile import Functions, Step

BUILT_IN = frozenset(
    {
        "BACKEND_DATA",
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
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

D = TypeVar("D", bound=Document)
FieldPath = tuple[str | int, ...]  # of a field within a document
_REFERENCE = re.compile(r"\$(?:\$|\{([^}]*)\})")
# Words of the profile itself, by where they stand in a step: these are never filled in.
_WORDS = (
    ("name",),
    ("needs", "*"),
    ("secrets", "*"),
    ("function",),
    ("stop", "function"),
    ("restart",),
    ("wait", "log", "step"),
    ("ready", "log", "step"),
    ("values", "*", "variable"),
)
_EXPRESSIONS = (
    ("wait", "log", "match"),
    ("ready", "log", "match"),
    ("leaves", "*", "arguments"),
    ("values", "*", "log"),
    ("values", "*", "match"),
)


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Return the text with `${NAME}` replaced and `$$` as `$`; SettingsInvalid names what is not set."""
    if missing := [name for name in names(text) if name not in variables]:
        raise SettingsInvalid([f"variable {name} is used in {text!r} but not set" for name in missing])
    return _REFERENCE.sub(lambda match: "$" if match[1] is None else variables[match[1]], text)


def expanded(step: Step, variables: Mapping[str, str]) -> Step:
    """Return the step with every text filled in; SettingsInvalid names all variables that are not set, at once.

    In a regular expression a value stands for itself, whatever characters it holds.
    """
    return _filled(step, variables, f"step {step.name}")


def expanded_functions(functions: Functions, variables: Mapping[str, str]) -> Functions:
    """Return the same for the file of functions and their environment."""
    return _filled(functions, variables, "functions")


def foreseen(step: Step, variables: Mapping[str, str]) -> Step:
    """Return the step with the texts filled in that need these variables alone; others stay as written."""
    unknown = {name: f"${{{name}}}" for _, text in texts(step) for name in names(text) if name not in variables}
    return _filled(step, {**variables, **unknown}, f"step {step.name}")


def settled(
    declared: Mapping[str, str | None], environ: Mapping[str, str], built_in: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables a step may use: built in, else from the worker's environment, else the profile's default.

    Only declared names are read from the environment; an empty value there means unset.
    """
    own = {name: environ.get(name) or default for name, default in declared.items()}
    return {name: value for name, value in own.items() if value is not None} | dict(built_in)


def texts(document: Document) -> list[tuple[FieldPath, str]]:
    """Every text that may hold `${NAME}`, and the path of its field."""
    found: list[tuple[FieldPath, str]] = []

    def note(path: FieldPath, text: str) -> str:
        found.append((path, text))
        return text

    _mapped(document.model_dump(exclude_unset=True), note)
    return found


def names(text: str) -> list[str]:
    """Return the names that the text refers to, in its order."""
    return [match[1] for match in _REFERENCE.finditer(text) if match[1] is not None]


def is_expression(path: FieldPath) -> bool:
    """Whether the field of a step at this path is a regular expression."""
    return any(_matches(path, pattern) for pattern in _EXPRESSIONS)


def _filled(document: D, variables: Mapping[str, str], subject: str) -> D:
    missing = sorted({name for _, text in texts(document) for name in names(text)} - set(variables))
    if missing:
        raise SettingsInvalid(
            [
                f"{subject} uses ${{{name}}}, which is not set: set {name} in the worker's environment"
                for name in missing
            ]
        )
    literal = {name: re.escape(value) for name, value in variables.items()}
    filled = _mapped(
        document.model_dump(exclude_unset=True),
        lambda path, text: expand(text, literal if is_expression(path) else variables),
    )
    try:
        return type(document).model_validate(filled)
    except ValidationError as error:  # a variable that is empty may leave a field empty that must say something
        problems = [one["msg"].removeprefix("Value error, ") for one in error.errors()]
        raise SettingsInvalid(
            [f"{subject}, with its variables filled in: {problem}" for problem in problems]
        ) from error


def _mapped(data: Any, fill: Callable[[FieldPath, str], str], path: FieldPath = ()) -> Any:
    """Return the same data with each text replaced by what `fill` makes of it."""
    if isinstance(data, dict):
        return {key: _mapped(value, fill, (*path, key)) for key, value in data.items()}
    if isinstance(data, list):
        return [_mapped(value, fill, (*path, index)) for index, value in enumerate(data)]
    if not isinstance(data, str) or any(_matches(path, pattern) for pattern in _WORDS):
        return data
    return fill(path, data)


def _matches(path: FieldPath, pattern: tuple[str, ...]) -> bool:
    return len(path) == len(pattern) and all(word in ("*", part) for part, word in zip(path, pattern, strict=True))
