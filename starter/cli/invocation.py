"""The arguments that all commands share: merged settings and common flags."""

import os
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from planning.settings.checks import duration, seconds
from planning.settings.table import BACKEND, BY_NAME, CLUSTER, CLUSTER_NS, SETTINGS
from starter.cli import environment
from starter.cli.options import parameter

if TYPE_CHECKING:
    from domain.spec import ClusterSpec

T = TypeVar("T")

KEPT = ("CLIENT_REPLICAS", "COORDINATOR_EP", "COORDINATOR_PORT")  # a deploy keeps what commands set of these


@dataclass(frozen=True)
class Invocation:
    """A command line; `values` holds settings and connection variables without defaults, `timeout` is in seconds."""

    values: Mapping[str, str]
    output: str = "text"
    timeout: float | None = None
    wait: bool = True
    yes: bool = False
    inline: bool = False
    env_file: str = ""
    named_namespace: bool = False  # by the flag -n itself
    flags: Mapping[str, str] = field(default_factory=dict)  # settings that were given as flags
    problems: list[str] = field(default_factory=list)
    below_flags: environment.Origins = field(default_factory=dict)  # what the flags of these settings win over

    @property
    def namespace(self) -> str:
        """The Kubernetes namespace."""
        return self.values.get(CLUSTER_NS.name) or CLUSTER_NS.default

    @property
    def cluster(self) -> str:
        """The Kubernetes cluster, by the name that workers know."""
        return self.values.get(CLUSTER.name) or CLUSTER.default

    def validated(self, build: Callable[[], T], *checks: Callable[[], object]) -> T:
        """Return what `build` makes of the settings; raise SettingsInvalid with all problems, those of `checks` too."""
        from domain.errors import SettingsInvalid  # noqa: PLC0415 - pydantic: not for --help

        problems = list(self.problems)
        for check in checks:
            try:
                check()
            except SettingsInvalid as error:
                problems += error.problems
        try:
            result = build()
        except SettingsInvalid as error:
            raise SettingsInvalid(problems + error.problems) from error
        if problems:
            raise SettingsInvalid(problems)
        return result

    def again(self, *words: str) -> str:
        """Return a command line about the same deployment, for the user to copy."""
        line = ["proverctl", *words, "-n", self.namespace]
        if self.cluster != CLUSTER.default:
            line += [CLUSTER.flag, self.cluster]
        if self.env_file:
            line += ["--env-file", self.env_file]
        return shlex.join(line)

    def again_backend(self, *words: str) -> str:
        """Return a command line about the same backend, for the user to copy."""
        line = ["proverctl", "backend", *words]
        for name in BACKEND:
            if self.flags.get(name):
                line += [BY_NAME[name].flag, self.flags[name]]
        if self.env_file:
            line += ["--env-file", self.env_file]
        return shlex.join(line)


def invocation(params: Mapping[str, Any], extra: Mapping[str, str | None] | None = None) -> Invocation:
    """Read files and environment; `extra` are settings given as arguments, which win over all others."""
    flags = {one.name: params.get(parameter(one.name)) for one in SETTINGS if one.flag}
    values = environment.merged({**flags, **(extra or {})}, params.get("env_file"), os.environ, Path.cwd())
    timeout = params.get("timeout") or ""
    wrong = duration(timeout) if timeout else ""
    return Invocation(
        values=environment.with_paths(values, Path.cwd()),
        output=params["output"],
        timeout=float(seconds(timeout)) if timeout and not wrong else None,
        wait=params["wait"],
        yes=params["yes"],
        inline=params["inline"],
        env_file=params.get("env_file") or "",
        flags={name: value for name, value in flags.items() if value},
        named_namespace=bool(params.get(parameter(CLUSTER_NS.name))),
        problems=[f"--timeout {timeout!r} {wrong}."] if wrong else [],
        below_flags=environment.origins(KEPT, params.get("env_file"), os.environ, Path.cwd()),
    )


def backend_invocation(
    params: Mapping[str, Any], name: str | None = None, *checks: Callable[[], object]
) -> "tuple[Invocation, ClusterSpec]":
    """Return the invocation of a command about a backend and its spec; `name` is the one given by --name."""
    from planning.settings.spec import backend_spec, profile_name  # noqa: PLC0415 - pydantic: not for --help

    asked = invocation(params)
    named = [lambda: profile_name(name)] if name is not None else []
    return asked, asked.validated(lambda: backend_spec(asked.values), *named, *checks)
