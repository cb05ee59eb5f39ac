"""Behaviour on a terminal alone: a question before a tear-down, and lines that overwrite each other."""

import os
import sys

import pytest

from sandbox.settings import REPOSITORY
from tests.support.terminal import on_terminal

BASE = {"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "TEMPORAL_ADDRESS": "127.0.0.1:1"}
PROGRESS = (
    "from starter.cli.progress import Progress; from starter.cli.terminal import note, coloured\n"
    "p = Progress()\n"
    "for line, topic in [('a 1', 'a'), ('a 2', 'a'), ('b 1', 'b')]: p.show(line, topic)\n"
    "p.end(); note('', head=coloured('end', 'green'))\n"
)
TRANSFER = (
    "import termios\n"
    "from domain.images import LayerProgress, TransferProgress\n"
    "from planning.image.transfer import sentence\n"
    "from starter.cli.progress import Progress; from starter.cli.terminal import note\n"
    "p = Progress()\n"
    "def told(done):\n"
    "    layers = [LayerProgress(title='a.key', done=done, total=500), LayerProgress(title='b', done=0, total=500)]\n"
    "    return TransferProgress(verb='pushing', layers=layers, count=2, done=done, total=1000)\n"
    "def show(done, more=''): p.show('push', 'image', sentence(told(done)) + more, told(done))\n"
)


def _on_terminal(words: list[str], typed: str = "", size: tuple[int, int] = (0, 0), **extra: str) -> tuple[int, str]:
    """Exit code, and what the terminal received from the standard error of a Python program."""
    return on_terminal([sys.executable, *words], {**BASE, **extra}, typed, size)


@pytest.mark.parametrize(
    ("typed", "code", "words"),
    [
        ("provers", 5, "Temporal does not answer"),
        ("prover", 2, "'prover' is not 'provers'; nothing was contacted"),
    ],
)
def test_tear_down_asks_for_the_name(typed: str, code: int, words: str) -> None:
    """The command continues with the right name alone, here to a Temporal that is not there."""
    ended = _on_terminal(["-m", "starter", "tear-down", "-n", "provers"], typed)
    assert ended[0] == code
    assert "Type the namespace to tear down (provers)" in ended[1]
    assert words in " ".join(ended[1].split())


def test_with_yes_it_does_not_ask() -> None:
    """The flag answers the question on a terminal, too."""
    code, said = _on_terminal(["-m", "starter", "tear-down", "--yes"])
    assert code == 5
    assert "Type the namespace" not in said


def test_lines_of_one_phase_overwrite_each_other() -> None:
    """A new phase begins a new line; what is said stays."""
    assert _on_terminal(["-c", PROGRESS])[1] == "a 1\r\x1b[2Ka 2\r\nb 1\r\n\x1b[32mend\x1b[0m\r\n"


def test_a_line_that_stays_takes_the_place_of_an_unfinished_one() -> None:
    """The settled steps of a backend stay one below the other."""
    code = (
        "from starter.cli.progress import Progress\n"
        "p = Progress()\n"
        "p.show('busy', 'a'); p.settle('done'); p.show('busy', 'a'); p.end()\n"
    )
    assert _on_terminal(["-c", code])[1] == "busy\r\x1b[2Kdone\r\nbusy\r\n"


def test_no_colour_where_it_is_not_wanted() -> None:
    """NO_COLOR takes the colours, a dumb terminal the overwriting too."""
    assert "\x1b[32m" not in _on_terminal(["-c", PROGRESS], NO_COLOR="1")[1]
    assert _on_terminal(["-c", PROGRESS], TERM="dumb")[1] == "a 1\r\na 2\r\nb 1\r\nend\r\n"


def _painted(rest: str, size: tuple[int, int] = (24, 61), **extra: str) -> str:
    code, said = _on_terminal(["-c", TRANSFER + rest], size=size, **{"PYTHONIOENCODING": "utf-8", **extra})
    assert code == 0
    return said


BARS = {
    done: f"push\r\n  pushing 0 of 2 {whole}\r\n  a.key          {part}\r\n  b              {'─' * 20}   0 %"
    for done, whole, part in (
        (100, "━━──────────────────  10 %", "━━━━────────────────  20 %"),
        (400, "━━━━━━━━────────────  40 %", "━━━━━━━━━━━━━━━━────  80 %"),
    )
}
UP = "\r\x1b[3A\x1b[J"


def test_bars_are_painted_in_place() -> None:
    """Each layer has a line below the line of progress; later text begins on a line of its own."""
    assert _painted("show(100); show(100); show(400); p.end(); note('end')") == f"{BARS[100]}{UP}{BARS[400]}\r\nend\r\n"


def test_bars_give_way_to_a_line_again() -> None:
    """The layers are there: nothing of the bars is left."""
    assert _painted("show(100); p.show('push', 'image'); p.end()") == f"{BARS[100]}{UP}push\r\n"
    assert _painted("show(100); p.settle('pushed')") == f"{BARS[100]}{UP}pushed\r\n"
    whole = "done = told(500).model_copy(update={'settled': 2}); p.show('push', 'image', 'waiting', done)"
    assert _painted(f"show(100); {whole}; p.end()") == f"{BARS[100]}{UP}push: waiting\r\n"


def test_trouble_leaves_the_bars_as_they_are() -> None:
    """The bars are drawn again below the trouble."""
    said = _painted("show(100); p.trouble('k', 'oh: ', 'no'); show(400); p.end()", NO_COLOR="1")
    assert said == f"{BARS[100]}\r\n! oh: no\r\n{BARS[400]}\r\n"


def test_a_terminal_that_became_narrow_is_not_painted_over() -> None:
    """Wrapped lines would send the cursor to the wrong place; one that became wider wraps nothing."""
    resize = "show(100); termios.tcsetwinsize(2, (24, {columns})); show(400); p.end()"
    narrow = _painted(resize.format(columns=40))
    assert narrow.startswith(f"{BARS[100]}\r\npush\r\n  pushing 0 of 2  40 %\r\n")
    assert "\x1b" not in narrow
    assert _painted(resize.format(columns=200)).startswith(f"{BARS[100]}{UP}push\r\n")


def test_a_terminal_of_a_few_rows_gets_the_sentence() -> None:
    """Lines that scrolled away could not be coloured over."""
    first, second = (f"push: pushing 2 layers: 0 of 1 kB; a.key {share} %, b 0 %" for share in (20, 80))
    assert _painted("show(100); show(400); p.end()", (4, 61)) == f"{first}\r\x1b[2K{second}\r\n"


def test_bars_in_ascii_and_without_colour() -> None:
    """ASCII serves an encoding without lines, NO_COLOR drops colours; a dumb terminal gets sentences."""
    plain = BARS[100].replace("━", "#").replace("─", ".") + "\r\n"
    assert _painted("show(100); p.end()", PYTHONIOENCODING="ascii") == plain
    assert _painted("show(100); p.end()", NO_COLOR="1") == f"{BARS[100]}\r\n"
    assert _painted("show(100); show(101); p.end()", TERM="dumb").startswith("push: pushing 2 layers: 0 of 1 kB; a.")


def test_what_is_said_beside_the_bars_is_not_lost() -> None:
    """Such as why the registry is asked once more."""
    said = _painted("show(100, ' (trying again: reset)'); p.end()")
    assert said == f"{BARS[100].replace('push', 'push: (trying again: reset)', 1)}\r\n"
