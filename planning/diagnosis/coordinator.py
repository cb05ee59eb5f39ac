"""The findings about running clients and their coordinator: is it reached, does it serve them, do they prove."""

import re
from collections.abc import Callable
from itertools import takewhile
from typing import NamedTuple

from domain.diagnosis import Diagnosis, Severity
from planning.diagnosis import client_log, client_work, coordinator_way
from planning.diagnosis.client_log import LogEntry
from planning.diagnosis.client_work import ClientLog
from planning.diagnosis.release_view import ReleaseView
from planning.kubernetes import objects

CODES = {"NOT_REGISTERED", "COORDINATOR_DOWN", "COORDINATOR_BROKEN"} | client_work.CODES
BROKEN_GRACE_SECONDS = 60.0  # seconds that a coordinator may answer so: somebody may restart it already
LOOPBACK = "loopback"  # how a connection from the coordinator's own host ended: refused, but not on 127.0.0.1 or ::1
_BACKEND = "look at the backend with `proverctl backend status`; clients go on by themselves once it answers"


class CoordinatorTrouble(NamedTuple):
    """A kind of trouble: the pattern of the client's message, and the finding."""

    pattern: re.Pattern[str]
    explain: Callable[["Complaint"], Diagnosis]


class Complaint(NamedTuple):
    """The faults in one client's log, oldest first: the first one caused the others."""

    view: ReleaseView
    faults: list[LogEntry]
    on: str

    @property
    def upstream(self) -> str:
        """Upstream of COORDINATOR_SERV, when clients use it."""
        return coordinator_way.override(self.view.deployment)


def coordinator_findings(view: ReleaseView) -> list[Diagnosis]:
    """Return what keeps clients from their coordinator or from proofs; empty when nothing is known to."""
    if not any(objects.ready(pod) for pod in view.pods):
        return []
    clients = client_work.client_logs(view)
    way = coordinator_way.route_finding(view) or _client_view(view, clients) or _worker_view(view, clients)
    return [*([way] if way else []), *client_work.work_findings(view)]


def heard(logs: dict[str, str]) -> bool:
    """Return whether a client was answered lately, so that the worker need not try the connection."""
    read = [client_log.entries(log) for log in logs.values()]
    return any(said and said[-1].begun and not client_log.complaint(said) for said in read)


def _client_view(view: ReleaseView, clients: list[ClientLog]) -> Diagnosis | None:
    troubled = [(one, faults) for one in clients if (faults := client_log.complaint(one.said))]
    if not troubled:
        return None
    one, faults = troubled[0]
    found = next((trouble for trouble in _TROUBLES if trouble.pattern.search(faults[-1].text)), None)
    if found is None:
        return None
    alike = [*takewhile(lambda fault: found.pattern.search(fault.text), reversed(faults))][::-1]
    return found.explain(Complaint(view, alike, f"pod {one.name} ({len(troubled)} of {len(clients)} asked)"))


def _worker_view(view: ReleaseView, clients: list[ClientLog]) -> Diagnosis | None:
    """Return the finding by the worker's own connection, where no client has said anything yet."""
    ended = view.snapshot.coordinator
    if ended not in ("refused", LOOPBACK) or any(one.said and one.said[-1].begun for one in clients):
        return None
    found = _refused(Complaint(view, [], f"Service {coordinator_way.SERVICE}"))
    return found.model_copy(update={"evidence": f"connection from the worker: {ended}"})


def _unresolved(complaint: Complaint) -> Diagnosis:
    because, do = "the cluster's DNS does not answer them", "look at the cluster's DNS pods"
    what = "clients run and cannot resolve the coordinator's name"
    if complaint.upstream:
        what = f"clients run and cannot resolve COORDINATOR_SERV={complaint.upstream}"
        because = f"{because}, or knows no such host"
        do = f"correct COORDINATOR_SERV and deploy again, or {do}"
    return _finding(complaint, "NOT_REGISTERED", what, because, do, Severity.NEEDS_HUMAN)


