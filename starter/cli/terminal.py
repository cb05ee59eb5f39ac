"""Write data to stdout and progress to stderr, without control sequences from elsewhere."""

import json
import os
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

import click

DEFAULT_COLUMNS, DEFAULT_ROWS = 110, 24  # columns and rows, where the terminal does not say


def data(value: Any, form: str, text: str) -> None:
    """Write `value` to stdout as JSON or YAML, or `text` for people."""
    click.echo({"json": as_json, "yaml": as_yaml}[form](value) if form != "text" else clean(text))


def as_json(value: Any) -> str:
    """Return indented JSON, for programs and people alike."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def as_yaml(value: Any) -> str:
    """Return one YAML document."""
    import yaml  # noqa: PLC0415 - loaded for YAML alone

    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    return text.rstrip("\n")


def note(line: str, *, head: str = "") -> None:
    """Write one line for people to stderr; `head` is ours and may be coloured."""
    click.echo(head + clean(line), err=True)


def warn(lines: Sequence[str]) -> None:
    """Write warnings to stderr, one a line."""
    for line in lines:
        note(line, head=coloured("warning: ", "yellow"))


def coloured(text: str, colour: str) -> str:
    """Return the text in colour on a terminal that wants it."""
    return click.style(text, fg=colour) if is_interactive() and not os.environ.get("NO_COLOR") else text


def clean(text: str) -> str:
    """Remove escape sequences, since pods, registries and git write parts of what is shown."""
    from planning.text.sanitize import printable  # noqa: PLC0415 - not for --help

    return printable(text)


def table(rows: Sequence[Sequence[str]], *, indent: str = "") -> str:
    """Return columns as wide as their widest cell."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    padded = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(indent + line.rstrip() for line in padded)


def width(text: str) -> int:
    """Return the columns that the text takes on a terminal."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)


def fitted(text: str, columns: int) -> str:
    """Return as much of the text as fits."""
    while width(text) > columns:
        text = text[: len(text) - max((width(text) - columns) // 2, 1)]
    return text


def joined(text: str) -> str:
    """Return the text clean and on one line."""
    return " ".join(clean(text).split())


def encodable(text: str) -> str:
    """Replace characters that are not in the terminal's encoding, since their escapes would be longer."""
    return text.encode(sys.stderr.encoding, "replace").decode(sys.stderr.encoding)


def is_interactive() -> bool:
    """Return whether stderr is a terminal that can overwrite lines."""
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def columns() -> int:
    """Return the columns of the terminal."""
    return _size().columns or DEFAULT_COLUMNS


def height() -> int:
    """Return the rows of the terminal."""
    return _size().lines or DEFAULT_ROWS


def _size() -> os.terminal_size:
    try:
        return os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):
        return os.terminal_size((DEFAULT_COLUMNS, DEFAULT_ROWS))
