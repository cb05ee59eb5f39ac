"""The work of running clients by their logs: tasks that fail, tasks that never come, calls that hang."""

from typing import NamedTuple

from domain.diagnosis import Diagnosis, Severity
from domain.kubernetes import Manifest, Snapshot
from domain.messages.source import Source
from planning.diagnosis import client_log
from planning.diagnosis.client_log import LogEntry
from planning.diagnosis.release_view import ReleaseView
from planning.kubernetes import objects
from planning.manifests.circuit_name import known_circuit, mismatches

CODES = {"TASKS_FAIL", "NO_TASKS", "CLIENT_HANGS"}
FINAL_FAILED_TASKS = 3  # tasks that failed: then the next one will as well
IDLE_SECONDS = 600.0  # seconds without a task
START_SECONDS = 60.0  # seconds after which a client should have said more than that it starts
POLL_SECONDS = 120.0  # seconds that a poll may take; one is due every ten


class ClientLog(NamedTuple):
    """A client whose log was read."""

    pod: Manifest
    said: list[LogEntry]

    @property
    def name(self) -> str:
        """`namespace/name`, as operators find it."""
        return f"{objects.namespace(self.pod)}/{objects.name(self.pod)}"


def client_logs(view: ReleaseView) -> list[ClientLog]:
    """Return the running clients of the release with a log; a silent one counts where another one wrote."""
    logs = view.snapshot.logs
    found = [
        ClientLog(pod, client_log.entries(logs[objects.name(pod)]))
        for pod in view.pods
        if objects.ready(pod) and objects.name(pod) in logs
    ]
    return found if any(one.said for one in found) else []


def work_findings(view: ReleaseView) -> list[Diagnosis]:
    """Return what is wrong with the clients' work itself."""
    clients = client_logs(view)
    found = [_tasks_fail(clients, view), _hangs(clients, view.now), _no_tasks(clients, view)]
    return [one for one in found if one]


def _tasks_fail(clients: list[ClientLog], view: ReleaseView) -> Diagnosis | None:
    failed = [(one, client_log.failures(one.said)) for one in clients]
    failing = [(one, tasks) for one, tasks in failed if tasks]
    if not failing:
        return None
    count = sum(len(tasks) for _, tasks in failing)
    final = Severity.FATAL if view.trial else Severity.NEEDS_HUMAN
    first, tasks = failing[0]
    return Diagnosis(
        code="TASKS_FAIL",
        what=f"clients take tasks and fail each of them: {count} failed since the last proof",
        on=f"pod {first.name} ({len(failing)} of {len(clients)} asked)",
        evidence=tasks[0][1],
        because="a part of the circuit is missing in the image or does not fit (a witness generator needs its .dat "
        "file beside it); each task that fails stays `proving`",
        do="correct the image or the circuit files and deploy again; then restart the coordinator, which puts the "
        "tasks back",
        severity=final if count >= FINAL_FAILED_TASKS else Severity.TRANSIENT,
    )


def _hangs(clients: list[ClientLog], now: float | None) -> Diagnosis | None:
    stuck = [(one, why) for one in clients if (why := _hung(one, now))]
    if not stuck:
        return None
    one, (what, because) = stuck[0]
    others = any(client.said and client.said[-1].begun for client in clients if client is not one)
    if others:
        because = because.removeprefix("it still loads its keys, or ")
    return Diagnosis(
        code="CLIENT_HANGS",
        what=what,
        on=f"pod {one.name} ({len(stuck)} of {len(clients)} asked)",
        evidence=one.said[-1].said if one.said else "no output",
        because=because,
        do=f"if it does not go on, restart it: kubectl delete pod {objects.name(one.pod)} "
        f"-n {objects.namespace(one.pod)}",
        severity=Severity.TRANSIENT,
        since=objects.started(one.pod),
    )


def _hung(client: ClientLog, now: float | None) -> tuple[str, str] | None:
    """Return what hangs, and why."""
    age = objects.age(client.pod, now)
    if age is None or now is None or age < START_SECONDS:
        return None
    if not any(entry.begun for entry in client.said):
        return (
            "a client is ready and has not asked for a task since it started",
            "it still loads its keys, or its first call hangs, for which the client has no deadline",
        )
    last = client.said[-1].at(now)
    if client.said[-1].poll and last is not None and now - last > POLL_SECONDS:
        return "a client waits for the answer to a poll", "its call hangs, for which the client has no deadline"
    return None


def _no_tasks(clients: list[ClientLog], view: ReleaseView) -> Diagnosis | None:
    if not clients or view.now is None or not all(_idle(one, view.now) for one in clients):
        return None
    circuit = view.snapshot.circuit
    return Diagnosis(
        code="NO_TASKS",
        what=f"clients ask for tasks and have received none for {IDLE_SECONDS / 60:.0f} minutes",
        on=f"pod {clients[0].name} ({len(clients)} of {len(clients)} asked)",
        evidence=clients[0].said[-1].said,
        because=f"no task is waiting, or CIRCUIT={circuit} is not the coordinator's name of the circuit"
        if circuit
        else "no task is waiting, or CIRCUIT is not the coordinator's name of the circuit",
        do="compare CIRCUIT with the column `circuit` of the coordinator's table `task`, and with its configuration",
        severity=Severity.PROGRESS,
    )


def receives_tasks(snapshot: Snapshot) -> bool:
    """Return whether a client's log shows a task, so that the coordinator has tasks of its circuit."""
    entries = [entry for log in snapshot.logs.values() for entry in client_log.entries(log)]
    return any(entry.working or entry.failed_task for entry in entries)


def unknown_circuit(circuit: str, source: Source) -> Diagnosis | None:
    """Return NO_TASKS when the backend's programs are configured for other circuits than the clients' one."""
    found = mismatches(circuit, source)
    if not found:
        return None
    return Diagnosis(
        code="NO_TASKS",
        what=f"clients ask for tasks of circuit {circuit}, which the backend's programs are not configured for",
        on=f"CIRCUIT={circuit}",
        evidence="; ".join(found),
        because="a client of a circuit that its coordinator does not know gets no task",
        do=f"set CIRCUIT={known_circuit(circuit, source)} and deploy, or bring up the backend that has {circuit}",
        severity=Severity.NEEDS_HUMAN,
    )


def _idle(client: ClientLog, now: float) -> bool:
    """Return whether the client only polled for IDLE_SECONDS; a log without times does not tell."""
    for entry in reversed(client.said):
        at = entry.at(now) if entry.poll else None
        if at is None or now - at >= IDLE_SECONDS:
            return at is not None
    return False
