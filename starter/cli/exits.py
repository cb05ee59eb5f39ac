"""The exit codes of the CLI, and the translation of errors to them."""

import sys
from collections.abc import Sequence
from typing import IO, Any

import click

DONE = 0
FAILED = 1  # failed or parked
INVALID = 2  # usage or configuration
REFUSED = 3  # by a check, with the numbers
TIMED_OUT = 4  # the workflow goes on
UNREACHABLE = 5  # Temporal
NO_WORKER = 6
INTERRUPTED = 130  # the workflow goes on


class Exit(click.ClickException):
    """The end of a command with this exit code; `lines` follow the message on stderr."""

    def __init__(self, code: int, message: str, lines: Sequence[str] = ()) -> None:
        """Take one sentence; an empty one was shown before."""
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc]  # click declares it for the class and reads it from the instance
        self.lines = lines

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the message to stderr, so that stdout holds data alone."""
        if self.message:
            click.echo(f"proverctl: {self.message}", err=True, file=file)
        for line in self.lines:
            click.echo(line, err=True, file=file)


def translated(error: Exception) -> Exception:
    """Return the Exit for one of our errors; any other is a fault of the program and is returned as it is."""
    errors = sys.modules.get("domain.errors")  # not loaded: then none of its errors can have been raised
    if errors is None or not isinstance(error, errors.ProverError):
        return error
    if isinstance(error, errors.SettingsInvalid):
        return invalid(error.problems)
    connection = sys.modules.get("connection.errors")
    if connection is not None and isinstance(error, connection.TemporalUnreachable):
        return Exit(UNREACHABLE, str(error))
    return Exit(REFUSED if isinstance(error, errors.Refused) else FAILED, str(error))


def invalid(problems: Sequence[str]) -> Exit:
    """Return the Exit for all problems of the settings at once."""
    count = "1 setting is wrong" if len(problems) == 1 else f"{len(problems)} settings are wrong"
    return Exit(INVALID, f"{count}; nothing was contacted:", [f"  {problem}" for problem in problems])
