"""The flags of every command, and those of the settings, made from one table."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from planning.settings.setting import Setting
from planning.settings.table import BACKEND, BY_NAME, CLUSTER, CLUSTER_NS, PROBE, SETTINGS

Function = Callable[..., Any]
Decorator = Callable[[Function], Function]


def command(name: str, *examples: str, **context_settings: Any) -> Callable[[Function], click.Command]:
    """Return the decorator of a command whose help ends with examples."""
    lines = ["\b", "Examples:" if len(examples) > 1 else "Example:", *(f"  {example}" for example in examples)]
    return click.command(name, epilog="\n".join(lines), context_settings=context_settings)


def everywhere(function: Function) -> Function:
    """Add the flags that every command takes."""
    return _all(
        [
            setting(CLUSTER_NS),
            setting(CLUSTER),
            click.option(
                "-o",
                "--output",
                type=click.Choice(["text", "json", "yaml"]),
                default="text",
                help="Format of the data.",
            ),
            click.option("--timeout", help="Stop waiting after this time, e.g. 90s; the command itself goes on."),
            click.option(
                "--wait/--no-wait", default=True, help="Wait for the outcome (default), or return once it is accepted."
            ),
            click.option("--yes", is_flag=True, help="Answer yes to every question."),
            click.option("--inline", is_flag=True, help="Run a worker in this process while it waits."),
            click.option("--env-file", help="File of NAME=value lines, which take precedence over the environment."),
        ]
    )(function)


def settings(*groups: str, but: Sequence[str] = ()) -> Decorator:
    """Return the decorator with the flags of these groups of settings (none: of all that a deploy takes)."""
    chosen = [one for one in SETTINGS if one.flag and one not in (CLUSTER, CLUSTER_NS) and one.name not in but]
    return _all([setting(one) for one in chosen if one.group in groups or (not groups and one.group != PROBE)])


def backend(function: Function) -> Function:
    """Add the flags of every command about a backend."""
    common = [CLUSTER.name, CLUSTER_NS.name]
    return _all([*(setting(BY_NAME[name]) for name in BACKEND if name not in common), everywhere])(function)


def setting(one: Setting) -> Decorator:
    """Return the flag of one setting; its value stays text, so that all problems are found together."""
    origin = f"[{one.name}{', default: ' + one.default if one.default else ''}]"
    names = [one.flag, *([one.short] if one.short else []), parameter(one.name)]
    if one.switch:
        return click.option(*names, flag_value="true", default=None, help=f"{one.help}  {origin}")
    return click.option(*names, metavar="TEXT", help=f"{one.help}  {origin}")


def by_name(name: str) -> Setting:
    """Return one setting of the table."""
    return BY_NAME[name]


def parameter(name: str) -> str:
    """Return the name of the parameter in which click passes a setting's flag."""
    return name.lower()


def direct(function: Function) -> Function:
    """Add the flag for reading without Temporal or a worker."""
    text = "Read the cluster with your own kubeconfig (KUBECONFIG), without Temporal or a worker."
    return click.option("--direct", is_flag=True, help=text)(function)


def not_yet(flag: str) -> Decorator:
    """Return a hidden flag of a later version: given, it is refused instead of ignored."""

    def refuse(_context: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value:
            raise click.UsageError(f"{flag} is not available yet.")

    return click.option(flag, is_flag=True, hidden=True, expose_value=False, callback=refuse)


def _all(decorators: Sequence[Decorator]) -> Decorator:
    """Return one decorator for several, which help lists in this order."""

    def apply(function: Function) -> Function:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply
