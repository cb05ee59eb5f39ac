"""Progress of one command on stderr: lines, and bars on a terminal."""

import time
from typing import TYPE_CHECKING

import click

from starter.cli.terminal import (
    clean,
    coloured,
    columns,
    encodable,
    fitted,
    height,
    is_interactive,
    joined,
    note,
    width,
)

if TYPE_CHECKING:
    from domain.images import TransferProgress

DETAIL_SECONDS = 10.0
TRANSFER_SECONDS = 30.0  # a transfer also has a line for each tenth


class Progress:
    """A line for each change; on a terminal lines of one phase overwrite each other, and transfers have bars."""

    def __init__(self) -> None:
        """Begin without a line."""
        self._lines: list[str] = []
        self._without = ""  # the first line without its detail
        self._topic = ""
        self._tenth = ""
        self._trouble = ""
        self._shown_at = 0.0
        self._open = False  # the cursor is behind an unfinished line, the last of `_lines`

    def show(self, line: str, topic: str, detail: str = "", transfer: "TransferProgress | None" = None) -> None:
        """Show a line that differs from the last one; `topic` is the phase it belongs to.

        `detail` changes often: it is followed on a terminal only, elsewhere it is a line every DETAIL_SECONDS seconds.
        With a `transfer`, whose sentence `detail` has, that is a line for each tenth of it, or every TRANSFER_SECONDS
        seconds, and on a terminal bars in place of the sentence.
        """
        full = joined(f"{line}: {detail}" if detail else line)
        lines = _painting(full, transfer) if is_interactive() else [full]
        now, tenth = time.monotonic(), _tenth(transfer)
        pause = TRANSFER_SECONDS if transfer else DETAIL_SECONDS
        early = now - self._shown_at < pause and (not transfer or tenth == self._tenth)
        if lines == self._lines or (not is_interactive() and line == self._without and early):
            return
        self._without, self._tenth, self._shown_at = line, tenth, now
        if is_interactive():
            self._paint(lines, topic)
        else:
            click.echo(full, err=True)
        self._lines, self._topic, self._open = lines, topic, is_interactive()

    def _paint(self, lines: list[str], topic: str) -> None:
        overwrite = self._open and topic == self._topic and self._intact()
        if self._open and not overwrite:
            click.echo(err=True)
        click.echo((self._erasure() if overwrite else "") + "\n".join(lines), err=True, nl=False)

    def _intact(self) -> bool:
        """Return whether no line has wrapped since, as in a smaller terminal, where others would be overwritten."""
        return height() > len(self._lines) and all(width(line) < columns() for line in self._lines)

    def _erasure(self) -> str:
        above = len(self._lines) - 1
        return f"\r\x1b[{above}A\x1b[J" if above else "\r\x1b[2K"

    def trouble(self, key: str, head: str, text: str) -> None:
        """Write a trouble once; the same `key` is the same trouble, an empty one is none."""
        if key and key != self._trouble:
            self.end()
            note(" ".join(text.split()), head=coloured(f"! {clean(head)}", "yellow"))
        self._trouble = key

    def say(self, line: str) -> None:
        """Write a line that stays."""
        self.end()
        note(line)

    def settle(self, line: str, *, head: str = "") -> None:
        """Write a line that stays and replaces an unfinished one."""
        if self._open:
            click.echo(self._erasure() if self._intact() else "\n", err=True, nl=False)
            self._open, self._lines = False, []
        note(" ".join(line.split()) if not head else line, head=head)

    def end(self) -> None:
        """Leave the last line as it is."""
        if self._open:
            click.echo(err=True)
            self._open, self._lines = False, []


def _tenth(transfer: "TransferProgress | None") -> str:
    """Return a text that stays the same within a tenth of one transfer."""
    return f"{transfer.verb} {transfer.done * 10 // (transfer.total or 1)}" if transfer and transfer.total else ""


def _painting(full: str, transfer: "TransferProgress | None") -> list[str]:
    """Return lines of which none wraps; bars only where there is room for them."""
    room = columns() - 1  # a wrapped line could not be overwritten
    moving = transfer is not None and transfer.settled < transfer.count
    lines = _with_bars(full, transfer, room) if transfer and moving else [full]
    return [fitted(encodable(shown), room) for shown in (lines if len(lines) < height() else [full])]


def _with_bars(full: str, transfer: "TransferProgress", room: int) -> list[str]:
    """Return the bars below a line that keeps what the transfer does not say, such as the reason of a retry."""
    from planning.image.transfer import sentence  # noqa: PLC0415 - not for --help
    from starter.cli.progress_bars import ASCII_GLYPHS, LINE_GLYPHS, bars  # noqa: PLC0415 - same

    line = joined(full.replace(joined(sentence(transfer)), "")).removesuffix(":")
    return [line, *bars(transfer, room, LINE_GLYPHS if encodable(LINE_GLYPHS) == LINE_GLYPHS else ASCII_GLYPHS)]
