"""What people and programs read: data on stdout alone, progress on stderr, nothing that a terminal would obey."""

import json
import os
import sys
import time
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from domain.images import TransferProgress

DETAIL_EVERY = 10.0  # seconds
TRANSFER_EVERY = 30.0  # seconds; what moves bytes also says each tenth
NARROW, LOW = 110, 24  # columns and rows, where the terminal does not say


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


def width(text: str) -> int:
    """Columns that it takes on a terminal."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)


def fitted(text: str, columns: int) -> str:
    """As much of it as fits."""
    while width(text) > columns:
        text = text[: len(text) - max((width(text) - columns) // 2, 1)]
    return text


class Progress:
    """One line a change; on a terminal the lines of one phase overwrite each other, and bars show what moves bytes."""

    def __init__(self) -> None:
        """Nothing shown yet."""
        self._lines: list[str] = []
        self._without = ""  # the first line without its detail
        self._topic = ""
        self._tenth = ""
        self._trouble = ""
        self._said = 0.0
        self._open = False  # the cursor stands behind an unfinished line, the last of `_lines`

    def show(self, line: str, topic: str, detail: str = "", transfer: "TransferProgress | None" = None) -> None:
        """Show a line that differs from the last one; `topic` is the phase it belongs to.

        `detail` changes often: it is followed on a terminal only, elsewhere it is a line every DETAIL_EVERY seconds.
        With a `transfer`, whose sentence `detail` has, that is a line for each tenth of it, or every TRANSFER_EVERY
        seconds, and on a terminal bars in place of the sentence.
        """
        full = joined(f"{line}: {detail}" if detail else line)
        lines = _painting(full, transfer) if _lively() else [full]
        now, tenth = time.monotonic(), _tenth(transfer)
        pause = TRANSFER_EVERY if transfer else DETAIL_EVERY
        early = now - self._said < pause and (not transfer or tenth == self._tenth)
        if lines == self._lines or (not _lively() and line == self._without and early):
            return
        self._without, self._tenth, self._said = line, tenth, now
        if _lively():
            self._paint(lines, topic)
        else:
            click.echo(full, err=True)
        self._lines, self._topic, self._open = lines, topic, _lively()

    def _paint(self, lines: list[str], topic: str) -> None:
        overwrite = self._open and topic == self._topic and self._intact()
        if self._open and not overwrite:
            click.echo(err=True)
        click.echo((self._erasure() if overwrite else "") + "\n".join(lines), err=True, nl=False)

    def _intact(self) -> bool:
        """Nobody made the terminal so small meanwhile that lines wrapped, which moves what would be overwritten."""
        return _height() > len(self._lines) and all(width(line) < _columns() for line in self._lines)

    def _erasure(self) -> str:
        above = len(self._lines) - 1
        return f"\r\x1b[{above}A\x1b[J" if above else "\r\x1b[2K"

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
            click.echo(self._erasure() if self._intact() else "\n", err=True, nl=False)
            self._open, self._lines = False, []
        note(" ".join(line.split()) if not head else line, head=head)

    def end(self) -> None:
        """Leave the last line as it is."""
        if self._open:
            click.echo(err=True)
            self._open, self._lines = False, []


def joined(text: str) -> str:
    """Clean, and on one line."""
    return " ".join(clean(text).split())


def _tenth(transfer: "TransferProgress | None") -> str:
    """Stays the same within a tenth of one transfer."""
    return f"{transfer.verb} {transfer.done * 10 // (transfer.total or 1)}" if transfer and transfer.total else ""


def _painting(full: str, transfer: "TransferProgress | None") -> list[str]:
    """Lines of which none wraps; those of a transfer only where there is room for them."""
    room = _columns() - 1  # a wrapped line could not be overwritten
    moving = transfer is not None and transfer.settled < transfer.count
    lines = _with_bars(full, transfer, room) if transfer and moving else [full]
    return [fitted(_sayable(shown), room) for shown in (lines if len(lines) < _height() else [full])]


def _with_bars(full: str, transfer: "TransferProgress", room: int) -> list[str]:
    """What is said beside the bars, such as why something is tried again, stays in the line."""
    from planning.transfer import sentence  # noqa: PLC0415 - not for --help
    from starter.bars import FINE, PLAIN, bars  # noqa: PLC0415 - same

    line = joined(full.replace(joined(sentence(transfer)), "")).removesuffix(":")
    return [line, *bars(transfer, room, FINE if _sayable(FINE) == FINE else PLAIN)]


def _sayable(text: str) -> str:
    """What the terminal's encoding lacks would be written as an escape, and that is longer."""
    return text.encode(sys.stderr.encoding, "replace").decode(sys.stderr.encoding)


def _lively() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _columns() -> int:
    return _size().columns or NARROW


def _height() -> int:
    return _size().lines or LOW


def _size() -> os.terminal_size:
    try:
        return os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):
        return os.terminal_size((NARROW, LOW))
