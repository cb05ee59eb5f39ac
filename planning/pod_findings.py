"""Recognises what holds up one pod, each rule with the grace that keeps passing states from being called failures."""

from typing import Any

from domain.diagnosis import Diagnosis, Severity
from domain.ports import Manifest
from planning import image_findings, live, scheduling

RESTARTS = 3  # a client that ended so often will end again
OOM_RESTARTS = 2
CONFIG_GRACE = 30.0  # seconds: the object may be on its way
CREATING_GRACE = 120.0  # seconds: volumes and networks take time
LEAVING_GRACE = 60.0  # seconds after the pod's own grace
STEADY = 30.0  # seconds a restarted client must run to count as recovered
_CONFIG_REASONS = {"CreateContainerConfigError"}
_RUN_REASONS = {"CreateContainerError", "RunContainerError", "StartError", "ContainerCannotRun"}
_CREATING_EVENTS = {"FailedCreatePodSandBox", "FailedMount", "FailedAttachVolume", "NetworkNotReady"}
_CONFIG_EXIT = 101


def judge(
    pod: Manifest, events: list[Manifest], *, now: float | None, blocked_by: int, surge_only: bool
) -> Diagnosis | None:
    """The finding for one pod of the wanted release; None when it runs or nothing is known to be wrong."""
    if live.spec(pod).get("nodeName") is None:
        return scheduling.judge(pod, now=now, blocked_by=blocked_by, surge_only=surge_only)
    for container in live.container_statuses(pod):
        state = container.get("state") or {}
        waiting = state.get("waiting") or {}
        finding = _waiting(pod, waiting, events, now) or _crash(container, now)
        if finding:
            return finding
    return None if live.container_statuses(pod) else _creating(pod, events, now)


def judge_leaving(pod: Manifest, *, now: float | None) -> Diagnosis | None:
    """A pod whose deletion has lasted longer than its grace: it may hold a node that a new client needs."""
    meta = pod.get("metadata") or {}
    over = live.elapsed(meta.get("deletionTimestamp"), now)
    if over is None or over < LEAVING_GRACE:
        return None
    holders = ", ".join(meta.get("finalizers") or [])
    node = live.spec(pod).get("nodeName")
    return Diagnosis(
        code="TERMINATING_STUCK",
        what=f"the pod does not go away, {over:.0f} s after its grace period",
        evidence=f"finalizers: {holders}" if holders else f"node {node}",
        because="a finalizer holds it" if holders else "its node's kubelet does not answer, or its process cannot die",
        do="look at who set the finalizer" if holders else f"look at node {node} with `kubectl describe node {node}`",
        severity=Severity.NEEDS_HUMAN,
    )


def _waiting(pod: Manifest, waiting: dict[str, Any], events: list[Manifest], now: float | None) -> Diagnosis | None:
    reason = waiting.get("reason")
    if reason in image_findings.REASONS:
        return image_findings.judge(pod, waiting, events, now=now)
    message = str(waiting.get("message") or "")
    if reason in _CONFIG_REASONS:
        return _config(message, live.age(pod, now))
    if reason in _RUN_REASONS and "exec format error" in message:
        return _wrong_architecture(pod, message)
    if reason in ("ContainerCreating", "PodInitializing"):
        return _creating(pod, events, now)
    return None


def _config(message: str, age: float | None) -> Diagnosis | None:
    if "failed to sync" in message and "cache" in message:
        return None  # kubelet has just started to watch the object
    as_root = "runAsNonRoot" in message
    return Diagnosis(
        code="PODSECURITY" if as_root else "CONFIG_MISSING",
        what="the image runs as root, which its pod forbids" if as_root else "a Secret or ConfigMap is missing",
        evidence=message,
        do="set a numeric USER other than 0 in the base image" if as_root else "deploy again, which restores it",
        severity=Severity.FATAL if age is not None and age >= CONFIG_GRACE else Severity.TRANSIENT,
    )


def _crash(container: dict[str, Any], now: float | None) -> Diagnosis | None:
    state = container.get("state") or {}
    last = state.get("terminated") or (container.get("lastState") or {}).get("terminated") or {}
    if not last or _recovered(state, now):
        return None
    restarts = int(container.get("restartCount") or 0)
    log = str(last.get("message") or "").strip()
    if "exec format error" in log:
        return _wrong_architecture_of(str(container.get("image") or ""), log)
    if last.get("reason") == "OOMKilled":
        return _out_of_memory(restarts, log)
    code = last.get("exitCode")
    cannot_run = last.get("reason") in _RUN_REASONS
    return Diagnosis(
        code="CANNOT_RUN" if cannot_run else "CRASH_LOOP",
        what=f"the client cannot be started ({restarts} tries)"
        if cannot_run
        else f"the client ends with exit code {code} ({restarts} restarts)",
        evidence=log[-400:] or f"exit code {code}, reason {last.get('reason')}, and no output",
        because="it cannot use its configuration or keys" if code == _CONFIG_EXIT else "",
        do="read its last output with `kubectl logs --previous`, mend circuit files or settings, then deploy again",
        severity=Severity.FATAL if restarts >= RESTARTS else Severity.TRANSIENT,
    )


def _recovered(state: dict[str, Any], now: float | None) -> bool:
    """A client that runs has recovered, unless it was started a moment ago and may end as before."""
    running = state.get("running")
    if running is None:
        return False
    since = live.elapsed(running.get("startedAt"), now)
    return since is None or since >= STEADY


def _out_of_memory(restarts: int, log: str) -> Diagnosis:
    return Diagnosis(
        code="OOM",
        what=f"the client is killed for using too much memory ({restarts} restarts)",
        evidence=log or "OOMKilled",
        because="its limit, or the node's memory, is smaller than what the circuit's keys need",
        do="raise CLIENT_MEMORY, or use larger nodes",
        severity=Severity.FATAL if restarts >= OOM_RESTARTS else Severity.TRANSIENT,
    )


def _wrong_architecture(pod: Manifest, message: str) -> Diagnosis:
    return _wrong_architecture_of(live.client_image(live.spec(pod)), message)


def _wrong_architecture_of(image: str, message: str) -> Diagnosis:
    rule = image_findings.classify("exec format error")
    what = rule.what.format(image=image)
    return Diagnosis(code=rule.code, what=what, evidence=message, because=rule.because, do=rule.do)


def _creating(pod: Manifest, events: list[Manifest], now: float | None) -> Diagnosis | None:
    troubles = [event for event in events if event.get("reason") in _CREATING_EVENTS]
    age = live.age(pod, now)
    if not troubles:
        return image_findings.slow(pod, events, now=now)
    message = live.message(troubles[-1])
    lowered = message.lower()
    if "not found" in lowered and ("configmap" in lowered or "secret" in lowered):
        return _config(message, age)
    return Diagnosis(
        code="STUCK_CREATING",
        what="the node cannot set up the pod's network or volumes",
        evidence=message,
        do=f"look at node {live.spec(pod).get('nodeName')} and its network plug-in; it is retried",
        severity=Severity.NEEDS_HUMAN if age is not None and age >= CREATING_GRACE else Severity.TRANSIENT,
    )
