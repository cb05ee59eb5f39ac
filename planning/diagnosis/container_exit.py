"""The causes of a client's end: by its log and exit code, memory, or a node that cannot start it."""

import re
from typing import Any

from domain.diagnosis import Diagnosis, Severity
from planning.diagnosis import client_log, image_pull
from planning.kubernetes import objects

FINAL_RESTARTS = 3  # a client that ended so often will end again
OOM_RESTARTS = 2
STEADY_RUN_SECONDS = 30.0  # seconds a restarted client must run to count as recovered
LONG_RUN_SECONDS = 600.0  # seconds after which kubelet, too, forgets earlier crashes
_CANNOT_RUN = {"StartError", "ContainerCannotRun", "RunContainerError", "CreateContainerError"}
_CONFIG_EXIT, _RUNTIME_EXIT, _KILLED, _SEGMENT = 101, 128, 137, 139
_OWN_FAULT = re.compile(
    r"no such file or directory|permission denied|not found in \$PATH|is a directory", re.IGNORECASE
)
_COORDINATOR = re.compile(
    r"connection refused|transport error|tcp connect error|error trying to connect|dns error|no such host|"
    r"failed to lookup address|deadline exceeded|no route to host",
    re.IGNORECASE,
)
_CONFIG = re.compile(
    r"missing field|unknown field|invalid type|configuration|CLIENT_\w+|\.ya?ml|r1cs|\.key\b|monomial|lagrange|"
    r"verification key|no such file|out of range for slice",
    re.IGNORECASE,
)
_PANIC = re.compile(r"panicked at|^panic:|goroutine \d+ \[|segmentation fault|SIGSEGV", re.IGNORECASE | re.MULTILINE)


def exit_finding(container: dict[str, Any], now: float | None) -> Diagnosis | None:
    """Return the finding for a container that ended and has not recovered; None for one that runs."""
    state = container.get("state") or {}
    last = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
    if not last or _recovered(state, now):
        return None
    restarts = int(container.get("restartCount") or 0)
    log = client_log.own(str(last.get("message") or "")).strip()
    if "exec format error" in log:
        return wrong_architecture(str(container.get("image") or ""), log)
    since, code = str(last.get("finishedAt") or ""), last.get("exitCode")
    if last.get("reason") == "OOMKilled" or code in (_KILLED, _SEGMENT):
        found = _out_of_memory(restarts, last, log)
    elif last.get("reason") in _CANNOT_RUN or code == _RUNTIME_EXIT:
        found = _cannot_run(restarts, last, log)
    else:
        found = _loop(restarts, last, log)
    if state.get("running") or _ran_long(last):
        # This try is still on, or the last one worked for a while: it may yet be the one that stays.
        found = found.model_copy(update={"severity": Severity.TRANSIENT})
    return found.model_copy(update={"since": since})


def wrong_architecture(image: str, message: str) -> Diagnosis:
    """Return the finding for a binary of another processor, which no retry helps."""
    rule = image_pull.classify("exec format error")
    what = rule.what.format(image=image)
    return Diagnosis(code=rule.code, what=what, evidence=message, because=rule.because, do=rule.do)


def meaning(exit_code: int | None, log: str) -> tuple[str, bool]:
    """Return the meaning of the client's end, and whether the coordinator caused it."""
    if _COORDINATOR.search(client_log.first_panic(log) or _last_line(log)):
        return "the coordinator does not answer it; neither configuration nor image is at fault", True
    if exit_code == _CONFIG_EXIT and not _PANIC.search(log):
        return "it cannot use its configuration or keys", False
    if _PANIC.search(log):
        known = _CONFIG.search(log)
        return "it panicked" + (", over its configuration or keys" if known else ""), False
    if _CONFIG.search(_last_line(log)):
        return "it cannot use its configuration or keys", False
    if exit_code == 0:
        return "it ended by itself and without an error, which a client never should", False
    return "", False


