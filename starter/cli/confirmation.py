"""Confirmation of a command that deletes: a name typed on a terminal, elsewhere `--yes`."""

import sys

import click

from starter.cli import exits


def require_terminal(command: str, example: str, *, confirmed: bool, needs: str = "--yes") -> None:
    """Raise Exit INVALID when neither flags confirm the command nor a terminal can ask; `example` does confirm it."""
    if not confirmed and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise exits.Exit(
            exits.INVALID,
            f"{command} outside a terminal needs {needs}; nothing was contacted. For example:",
            [f"  {example}"],
        )


def confirm(request: str, name: str, unchanged: str) -> None:
    """Ask the user to type `name`; raise Exit INVALID on anything else, with `unchanged` for what did not happen."""
    typed = click.prompt(f"{request} ({name})", err=True).strip()
    if typed != name:
        raise exits.Exit(exits.INVALID, f"{typed!r} is not {name!r}; {unchanged}")
