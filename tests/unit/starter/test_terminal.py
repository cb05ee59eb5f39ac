"""What differs on a terminal: a question before a tear-down, and lines that overwrite each other."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BASE = {"PATH": os.environ["PATH"], "TERM": "xterm", "PYTHONPATH": str(ROOT), "TEMPORAL_ADDRESS": "127.0.0.1:1"}
PROGRESS = (
    "from starter.output import Progress, note, painted\n"
    "p = Progress()\n"
    "for line, topic in [('a 1', 'a'), ('a 2', 'a'), ('b 1', 'b')]: p.show(line, topic)\n"
    "p.end(); note('', head=painted('end', 'green'))\n"
)


def _on_terminal(words: list[str], typed: str = "", **extra: str) -> tuple[int, str]:
    """Exit code, and what the terminal received from stderr."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, *words],
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**BASE, **extra},
        cwd="/",
    )
    os.close(theirs)
    if typed:
        os.write(ours, f"{typed}\n".encode())
    said = b""
    while True:
        try:
            data = os.read(ours, 4096)
        except OSError:  # the other side was closed
            break
        if not data:
            break
        said += data
    os.close(ours)
    return process.wait(), said.decode()


@pytest.mark.parametrize(
    ("typed", "code", "words"),
    [
        ("provers", 5, "Temporal does not answer"),
        ("prover", 2, "'prover' is not 'provers'; nothing was contacted"),
    ],
)
def test_tear_down_asks_for_the_name(typed: str, code: int, words: str) -> None:
    """Only the right name goes on, which here ends at a Temporal that is not there."""
    ended = _on_terminal(["-m", "starter", "tear-down", "-n", "provers"], typed)
    assert ended[0] == code
    assert "Type the namespace to tear down (provers)" in ended[1]
    assert words in " ".join(ended[1].split())


def test_with_yes_it_does_not_ask() -> None:
    """Also on a terminal."""
    code, said = _on_terminal(["-m", "starter", "tear-down", "--yes"])
    assert code == 5
    assert "Type the namespace" not in said


def test_lines_of_one_phase_overwrite_each_other() -> None:
    """A new phase begins a new line; what is said stays."""
    assert _on_terminal(["-c", PROGRESS])[1] == "a 1\r\x1b[2Ka 2\r\nb 1\r\n\x1b[32mend\x1b[0m\r\n"


def test_a_line_that_stays_takes_the_place_of_an_unfinished_one() -> None:
    """So that the settled steps of a backend stand one below the other."""
    code = (
        "from starter.output import Progress\n"
        "p = Progress()\n"
        "p.show('busy', 'a'); p.settle('done'); p.show('busy', 'a'); p.end()\n"
    )
    assert _on_terminal(["-c", code])[1] == "busy\r\x1b[2Kdone\r\nbusy\r\n"


def test_no_colour_where_it_is_not_wanted() -> None:
    """NO_COLOR takes the colours, a dumb terminal the overwriting too."""
    assert "\x1b[32m" not in _on_terminal(["-c", PROGRESS], NO_COLOR="1")[1]
    assert _on_terminal(["-c", PROGRESS], TERM="dumb")[1] == "a 1\r\na 2\r\nb 1\r\nend\r\n"
