"""Reading a log in pieces, from its end backwards and as it grows."""

import pytest

from domain.messages.backend import LogChunk, LogRequest
from domain.spec import Backend
from starter.temporal import backend_log

REQUEST = LogRequest(backend=Backend(), profile="example", step="setup", limit=10)


class Log:
    """A file that is read as the worker reads it."""

    def __init__(self, text: str, *later: str) -> None:
        """`later` is appended piece by piece, one before each read that waits."""
        self.text = text
        self.later = list(later)

    async def read(self, request: LogRequest) -> LogChunk:
        """Return the chunk that was asked for."""
        if request.wait and self.later:
            self.text += self.later.pop(0)
        start = request.offset if request.offset >= 0 else max(0, len(self.text) - request.limit)
        piece = self.text[start : start + request.limit]
        return LogChunk(text=piece, offset=start, next=start + len(piece))


@pytest.mark.parametrize("count", [0, 1, 3, 20])
async def test_the_last_lines_are_read_backwards(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of lines is as requested, however small the chunks, and no line is cut."""
    monkeypatch.setattr(backend_log, "CHUNK_BYTES", 10)
    lines = [f"line {number}\n" for number in range(12)]
    chunk = await backend_log.tail(Log("".join(lines)).read, REQUEST, count)
    assert chunk.text == "".join(lines[-count:] if count else [])
    assert chunk.next == len("".join(lines))


async def test_a_log_begun_anew_meanwhile_is_not_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk read backwards must end where the next one begins."""
    monkeypatch.setattr(backend_log, "CHUNK_BYTES", 10)
    log = Log("old old old old old\n")

    async def read(request: LogRequest) -> LogChunk:
        chunk = await log.read(request)
        log.text = "new\n"
        return chunk

    assert (await backend_log.tail(read, REQUEST, 5)).text == "d old old\n"


async def test_following_ends_when_the_step_is_over_and_all_is_written() -> None:
    """Lines written between the end of the step and the last read are not lost."""
    log = Log("begin\n", "middle\n", "end\n")
    written: list[str] = []
    answers = [False, False, True, True]

    async def over() -> bool:
        return answers.pop(0)

    first = REQUEST.model_copy(update={"offset": 6, "wait": 1.0, "limit": 100})
    await backend_log.pursue(log.read, first, over, written.append)
    assert "".join(written) == "middle\nend\n"
    assert answers == [True]
