"""Runs a backend's command or process apart from the worker, and records who it is and how it ended.

A worker may die at any line; what it started goes on, and is found again by pid, start time and boot. Started by file
name in isolated mode, so it may import the standard library only.
"""

import contextlib
import fcntl
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

BUSY = 75  # another recorder runs this command
_NOT_RUN = 127
_TERM_SECONDS = 5.0
_STOP_SECONDS = 10.0
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def identity(pid: int) -> dict[str, Any] | None:
    """What tells this process from any other that ever has the same pid; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, start = fields[0], fields[19]
    return None if state in {"Z", "X"} else {"pid": pid, "start": start, "boot": _BOOT.read_text().strip()}


def alive(who: dict[str, Any] | None) -> bool:
    """Whether the process recorded in `who` still runs."""
    if not who:
        return False
    return identity(int(who["pid"])) == {key: who[key] for key in ("pid", "start", "boot")}


def held(lock: Path) -> bool:
    """Whether a recorder holds this lock."""
    try:
        with lock.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def end(who: dict[str, Any], seconds: float) -> None:
    """End the process group of a recorded process: TERM, and KILL when that takes too long."""
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, _TERM_SECONDS)):
        if not alive(who):
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(int(who["pid"]), number)
        deadline = time.monotonic() + patience
        while alive(who) and time.monotonic() < deadline:
            time.sleep(0.02)


def read(path: Path) -> dict[str, Any] | None:
    """A record, or None when there is none that can be read."""
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def write(path: Path, record: dict[str, Any]) -> None:
    """Replace a record at once, so that no reader ever sees half of it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.draft")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(record, file)
    draft.replace(path)


def main() -> int:
    """`command` takes its order as JSON on standard input, `process` from a file."""
    if sys.argv[1] == "command":
        return _record(json.load(sys.stdin))
    return _become(Path(sys.argv[2]), Path(sys.argv[3]))


def _record(order: dict[str, Any]) -> int:
    """Start the command in a session of its own and return once that is recorded; a child of ours sees it end."""
    lock = os.open(order["lock"], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held until the recorder ends: never two at once
    except BlockingIOError:
        return BUSY
    told, tell = os.pipe()
    if os.fork():
        os.close(tell)
        return 0 if os.read(told, 1) else 1
    os.close(told)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    _redirect(order["log"])
    wait_for_record, recorded = os.pipe()
    began = time.monotonic()
    pid = os.fork()
    if not pid:
        os.close(recorded)
        _command(order, wait_for_record)
    record = {"fingerprint": order["fingerprint"], **(identity(pid) or {})}
    write(Path(order["record"]), record)
    os.write(recorded, b"1")  # had we died before, the command would see the end of the pipe and not run
    os.write(tell, b"1")
    os.close(tell)
    code, timed_out = _awaited(pid, record, began + order["timeout"])
    seconds = round(time.monotonic() - began, 3)
    write(Path(order["record"]), {**record, "code": code, "timed_out": timed_out, "seconds": seconds})
    return 0


def _command(order: dict[str, Any], wait_for_record: int) -> None:
    os.setsid()
    if not os.read(wait_for_record, 1):
        os._exit(_NOT_RUN)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    _execute(order)


def _awaited(pid: int, record: dict[str, Any], deadline: float) -> tuple[int, bool]:
    timed_out = False
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status), timed_out
        left = deadline - time.monotonic()
        if left <= 0 and not timed_out:
            timed_out = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGTERM)
            deadline = time.monotonic() + _TERM_SECONDS
        elif left <= 0:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(int(record["pid"]), signal.SIGKILL)
            deadline = time.monotonic() + _TERM_SECONDS
        signal.sigtimedwait({signal.SIGCHLD}, max(0.01, min(left, 1.0)))


def _become(definition: Path, record: Path) -> int:
    """Turn into the process, after ending a predecessor that a killed supervisor left running."""
    before = read(record)
    if before and before.get("pid") != os.getpid() and alive(before):
        end(before, _STOP_SECONDS)
    write(record, identity(os.getpid()) or {})
    order = read(definition)
    if order is None:
        sys.stderr.write(f"proverctl: the definition {definition} is gone\n")
        return _NOT_RUN
    _execute(order)
    return _NOT_RUN


def _execute(order: dict[str, Any]) -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, programs expect it
    try:
        os.chdir(order["cwd"])
        os.execvpe(order["argv"][0], order["argv"], order["env"])  # noqa: S606 - an argument list, never a shell
    except OSError as error:
        os.write(2, f"proverctl: cannot run {order['argv'][0]} in {order['cwd']}: {error.strerror}\n".encode())
        os._exit(_NOT_RUN)


def _redirect(log: str) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    for target, source in ((0, nothing), (1, output), (2, output)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(output)


if __name__ == "__main__":
    sys.exit(main())
