"""Log files, fit to be shown: no terminal escapes, no credentials, bounded."""

import codecs
import re
from pathlib import Path

from clients.backend.polling import PollingInterval
from domain.messages.backend import LogChunk, LogRequest
from domain.ports import Beat
from planning.text.sanitize import scrub

_BYTES = 16 << 10
_LINES = 15
_LINE = 300  # characters
_MOST = 1 << 20  # bytes of one chunk
_TRACE = re.compile(r"\++ \S")  # of `set -x`: a sign for each level, a blank, the command


def tail(path: Path) -> str:
    """Return the last lines, empty when there is no log."""
    lines = [line[:_LINE] for line in _end(path).splitlines() if line.strip()]
    return "\n".join(lines[-_LINES:])


def last_line(path: Path) -> str:
    """Return the last line that is neither blank nor a trace of a shell with `set -x`."""
    lines = [line.strip() for line in _end(path).splitlines()]
    said = [line for line in lines if line and not _TRACE.match(line)]
    return said[-1][:_LINE] if said else ""


def read_chunk(path: Path, request: LogRequest, beat: Beat) -> LogChunk:
    """Whole lines from `request.offset` on, as they come; one that does not end is given once the wait is over."""
    pace, waited = PollingInterval(beat, 0.05, 0.25), 0.0
    limit = min(max(4, request.limit), _MOST)  # a whole character at least
    while True:
        late = waited >= request.wait
        chunk = _read(path, request.offset, limit, partial=late)
        if chunk is not None and (chunk.text or chunk.next != chunk.offset):
            return chunk
        if late:
            return chunk or LogChunk(offset=max(0, request.offset), next=max(0, request.offset), exists=False)
        waited += pace.rest(lambda: f"waiting for more of the log of {request.step}")


def _read(path: Path, offset: int, limit: int, *, partial: bool) -> LogChunk | None:
    """None when there is no log. Cut at the end of a line, so that no credential is cut in two."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            start = max(0, size - limit) if offset < 0 else 0 if offset > size else offset
            file.seek(start)
            data = file.read(limit)
    except FileNotFoundError:
        return None
    if offset < 0 < start:
        start, data = start + data.find(b"\n") + 1, data[data.find(b"\n") + 1 :]
    end = data.rfind(b"\n") + 1
    if not end and (partial or len(data) == limit):
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        decoder.decode(data)
        end = len(data) - len(decoder.getstate()[0])  # not within a character
    return LogChunk(text=scrub(data[:end].decode(errors="replace")), offset=start, next=start + end)


def _end(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _BYTES))
            return scrub(file.read(_BYTES).decode(errors="replace"))
    except FileNotFoundError:
        return ""
