"""Pieces of logs: by offset, clean, whole lines, also of a log that grows or is begun anew."""

import threading
from pathlib import Path

import pytest

from clients.backend.host import LocalBackendHost
from clients.backend.logs import last_line, read_chunk
from domain.errors import SettingsInvalid
from domain.messages.backend import LogChunk, LogRequest
from domain.spec import Backend


def _chunk(path: Path, offset: int = -1, *, limit: int = 32768, wait: float = 0.0) -> LogChunk:
    wanted = LogRequest(backend=Backend(), profile="demo", step="s", offset=offset, limit=limit, wait=wait)
    return read_chunk(path, wanted, lambda _: None)


def test_a_log_in_pieces(tmp_path: Path) -> None:
    """Pieces end with lines and follow one another without a gap; all of them together are the log."""
    path, text = tmp_path / "log", "".join(f"line {number}\n" for number in range(50))
    path.write_text(text)
    got, offset = "", 0
    while (chunk := _chunk(path, offset, limit=64)).text:
        assert (chunk.offset, chunk.text[-1]) == (offset, "\n")
        got, offset = got + chunk.text, chunk.next
    assert (got, offset) == (text, len(text))


def test_the_end_of_a_log(tmp_path: Path) -> None:
    """A negative offset means the last whole lines within the limit."""
    path = tmp_path / "log"
    path.write_text("first line\nsecond\nthird\n")
    chunk = _chunk(path, limit=15)
    assert (chunk.text, chunk.offset, chunk.next) == ("second\nthird\n", 11, 24)
    assert _chunk(path).text == "first line\nsecond\nthird\n"


def test_clean_text(tmp_path: Path) -> None:
    """No terminal escapes and no credentials, also not when a piece would end within one."""
    path = tmp_path / "log"
    path.write_bytes(b"\x1b[31mred\x1b[0m\nPASSWORD=canary-1\nPASSWORD=can")
    assert _chunk(path, 0).text == "red\nPASSWORD=***\n"
    assert "canary" not in _chunk(path, 0, limit=24).text


def test_a_line_without_an_end(tmp_path: Path) -> None:
    """It is given once nobody waits for its end any more; one longer than the limit in pieces of whole characters."""
    path = tmp_path / "log"
    path.write_text("done\nprompt>")
    assert _chunk(path, 5).text == "prompt>"
    path.write_text("é" * 40)
    first = _chunk(path, 0, limit=31)
    assert (first.text, first.next) == ("é" * 15, 30)
    assert _chunk(path, first.next, limit=64).text == "é" * 25


def test_begun_anew(tmp_path: Path) -> None:
    """An offset behind the end means that the log was begun anew: it is read from its beginning."""
    path = tmp_path / "log"
    path.write_text("new\n")
    chunk = _chunk(path, 1000)
    assert (chunk.text, chunk.offset, chunk.next) == ("new\n", 0, 4)


def test_waiting_for_more(tmp_path: Path) -> None:
    """It returns as soon as a line is there, or says after the wait that nothing came; also of a log yet to come."""
    path = tmp_path / "log"
    assert _chunk(path, 0, wait=0.1) == LogChunk(exists=False)
    timer = threading.Timer(0.2, lambda: path.write_text("hello\n"))
    timer.start()
    assert _chunk(path, 0, wait=30).text == "hello\n"
    timer.join()
    assert _chunk(path, 6, wait=0.1) == LogChunk(offset=6, next=6)


@pytest.mark.parametrize("step", ["other", "../secret", ""])
def test_an_unknown_step(tmp_path: Path, step: str) -> None:
    """It is refused with the names of those that have logs; a name cannot lead anywhere else."""
    logs = tmp_path / "backend" / "demo" / "logs"
    logs.mkdir(parents=True)
    (tmp_path / "backend" / "demo" / "secret.log").touch()
    for name in ("build", "build.stop", "serve"):
        (logs / f"{name}.log").touch()
    host = LocalBackendHost(tmp_path, {})
    with pytest.raises(SettingsInvalid, match=r"steps with a log: build, build\.stop, serve"):
        host.read_log(LogRequest(backend=Backend(), profile="demo", step=step), lambda _: None)
    wanted = LogRequest(backend=Backend(), profile="demo", step="build.stop")
    assert host.read_log(wanted, lambda _: None).exists


def test_the_last_line_is_no_trace(tmp_path: Path) -> None:
    """What a shell with `set -x` writes follows what was said; `+` alone, or of a program, is no trace."""
    path = tmp_path / "log"
    path.write_text("+ make\nno rule to make x\n++ date\n+ [[ -z yes ]]\n\n")
    assert last_line(path) == "no rule to make x"
    path.write_text("+ [[ -z yes ]]\n")
    assert last_line(path) == ""
    path.write_text("before\n+3 files\n")
    assert last_line(path) == "+3 files"
