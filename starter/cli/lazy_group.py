"""A group of commands that loads a command's module only when that command is called, to keep `--help` fast."""

import difflib
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

Table = Mapping[str, tuple[str, str]]  # command → module of starter, and what the overview says of it


class LazyGroup(click.Group):
    """Commands with dashes or underscores; the first line of a command's help is its summary in the table."""

    def __init__(self, *args: Any, table: Table, aliases: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        """Take the table, and `aliases` from other names of a command to its own."""
        super().__init__(*args, **kwargs)
        self.table = table
        self._aliases = aliases or {}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the commands in the order of use, not of the alphabet."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's
        """Load the command's module."""
        name = cmd_name.lower().replace("_", "-")
        name = self._aliases.get(name, name)
        if name not in self.table:
            return None
        module = import_module(f"starter.commands.{self.table[name][0]}")
        command: click.Command = getattr(module, name.replace("-", "_") + "_command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve as click does, with a guess at what was meant."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-") and not ctx.resilient_parsing:
            near = difflib.get_close_matches(name, self.table, 1)
            ctx.fail(f"there is no command {name!r}" + (f"; did you mean {near[0]!r}?" if near else "."))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Write the overview from the table, without loading a command."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in self.table.items()])
