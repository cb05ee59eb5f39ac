"""Run a system command and say clearly which one failed and what it said."""

import subprocess
from collections.abc import Mapping

from sandbox.errors import WorldError


def run(*words: str, stdin: str | None = None, env: Mapping[str, str] | None = None) -> str:
    """Run it to its end and return its output; raise WorldError with its complaint when it fails."""
    try:
        done = subprocess.run(words, input=stdin, env=env, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise WorldError(f"{words[0]} is not installed; `make up` as root installs what is missing") from error
    if done.returncode:
        complaint = (done.stderr or done.stdout).strip()
        raise WorldError(f"`{' '.join(words)}` failed with {done.returncode}: {complaint}")
    return done.stdout


def succeeds(*words: str) -> bool:
    """Whether the command ends with 0; for questions such as `iptables -C`."""
    return subprocess.run(words, capture_output=True, check=False).returncode == 0
