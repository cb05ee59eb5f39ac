"""Runs git with fixed arguments, so that a hostile repository, remote or environment cannot make it run a program.

Nothing that a repository's configuration says counts where it names a program, and of the worker's own configuration
only what reaches a remote does: credential helpers, http, ssh.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from git import Git, GitCommandNotFound

from domain.errors import Unavailable

SECONDS = 120.0  # a status of a huge tree on a slow disk; measured: under 1 s for 100,000 files
_LOOK_SECONDS = 0.2
_BEAT_SECONDS = 1.0
_KEPT = 64 << 10  # bytes of what git complains about
_BOUND = 256 << 20  # bytes of an answer; the tree listing of a huge repository is some tens of MB
# Of the worker's environment: how a remote is reached. All other GIT_* would aim git elsewhere or make it talk.
_REACHING = {"GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_ASKPASS"}
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",  # reading must not write .git/index of somebody else's tree
    "GIT_NO_LAZY_FETCH": "1",  # a repository may name where missing objects come from, and the program to ask there
    "GIT_NO_REPLACE_OBJECTS": "1",  # else a commit's name would not say what it holds
    "GIT_EDITOR": "true",
    "GIT_PAGER": "cat",
    "LC_ALL": "C",
}
_HARDENING = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",  # else `git status` runs the program it names
    "core.pager=cat",
    "diff.external=",
    "protocol.allow=never",
    "gc.auto=0",
    "maintenance.auto=false",
)


class GitResult(NamedTuple):
    """How a git command ended."""

    status: int
    out: bytes
    complaint: str

    @property
    def text(self) -> str:
        """Output as text; bytes that are no UTF-8 are kept as Python keeps them in file names."""
        return self.out.decode(errors="surrogateescape")


class Overrun(Exception):
    """A command took longer, or took more room, than it may."""


Watch = Callable[[str], None]  # called about every second with the last line of progress; what it raises ends git


class GitCommand:
    """Git in one directory; `options` are `name=value` of git's configuration, `config` replaces the user's file."""

    def __init__(self, directory: Path, options: Sequence[str] = (), *, config: Path | None = None) -> None:
        self.directory = directory
        self._options = (*_HARDENING, *options)
        self._config = config

    def run(
        self,
        *arguments: str,
        watch: Watch | None = None,
        seconds: float = SECONDS,
        variables: Mapping[str, str] | None = None,
        keep_open: Sequence[int] = (),
        said: bytes = b"",
    ) -> GitResult:
        """Run git and return its result, whatever the status; Unavailable without git, Overrun, what `watch` raises.

        `keep_open` are descriptors that git inherits, so that a lock on them lasts as long as it runs; `said` is what
        it reads.
        """
        environment = {**_ENVIRONMENT, "GIT_ASKPASS": os.environ.get("GIT_ASKPASS") or "true", **(variables or {})}
        if self._config:
            environment["GIT_CONFIG_GLOBAL"] = str(self._config)
        unset = [
            part
            for name in sorted(os.environ)
            if name.startswith("GIT_") and name not in _REACHING | set(environment)
            for part in ("-u", name)
        ]
        options = [part for option in self._options for part in ("-c", option)]
        argv = [*(["env", *unset] if unset else []), "git", "--no-pager", *options, *arguments]
        return _followed(self._started(argv, environment, keep_open, said), watch, seconds, arguments[0])

    def _started(
        self, argv: list[str], environment: dict[str, str], keep_open: Sequence[int], said: bytes
    ) -> "subprocess.Popen[bytes]":
        with tempfile.TemporaryFile() as heard:  # a file: a pipe would have to be fed while the answer is read
            heard.write(said)
            heard.seek(0)
            try:
                started = Git(str(self.directory)).execute(
                    argv,
                    as_process=True,
                    env=environment,
                    istream=heard if said else None,
                    start_new_session=True,
                    pass_fds=tuple(keep_open),
                )
            except GitCommandNotFound as error:
                raise Unavailable("git cannot be run on this worker", do="install git on the worker's host") from error
        process, started.proc = started.proc, None  # else it would be ended when the wrapper is collected
        if process is None:
            raise TypeError("git was started as a process")
        return process


def own_settings() -> list[tuple[str, str]]:
    """Return the user's and system's git settings about remotes; empty where git cannot read them.

    Handed on by environment and not by argument, for a helper's definition may hold what others must not read.
    """
    asked = ["config", "--null", "--get-regexp", r"^(credential|http)\.|^core\.sshcommand$"]
    kept = {name: value for name, value in os.environ.items() if name[:4] != "GIT_" or name[:11] == "GIT_CONFIG_"}
    environment = {**kept, "GIT_DIR": os.devnull}  # no repository has a say
    try:
        answer = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", *asked],  # noqa: S607 - from PATH, as everywhere
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    pairs = (entry.partition("\n") for entry in answer.stdout.decode(errors="surrogateescape").split("\0") if entry)
    return [(name, value) for name, _, value in pairs]


def as_variables(settings: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return settings as environment variables that git reads."""
    found = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (name, value) in enumerate(settings):
        found |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return found


def _followed(process: "subprocess.Popen[bytes]", watch: Watch | None, seconds: float, what: str) -> GitResult:
    out, complaint = _PipeReader(process.stdout, _BOUND), _PipeReader(process.stderr, _KEPT, latest=True)
    ends, told = time.monotonic() + seconds, 0.0
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_SECONDS if watch else max(0.0, ends - time.monotonic()))
                break
            if time.monotonic() > ends:
                raise Overrun(f"git {what} took longer than {seconds:g} s")
            if watch and time.monotonic() - told >= _BEAT_SECONDS:
                told = time.monotonic()
                watch(complaint.last_line())
    finally:
        _end(process)
        answer, said = out.finish(), complaint.finish()
    if out.overflowed:
        raise Overrun(f"git {what} answered with more than {_BOUND >> 20} MB")
    return GitResult(process.returncode, answer, said.decode(errors="replace"))


def _end(process: "subprocess.Popen[bytes]") -> None:
    """With all that it started: a remote's helper may hang on alone."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


class _PipeReader:
    """Reads a pipe to its end in a thread, keeping the first or the latest `bound` bytes."""

    def __init__(self, pipe: IO[bytes] | None, bound: int, *, latest: bool = False) -> None:
        if pipe is None:
            raise TypeError("a pipe is needed")
        self._pipe, self._bound, self._latest = pipe, bound, latest
        self._kept = bytearray()
        self.overflowed = False
        self._thread = threading.Thread(target=self._read, name="git", daemon=True)
        self._thread.start()

    def last_line(self) -> str:
        """Of what came so far; git's progress ends its lines by carriage returns."""
        lines = bytes(self._kept[-1000:]).decode(errors="replace").replace("\r", "\n").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def finish(self) -> bytes:
        """Everything that was kept; a helper that lives on with the pipe is not waited for."""
        self._thread.join(_LOOK_SECONDS * 10)
        return bytes(self._kept)

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError), self._pipe:
            while chunk := os.read(self._pipe.fileno(), 1 << 16):
                self._kept += chunk
                if len(self._kept) > self._bound:
                    self.overflowed = not self._latest
                    del self._kept[: len(self._kept) - self._bound]
