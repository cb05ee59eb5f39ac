"""Processes that end without finalizing the interpreter."""

import subprocess
import sys

import pytest

from sandbox.settings import REPOSITORY

HEAD = "import atexit, sys\nfrom connection.ending import end_with\natexit.register(print, 'finalized')\n"


@pytest.mark.parametrize(
    ("run", "code", "out", "err"),
    [
        ("lambda: 0", 0, "", ""),
        ("lambda: print('told') or 5", 5, "told\n", ""),
        ("lambda: sys.exit(2)", 2, "", ""),
        ("lambda: sys.exit()", 0, "", ""),
        ("lambda: sys.exit('words')", 1, "", ""),
        ("lambda: 1 / 0", 1, "", "ZeroDivisionError"),
    ],
)
def test_the_exit_code_is_that_of_the_work(run: str, code: int, out: str, err: str) -> None:
    """What was written is read, and nothing of the interpreter's end runs that could crash."""
    words = [sys.executable, "-c", f"{HEAD}end_with({run})"]
    ended = subprocess.run(words, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert (ended.returncode, ended.stdout) == (code, out)
    assert err in ended.stderr