def last_words(log: str, limit: int = 400) -> str:
    """Return the first panic, from which others follow, else the end of the log, in whole lines where possible."""
    if panic := client_log.first_panic(log):
        return panic[:limit]
    kept: list[str] = []
    for line in reversed([line for line in client_log.own(log).splitlines() if line.strip()]):
        if kept and sum(map(len, kept)) + len(line) > limit:
            break
        kept.insert(0, line[-limit:])
    return "\n".join(kept)


def _last_line(log: str) -> str:
    return next((line for line in reversed(log.splitlines()) if line.strip()), "")


def _recovered(state: dict[str, Any], now: float | None) -> bool:
    """Return whether the client runs for long enough that it will not end as before."""
    running = state.get("running")
    if running is None:
        return False
    since = objects.elapsed(running.get("startedAt"), now)
    return since is None or since >= STEADY_RUN_SECONDS


def _ran_long(last: dict[str, Any]) -> bool:
    began, ended = objects.seconds(last.get("startedAt")), objects.seconds(last.get("finishedAt"))
    # A client that could not be started at all began in 1970.
    return bool(began) and ended is not None and ended - (began or 0.0) >= LONG_RUN_SECONDS


def _loop(restarts: int, last: dict[str, Any], log: str) -> Diagnosis:
    code = last.get("exitCode")
    because, coordinator = meaning(code, log)
    many = restarts >= FINAL_RESTARTS
    do = "read its last output with `kubectl logs --previous`, correct circuit files or settings, then deploy again"
    if coordinator:
        do = "look at the backend with `proverctl backend status`, and at COORDINATOR_EP and COORDINATOR_PORT"
    elif code == 0:  # a shell ends so, and any program that is no client
        do = "see by `proverctl preflight` what the image runs, set CLIENT_COMMAND to the client, then deploy again"
    final = Severity.NEEDS_HUMAN if coordinator else Severity.FATAL  # it heals once the coordinator answers
    return Diagnosis(
        code="CRASH_LOOP",
        what=f"the client ends with exit code {code} ({restarts} restarts)",
        evidence=last_words(log) or f"exit code {code}, reason {last.get('reason')}, and no output",
        because=because,
        do=do,
        severity=final if many else Severity.TRANSIENT,
    )


def _out_of_memory(restarts: int, last: dict[str, Any], log: str) -> Diagnosis:
    code, certain = last.get("exitCode"), last.get("reason") == "OOMKilled"
    if certain:
        what, because = "the client is killed for using too much memory", "its limit is smaller than the circuit's keys"
    elif code == _KILLED:
        what, because = "the client is killed from outside (exit code 137)", "most likely its node ran out of memory"
    else:
        what = "the client dies of a bad memory access (exit code 139)"
        because = "on nodes with little memory the load of the keys ends so; else it is a fault of the client"
    enough = OOM_RESTARTS if certain else FINAL_RESTARTS
    return Diagnosis(
        code="OOM",
        what=f"{what} ({restarts} restarts)",
        evidence=last_words(log) or f"exit code {code}, reason {last.get('reason')}",
        because=because,
        do="raise CLIENT_MEMORY, or use larger nodes",
        severity=Severity.FATAL if restarts >= enough else Severity.TRANSIENT,
    )


def _cannot_run(restarts: int, last: dict[str, Any], log: str) -> Diagnosis:
    """Return the finding for a program that could not be started: the image's fault, or the node's or runtime's."""
    started = last.get("reason") not in _CANNOT_RUN
    own = bool(_OWN_FAULT.search(log)) and not started
    final = Severity.FATAL if own else Severity.NEEDS_HUMAN
    return Diagnosis(
        code="EXIT_128" if started else "CANNOT_RUN",
        what=f"the client ends with exit code 128 ({restarts} restarts)"
        if started
        else f"the client cannot be started ({restarts} restarts)",
        evidence=last_words(log) or f"exit code {last.get('exitCode')}, reason {last.get('reason')}, and no output",
        because="the image lacks its program, or may not run it" if own else "node or container runtime are in trouble",
        do="correct the base image (PROVER_BASE_IMAGE), then deploy again"
        if own
        else "look at the pod's node and its container runtime; it is retried",
        severity=final if restarts >= FINAL_RESTARTS else Severity.TRANSIENT,
    )
