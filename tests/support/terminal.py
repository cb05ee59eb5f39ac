"""A command on a terminal of its own."""

import os
import pty
import subprocess
import termios


def on_terminal(
    words: list[str], environ: dict[str, str], typed: str = "", size: tuple[int, int] = (0, 0)
) -> tuple[int, str]:
    """Exit code, and what a terminal of so many rows and columns received from stderr; with 0 it does not say."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, size)
    process = subprocess.Popen(
        words, stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs, env={"TERM": "xterm", **environ}, cwd="/"
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
