"""What people and programs read: data on stdout alone, progress on stderr, nothing that a terminal would obey."""

import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import click

DETAIL_EVERY = 10.0  # seconds
NARROW = 110  # columns, where the terminal does not say


def data(value: Any, form: str, text: str) -> None:
    """`value` as JSON or YAML, or `text` for people."""
    click.echo({"json": as_json, "yaml": as_yaml}[form](value) if form != "text" else clean(text))


def as_json(value: Any) -> str:
    """Indented; programs do not mind, and people look at it too."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def as_yaml(value: Any) -> str:
    """One document."""
    import yaml  # noqa: PLC0415 - only those who ask for it pay

    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    return text.rstrip("\n")


def note(line: str, *, head: str = "") -> None:
    """One line for people, on stderr; `head` is ours and may be painted."""
    click.echo(head + clean(line), err=True)


def warn(lines: Sequence[str]) -> None:
    """Warnings, one a line."""
    for line in lines:
        note(line, head=painted("warning: ", "yellow"))


def painted(text: str, colour: str) -> str:
    """In colour on a terminal that wants it."""
    return click.style(text, fg=colour) if _lively() and not os.environ.get("NO_COLOR") else text


def clean(text: str) -> str:
    """Pods, registries and git write parts of what is shown: no escape sequence of theirs gets through."""
    from planning.text import printable  # noqa: PLC0415 - not for --help

    return printable(text)


def table(rows: Sequence[Sequence[str]], *, indent: str = "") -> str:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(indent + line.rstrip() for line in padded)


class Progress:
    """One line a change; on a terminal the lines of one phase overwrite each other."""

    def __init__(self) -> None:
        """Nothing shown yet."""
        self._line = ""
        self._without = ""  # its detail
        self._topic = ""
        self._trouble = ""
        self._said = 0.0
        self._open = False  # the cursor stands behind an unfinished line

    def show(self, line: str, topic: str, detail: str = "") -> None:
        """Show a line that differs from the last one; `topic` is the phase it belongs to.

        `detail` changes often: it is followed on a terminal only, elsewhere it is a line every DETAIL_EVERY seconds.
        """
        full = " ".join(clean(f"{line}: {detail}" if detail else line).split())
        now = time.monotonic()
        hurry = not _lively() and line == self._without and now - self._said < DETAIL_EVERY
        if full == self._line or hurry:
            return
        overwrite = _lively() and self._open and topic == self._topic
        if self._open and not overwrite:
            click.echo(err=True)
        self._line, self._without, self._topic, self._said = full, line, topic, now
        if _lively():
            shown = full[: _columns() - 1]  # a wrapped line could not be overwritten
            click.echo(f"\r\x1b[2K{shown}" if overwrite else shown, err=True, nl=False)
            self._open = True
        else:
            click.echo(full, err=True)

    def trouble(self, key: str, head: str, text: str) -> None:
        """Say once what is wrong; the same `key` is the same trouble, an empty one is none."""
        if key and key != self._trouble:
            self.end()
            note(" ".join(text.split()), head=painted(f"! {clean(head)}", "yellow"))
        self._trouble = key

    def say(self, line: str) -> None:
        """A line that stays."""
        self.end()
        note(line)

    def settle(self, line: str, *, head: str = "") -> None:
        """A line that stays and takes the place of an unfinished one."""
        if self._open:
            click.echo("\r\x1b[2K", err=True, nl=False)
            self._open, self._line = False, ""
        note(" ".join(line.split()) if not head else line, head=head)

    def end(self) -> None:
        """Leave the last line as it is."""
        if self._open:
            click.echo(err=True)
            self._open, self._line = False, ""


def _lively() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or NARROW
    except (OSError, ValueError):
        return NARROW
