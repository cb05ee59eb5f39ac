"""Decides what an image's container runs and where, so that a base image without a client's command still runs it."""

import posixpath
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from domain.messages.image import BaseConfig
from domain.spec import DEFAULT_CLIENT, Backend

_SHELLS = {"sh", "bash", "dash", "ash", "zsh", "ksh", "fish", "rbash"}


def base_config(config: Mapping[str, Any]) -> BaseConfig:
    """Of the Docker Engine's configuration of an image."""
    return BaseConfig(
        user=str(config.get("User") or ""),
        entrypoint=list(config.get("Entrypoint") or []),
        command=list(config.get("Cmd") or []),
        workdir=str(config.get("WorkingDir") or ""),
    )


def client_config(base: BaseConfig, backend: Backend) -> BaseConfig:
    """Return the container settings of the prover image in place of the base's.

    A command of its own stays: ENTRYPOINT or CMD that is more than a shell. A shell without a command would read its
    input, which a pod has none of, and end at once. A program by a relative path stays the one of the base's WORKDIR.
    """
    changes: dict[str, Any] = {"workdir": backend.client_workdir}
    if backend.client_command:
        changes |= {"entrypoint": [], "command": shlex.split(backend.client_command)}
    elif _is_bare_shell([*base.entrypoint, *base.command]):
        changes |= {"entrypoint": [], "command": [DEFAULT_CLIENT]}
    elif base.command and _is_bare_shell(base.command):
        changes |= {"command": [DEFAULT_CLIENT]}  # for the program of ENTRYPOINT to run
    kept = base.model_copy(update=changes)
    field = "entrypoint" if kept.entrypoint else "command"
    program, *rest = getattr(kept, field)
    if "/" in program and not backend.client_command:
        absolute = posixpath.normpath(posixpath.join(base.workdir or "/", program))
        kept = kept.model_copy(update={field: [absolute if program[0] != "/" else program, *rest]})
    return kept


def remarks(base: BaseConfig, backend: Backend) -> str:
    """Return a clause on what the container runs, and what was not the base's own; for the preflight."""
    given = client_config(base, backend)
    said = f"clients run {_shown([*given.entrypoint, *given.command])} in {given.workdir}"
    if backend.client_command:
        return f"{said} (CLIENT_COMMAND)"
    if (given.entrypoint, given.command) == (base.entrypoint, base.command):
        return said
    own = _shown([*base.entrypoint, *base.command]) or "no command"
    return f"{said}, in place of {own} in {base.workdir or '/'}, as the base image has it"


def _shown(command: Sequence[str]) -> str:
    return f"`{shlex.join(command)}`" if command else ""


def _is_bare_shell(command: Sequence[str]) -> bool:
    """Nothing at all, or a shell with options alone; `-c` takes an operand, and a script is one."""
    if not command:
        return True
    return posixpath.basename(command[0]) in _SHELLS and all(one.startswith("-") for one in command[1:])
