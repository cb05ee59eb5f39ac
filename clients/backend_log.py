"""The ends of log files, fit to be shown: no terminal escapes, no credentials, bounded."""

from pathlib import Path

from planning.text import scrub

_BYTES = 16 << 10
_LINES = 15
_LINE = 300  # characters


def tail(path: Path) -> str:
    """The last lines, empty when there is no log."""
    lines = [line[:_LINE] for line in _end(path).splitlines() if line.strip()]
    return "\n".join(lines[-_LINES:])


def last_line(path: Path) -> str:
    """The last line that is not blank."""
    lines = [line.strip() for line in _end(path).splitlines() if line.strip()]
    return lines[-1][:_LINE] if lines else ""


def _end(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _BYTES))
            return scrub(file.read(_BYTES).decode(errors="replace"))
    except FileNotFoundError:
        return ""
