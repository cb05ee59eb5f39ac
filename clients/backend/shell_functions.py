"""Sources a backend's file of bash functions once, to know before anything runs which functions it defines."""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, NamedTuple

from planning.text.sanitize import one_line

_SECONDS = 20
_SHOWN = 2000  # bytes of its output's end
_SCRIPT = r"""
source "$1" >&2
{ set +eux; } 2> /dev/null
printf 'sourced\n'
declare -F
"""


class Sourced(NamedTuple):
    """The functions that are defined then; None when sourcing ended the shell, hung or could not begin."""

    functions: frozenset[str] | None
    why: str  # how it ended, with the end of its output


def sourced(file: Path, repo: Path, env: Mapping[str, str]) -> Sourced:
    """Source it in a shell with this environment alone, in the repository, without input."""
    argv = ["bash", "--noprofile", "--norc", "-c", _SCRIPT, "proverctl", str(file)]
    # Files, not pipes: what sourcing may leave in the background would keep a pipe open.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            shell = subprocess.Popen(  # noqa: S603 - the profile's own file, by a fixed script
                argv, cwd=repo, env=dict(env), stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
            )
        except OSError as error:
            return Sourced(None, str(error))
        try:
            ending = f"the shell ended with {shell.wait(_SECONDS)}"
        except subprocess.TimeoutExpired:
            ending = f"it took longer than {_SECONDS} s"
        finally:
            _end(shell)
        lines = _tail(out, None).splitlines()
        said = one_line(_tail(err, _SHOWN))
    if "sourced" not in lines:
        return Sourced(None, f"{ending}: {said}" if said else ending)
    functions = [line.split()[2] for line in lines if line.startswith("declare -f")]
    return Sourced(frozenset(functions), said)


def _end(shell: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(shell.pid, signal.SIGKILL)
    shell.wait()


def _tail(file: IO[bytes], size: int | None) -> str:
    length = file.seek(0, os.SEEK_END)
    file.seek(0 if size is None else max(0, length - size))
    return file.read().decode(errors="replace")
