"""Runs a backend's command or process apart from the worker, and records who it is and how it ended.

A worker may die at any line; what it started goes on, and is found again by pid, start time and boot. Started by file
name in isolated mode, so it may import the standard library only.
"""

import contextlib
import errno
import fcntl
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

COOKIE = "PROVERCTL_STEP"  # names step and backend in the environment of all that a step starts
FULL = 76  # the disk is
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOT_RUN = 127
_RECORD = 4096  # bytes kept for the record of the end
_STARTS = 10  # remembered of a process
_TERM_SECONDS = 5.0
_STOP_SECONDS = 10.0
_BOOT = Path("/proc/sys/kernel/random/boot_id")


def identity(pid: int) -> dict[str, Any] | None:
    """Return the identity of a process among all that ever have its pid; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, start = fields[0], fields[19]
    return None if state in {"Z", "X"} else {"pid": pid, "start": start, "boot": boot()}


def boot() -> str:
    """Tells this run of the kernel from any other."""
    return _BOOT.read_text().strip()


def cookie(pid: int) -> str:
    """Return the step that a process belongs to, by its environment; empty when unknown or unreadable."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return ""
    start = f"{COOKIE}=".encode()
    found = [entry for entry in environment.split(b"\0") if entry.startswith(start)]
    return found[0][len(start) :].decode(errors="replace") if found else ""


def pids() -> list[int]:
    """All processes but this one."""
    found = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [pid for pid in found if pid != os.getpid()]


def group(leader: int) -> list[int]:
    """Return the pids of a process group."""
    found = []
    for pid in pids():
        with contextlib.suppress(ProcessLookupError):
            if os.getpgid(pid) == leader:
                found.append(pid)
    return found


def carriers(wanted: str) -> list[dict[str, Any]]:
    """All processes of a step, however they became daemons."""
    if not wanted:
        return []  # else it would be everybody who has none
    found = [identity(pid) for pid in pids() if cookie(pid) == wanted]
    return [who for who in found if who]


def alive(who: dict[str, Any] | None) -> bool:
    """Whether the process recorded in `who` still runs."""
    if not who:
        return False
    return identity(int(who["pid"])) == {key: who[key] for key in ("pid", "start", "boot")}


def held(lock: Path) -> bool:
    """Whether a recorder, or who is about to start one, holds this lock."""
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


def end_all(
    look: Callable[[], list[dict[str, Any]]], seconds: float, beat: Callable[[], None] = lambda: None
) -> list[dict[str, Any]]:
    """End whatever `look` finds until it finds nothing: TERM once each, KILL after `seconds`; those that resist."""
    told: set[tuple[int, str]] = set()
    deadline = time.monotonic() + seconds
    while (rest := look()) and time.monotonic() < deadline + _TERM_SECONDS:
        late = time.monotonic() >= deadline
        for who in rest:
            one = (int(who["pid"]), str(who["start"]))
            if late or one not in told:
                _signal(who, signal.SIGKILL if late else signal.SIGTERM)
            told.add(one)
        beat()
        time.sleep(0.05)
    return rest


def _signal(who: dict[str, Any], number: signal.Signals) -> None:
    """Never to another process that got the same pid meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        handle = os.pidfd_open(int(who["pid"]))
        try:
            if alive(who):
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)


def read(path: Path) -> dict[str, Any] | None:
    """Return a record, or None when there is none that can be read."""
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def write(path: Path, record: dict[str, Any]) -> None:
    """Replace a record at once, so that no reader ever sees half of it."""
    replace(path, json.dumps(record))


def replace(path: Path, text: str) -> None:
    """Replace a file that only its owner may read, at once; on a full disk the old one stays."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}.draft")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        error.filename = str(path)
        raise


def main() -> int:
    """`command` takes its order as JSON on standard input, `process` from a file."""
    if sys.argv[1] == "command":
        return _record(json.load(sys.stdin))
    return _become(Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])


def _record(order: dict[str, Any]) -> int:
    """Start the command in a session of its own and return once that is recorded; a child of ours sees it end."""
    # The lock came with us and is held until the recorder ends; the command itself must not keep it.
    os.set_inheritable(order["lock"], False)
    told, tell = os.pipe()
    if os.fork():
        os.close(tell)
        return {b"1": 0, b"F": FULL}.get(os.read(told, 1), 1)
    os.close(told)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    path = Path(order["record"])
    began = time.monotonic()
    try:
        end_record = _reserve(path)
        _redirect(order["log"])
        pid, record = _begin(order, path)
    except OSError as error:
        if error.errno in NO_SPACE:
            os.write(tell, b"F")
        raise
    os.write(tell, b"1")
    os.close(tell)
    code, timed_out = _awaited(pid, order, began + order["timeout"])
    now = time.monotonic()
    ended = {**record, "code": code, "timed_out": timed_out, "seconds": round(now - began, 3), "ended": now}
    text = json.dumps(ended).encode()
    os.pwrite(end_record, text, 0)
    os.ftruncate(end_record, len(text))
    _reserved(path).replace(path)
    return 0


def _begin(order: dict[str, Any], path: Path) -> tuple[int, dict[str, Any]]:
    wait_for_record, recorded = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(recorded)
        _command(order, wait_for_record)
    os.close(wait_for_record)
    record = {"fingerprint": order["fingerprint"], **(identity(pid) or {})}
    write(path, record)
    os.write(recorded, b"1")  # had we died before, the command would see the end of the pipe and not run
    return pid, record


def _reserve(path: Path) -> int:
    """Room for the record of the end, taken now: a disk that fills up meanwhile does not lose the outcome."""
    end_record = os.open(_reserved(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.posix_fallocate(end_record, 0, _RECORD)
    return end_record


def _reserved(path: Path) -> Path:
    return path.with_name(f"{path.name}.end")


def _command(order: dict[str, Any], wait_for_record: int) -> None:
    os.setsid()
    if not os.read(wait_for_record, 1):
        os._exit(_NOT_RUN)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    _execute(order)


def _awaited(pid: int, order: dict[str, Any], deadline: float) -> tuple[int, bool]:
    timed_out = False
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            if timed_out:  # what left the group went on until now
                end_all(lambda: carriers(order["env"].get(COOKIE, "")), _TERM_SECONDS)
            return os.waitstatus_to_exitcode(status), timed_out
        left = deadline - time.monotonic()
        if left <= 0:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL if timed_out else signal.SIGTERM)
            timed_out = True
            deadline = time.monotonic() + _TERM_SECONDS
        signal.sigtimedwait({signal.SIGCHLD}, max(0.01, min(left, 1.0)))


def _become(definition: Path, record: Path, mark: str) -> int:
    """Turn into the process, after ending a predecessor that a killed supervisor left running."""
    before = read(record) or {}
    order = read(definition)
    if order is None:
        sys.stderr.write(f"proverctl: the definition {definition} is gone\n")
        return _NOT_RUN
    if before.get("pid") != os.getpid() and alive(before):
        end(before, order["grace"])
    began = before.get("began", []) if before.get("mark") == mark else []
    write(record, {**(identity(os.getpid()) or {}), "mark": mark, "began": [*began, time.time()][-_STARTS:]})
    for name, path in order["secrets"].items():  # only here, so that no value is ever on our disk
        try:
            order["env"][name] = Path(path).read_text().rstrip("\r\n")
        except OSError as error:
            sys.stderr.write(f"proverctl: secret {name} cannot be read from {path}: {error.strerror}\n")
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
