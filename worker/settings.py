"""Settings of one worker, read once at its start."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from domain.errors import SettingsInvalid

ROLES = ("deploy", "kube", "host")
DEFAULT_CLUSTER = "default"


@dataclass(frozen=True)
class WorkerSettings:
    """`contexts` maps CLUSTER names to kubeconfig contexts; without one for `default` that is the current context."""

    roles: tuple[str, ...]
    clusters: tuple[str, ...]
    contexts: Mapping[str, str]
    kubeconfig: str | None
    backend_host: str
    docker_host: str | None
    state_dir: Path

    @classmethod
    def read(cls, environ: Mapping[str, str], roles: tuple[str, ...] = ROLES) -> "WorkerSettings":
        """From environment variables, where empty means unset; SettingsInvalid with every problem."""
        contexts, problems = _contexts(environ.get("KUBE_CONTEXTS", ""))
        problems += [f"--roles: {role!r} is none of {', '.join(ROLES)}." for role in roles if role not in ROLES]
        if not roles:
            problems.append(f"--roles: give at least one of {', '.join(ROLES)}.")
        if problems:
            raise SettingsInvalid(problems)
        return cls(
            roles=roles,
            clusters=tuple(dict.fromkeys([DEFAULT_CLUSTER, *contexts])),
            contexts=contexts,
            kubeconfig=environ.get("KUBECONFIG") or None,
            backend_host=environ.get("BACKEND_HOST") or "local",
            docker_host=environ.get("DOCKER_HOST") or None,
            state_dir=_state_dir(environ),
        )


def _contexts(text: str) -> tuple[dict[str, str], list[str]]:
    contexts, problems = {}, []
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, found, context = part.partition("=")
        if not (found and name and context) or "/" in name:
            problems.append(f"KUBE_CONTEXTS={text!r}: {part!r} is not name=context; give e.g. lab=admin@lab.")
        contexts[name] = context
    return contexts, problems


def _state_dir(environ: Mapping[str, str]) -> Path:
    given = environ.get("PROVER_STATE_DIR")
    if given:
        return Path(given)
    if os.geteuid() == 0:
        return Path("/var/lib/proverctl")
    base = environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "proverctl"