def _unreached(complaint: Complaint) -> Diagnosis:
    return _down(complaint, "nodes do not reach the coordinator", "a firewall is between, or its host is off")


def _refused(complaint: Complaint) -> Diagnosis:
    seen, because = complaint.view.snapshot.coordinator, "it is not started, or listens on another port"
    if seen == LOOPBACK:
        return _down(
            complaint,
            "the coordinator refuses connections from other hosts",
            "it listens on loopback only",
            "set its listen address to [::] (every address, IPv4 included) and restart it",
        )
    if seen == "ok":
        because = "a firewall refuses it, for the worker does reach the coordinator"
    return _down(complaint, "the coordinator refuses connections", because)


def _database_away(complaint: Complaint) -> Diagnosis:
    return _down(
        complaint,
        "the coordinator answers that its database does not",
        "its database is not started, or does not let it in",
        "start the coordinator's database; clients go on by themselves then",
    )


def _broken(complaint: Complaint) -> Diagnosis:
    """Return the finding for a coordinator that answers, so is not down, and never recovers."""
    now = complaint.view.now
    first = complaint.faults[0].at(now) if now is not None else None
    lasted = 0.0 if now is None or first is None else now - first
    circuit = complaint.view.snapshot.circuit
    return _finding(
        complaint,
        "COORDINATOR_BROKEN",
        "the coordinator answers every poll with an error: its scheduler has ended",
        "it was given a proof that does not fit its verifying key, as after new keys, or one for a circuit that it "
        "does not know",
        f"check that its verifying key is of the image's keys and that it knows the circuit{circuit and ' ' + circuit},"
        " then restart the coordinator; clients do not recover before",
        Severity.NEEDS_HUMAN if lasted >= BROKEN_GRACE_SECONDS else Severity.TRANSIENT,
    ).model_copy(
        update={"grace": int(BROKEN_GRACE_SECONDS), "since": "" if first is None else objects.timestamp(first)}
    )


def _unwell(complaint: Complaint) -> Diagnosis:
    return _down(complaint, "the coordinator answers with an error", "it cannot serve, or something else listens there")


_TROUBLES = [
    CoordinatorTrouble(re.compile(r"server temporary unav|dispatch ret unreach", re.IGNORECASE), _broken),
    CoordinatorTrouble(
        re.compile(r"\bdb (?!\W)|\bdatabase\b|\bpool timed out|\bsqlx\b", re.IGNORECASE), _database_away
    ),
    CoordinatorTrouble(
        re.compile(
            r"dns error|no such host|failed to lookup address|name or service not known|name resolution", re.IGNORECASE
        ),
        _unresolved,
    ),
    CoordinatorTrouble(
        re.compile(
            r"timed out|timeout|deadline exceeded|no route to host|(?:network|host) is (?:unreachable|down)"
            r"|network unreachable",
            re.IGNORECASE,
        ),
        _unreached,
    ),
    CoordinatorTrouble(
        re.compile(r"connection refused|error trying to connect|transport error|tcp connect error", re.IGNORECASE),
        _refused,
    ),
    CoordinatorTrouble(
        re.compile(r"poll task error|register error|submit\w* .*error|connection (?:reset|closed)", re.IGNORECASE),
        _unwell,
    ),
]


def _down(complaint: Complaint, what: str, because: str, do: str = _BACKEND) -> Diagnosis:
    setting = f"COORDINATOR_SERV={complaint.upstream}" if complaint.upstream else "COORDINATOR_EP, COORDINATOR_PORT"
    return _finding(
        complaint, "COORDINATOR_DOWN", what, f"{because}; clients are sent to it by {setting}", do, Severity.TRANSIENT
    )


def _finding(complaint: Complaint, code: str, what: str, because: str, do: str, severity: Severity) -> Diagnosis:
    return Diagnosis(
        code=code,
        what=what,
        on=complaint.on,
        evidence=complaint.faults[0].said if complaint.faults else "",
        because=because,
        do=do,
        severity=severity,
    )
