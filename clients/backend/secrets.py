"""Resolves the secrets of a step on this worker, right before its program gets them as variables."""

import socket
from collections.abc import Mapping
from pathlib import Path

from domain.errors import CredentialsMissing


def resolved(names: list[str], references: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return the value of each name; CredentialsMissing names all that cannot be resolved, and never a value.

    A reference is `env:NAME` of the worker's environment, where empty means unset, or `file:PATH`, whose last line
    break does not count.
    """
    values: dict[str, str] = {}
    problems = []
    for name in names:
        try:
            values[name] = _value(references.get(name, ""), environ)
        except LookupError as problem:
            problems.append(f"{name}: {problem.args[0]}")
    if problems:
        raise CredentialsMissing(
            "secrets of the backend cannot be resolved",
            on=f"worker {socket.gethostname()}",
            because="; ".join(problems),
            do="set the variable for the worker and restart it, or put the file there, readable for the worker's user",
        )
    return values


def _value(reference: str, environ: Mapping[str, str]) -> str:
    scheme, _, rest = reference.partition(":")
    if scheme == "env" and rest:
        if not environ.get(rest):
            raise LookupError(f"env:{rest} is not set")
        return environ[rest]
    if scheme == "file" and rest:
        return _content(Path(rest).expanduser(), reference)
    # Whoever wrote a value in the place of the reference must not read it here.
    raise LookupError("its reference is neither env:NAME nor file:PATH")


def _content(path: Path, reference: str) -> str:
    try:
        text = path.read_text()
    except OSError as error:
        raise LookupError(f"{reference}: {error.strerror}") from None
    except UnicodeError:
        raise LookupError(f"{reference}: it is not text") from None
    if "\0" in text or not text.strip():
        raise LookupError(f"{reference}: it {'holds a NUL character' if text.strip() else 'is empty'}")
    return text.removesuffix("\n").removesuffix("\r")
