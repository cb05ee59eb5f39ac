"""Says whether clients that run can reach their coordinator: the way through the Service, and the other end of it."""

import re

from domain import names
from domain.diagnosis import Diagnosis, Severity
from domain.kubernetes import Manifest
from planning.diagnosis.release_view import Evidence
from planning.kubernetes import objects
from planning.text import sanitize

CODES = {"NOT_REGISTERED", "COORDINATOR_DOWN"}
SERVICE = names.COORDINATOR_SERVICE
_SLICE = f"EndpointSlice {SERVICE}"
_UNRESOLVED = re.compile(
    r"dns error|no such host|failed to lookup address|name or service not known|name resolution", re.IGNORECASE
)
_REFUSED = re.compile(r"connection refused|error trying to connect|transport error|tcp connect error", re.IGNORECASE)
_UNREACHED = re.compile(
    r"timed out|deadline exceeded|no route to host|network is unreachable|i/o timeout", re.IGNORECASE
)
_UNWELL = re.compile(r"server temporary unav|connection closed before|database", re.IGNORECASE)
_FAULT = re.compile(r"\b(?:ERROR|error|Error|panicked)\b")
_TAIL = 5  # lines: what the client says now, and not what it said before the coordinator came back


def judge(evidence: Evidence) -> list[Diagnosis]:
    """What keeps clients from their coordinator; empty when nothing is known to, or nothing was read."""
    running = [pod for pod in evidence.pods if objects.ready(pod)]
    if not running:
        return []
    found = _way(evidence) or _worker_view(evidence) or _client_view(evidence, running)
    return [found] if found else []


def _way(evidence: Evidence) -> Diagnosis | None:
    slices = evidence.snapshot.slices
    if slices is None:
        return None
    if not slices:
        return _lost("the Service leads nowhere: its EndpointSlice is gone", "", "somebody deleted it")
    port_names = _service_ports(evidence.snapshot.service)
    for found in slices:
        ports = {str(port.get("name") or "") for port in found.get("ports") or []}
        if not ports & port_names:
            shown = (
                f"EndpointSlice port {', '.join(sorted(ports)) or 'none'}; Service port {', '.join(sorted(port_names))}"
            )
            return _lost("the Service routes nothing: its port and the EndpointSlice's differ in name", shown, "")
        if not _addresses(found):
            return _lost("the EndpointSlice holds no address that is ready", _slice_text(found), "")
    return None


def _service_ports(service: Manifest | None) -> set[str]:
    if service is None:
        return {names.COORDINATOR_PORT_NAME}
    return {str(port.get("name") or "") for port in objects.spec(service).get("ports") or []}


def _addresses(found: Manifest) -> list[str]:
    ends = found.get("endpoints") or []
    return [str(address) for end in ends if _serves(end) for address in end.get("addresses") or []]


def _serves(end: Manifest) -> bool:
    return (end.get("conditions") or {}).get("ready") is not False


def _slice_text(found: Manifest) -> str:
    return f"endpoints: {found.get('endpoints')}"


def _lost(what: str, evidence: str, because: str) -> Diagnosis:
    return Diagnosis(
        code="NOT_REGISTERED",
        what=f"clients run and cannot reach the coordinator: {what}",
        on=_SLICE,
        evidence=sanitize.one_line(evidence),
        because=because or "somebody changed it after the deploy",
        do="deploy again, which restores Service and EndpointSlice; not the clients, nor the image, are at fault",
        severity=Severity.NEEDS_HUMAN,
    )


def _worker_view(evidence: Evidence) -> Diagnosis | None:
    ended = evidence.snapshot.coordinator
    if ended in ("", "ok"):
        return None
    return _down(f"the coordinator does not answer the worker: {ended}", f"connection from the worker: {ended}")


def _client_view(evidence: Evidence, running: list[Manifest]) -> Diagnosis | None:
    told = [(pod, line) for pod in running if (line := _complaint(evidence.snapshot.logs.get(objects.name(pod), "")))]
    if not told:
        return None
    pod, line = told[0]
    where = f"pod {objects.namespace(pod)}/{objects.name(pod)} ({len(told)} of {len(evidence.snapshot.logs)} asked)"
    if _UNRESOLVED.search(line):
        return Diagnosis(
            code="NOT_REGISTERED",
            what="clients run and cannot resolve the coordinator's name",
            on=where,
            evidence=line,
            because="the cluster's DNS does not answer them, or COORDINATOR_SERV names a host that it does not know",
            do="look at the cluster's DNS pods, and at COORDINATOR_SERV if it is set",
            severity=Severity.NEEDS_HUMAN,
        )
    if _UNREACHED.search(line):
        return _down("nodes do not reach the coordinator", line, where)
    if _UNWELL.search(line) and not _REFUSED.search(line):
        return _down("the coordinator answers that it cannot serve", line, where)
    return _down("the coordinator refuses connections", line, where)


def _complaint(log: str) -> str:
    """The client's last word about its connection, when that is a complaint."""
    last = [line for line in log.splitlines() if line.strip()][-_TAIL:]
    if not last or not _FAULT.search(last[-1]):
        return ""
    troubles = (_UNRESOLVED, _REFUSED, _UNREACHED, _UNWELL)
    return sanitize.one_line(last[-1]) if any(trouble.search(last[-1]) for trouble in troubles) else ""


def _down(what: str, evidence: str, on: str = "") -> Diagnosis:
    return Diagnosis(
        code="COORDINATOR_DOWN",
        what=what,
        on=on or f"Service {SERVICE}",
        evidence=evidence,
        because="it is not started, listens elsewhere (COORDINATOR_EP, COORDINATOR_PORT), or a firewall is between",
        do="look at the backend with `proverctl backend status`; clients go on by themselves once it answers",
        severity=Severity.TRANSIENT,
    )
