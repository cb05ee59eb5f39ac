"""A deployment as text: the line of progress, the page of `status`, the rows of `list`. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from domain.diagnosis import Diagnosis
from domain.status import Phase, Pod, Question, Status
from planning.status import question
from planning.text.durations import duration
from planning.text.sanitize import one_line
from starter.cli import terminal

TEMPORAL_PORT, UI_OFFSET = 7233, 1000
EVIDENCE_CHARACTERS = 200  # in a line of progress
# The last observation is of the old clients, and the step itself counts the new ones if at all.
UNCOUNTED_PHASES = {Phase.APPLYING, Phase.ROLLING_OUT, Phase.ROLLING_BACK, Phase.RELEASING}


class Problem(NamedTuple):
    """A problem during a wait: `key` stays the same while the problem is the same, `text` is one line."""

    key: str
    head: str
    text: str


def progress(status: Status) -> str:
    """Return what is being done now, on one line."""
    release, seen = status.release, status.observed
    parts = [f"{status.phase:<12}"]
    if release and release.stage:
        parts.append(f"stage {release.stage}")
    if seen.exists and status.phase not in UNCOUNTED_PHASES:
        parts.append(f"{seen.ready}/{seen.wanted} ready")
    if status.step:
        parts.append(status.step + (f" (attempt {status.retry.attempt + 1})" if status.retry else ""))
    return "  ".join(parts)


def trouble(status: Status) -> Problem | None:
    """Return why a step is tried again, or what is wrong with the clients; evidence is shortened, as it comes later.

    Counts and times in a diagnosis change all the time: the code, the object and the step tell troubles apart.
    """
    found = status.retry.diagnosis if status.retry else status.finding
    if found is None:
        return None
    head = f"will try again to {status.retry.step}: " if status.retry else ""
    short = found.model_copy(update={"evidence": one_line(found.evidence, EVIDENCE_CHARACTERS)})
    return Problem(f"{head}{found.code} {found.on}", head, str(short))


def page(status: Status, ui: str, said: str = "") -> str:
    """Return everything about one deployment; `said` is the progress that its step reports."""
    rows = [("deployment", status.deployment), ("phase", _phase(status))]
    rows += [("progress", " ".join(said.split()))] if said else []
    counted = [] if said and status.phase in UNCOUNTED_PHASES else _count(status)
    rows += _release_rows(status) + _place_rows(status) + counted
    rows += [("warning", warning) for warning in status.warnings]
    rows += [("waiting", title) for title in status.pending]
    if status.retry:
        rows.append(("retrying", f"{status.retry.step}, attempt {status.retry.attempt} failed"))
        rows += finding(status.retry.diagnosis)
    if status.finding:
        rows += finding(status.finding)
    if status.question:
        rows += _question(status, status.question)
    rows.append(("UI", ui))
    return "\n".join([terminal.table(rows), *clients(status.observed.pods)])


def finding(found: Diagnosis) -> list[tuple[str, str]]:
    """Return a row for each part of a diagnosis, since on one line it is wider than a terminal."""
    what = f"{found.code}: {found.what}" + (f" on {found.on}" if found.on else "")
    what += f", since {found.since}" if found.since else ""
    parts = [
        ("because", found.because),
        ("evidence", found.evidence),
        ("do", found.do),
        ("serving", found.serving and f"{found.serving} clients"),
    ]
    return [("diagnosis", what), *((f"  {name}", " ".join(text.split())) for name, text in parts if text)]


def _question(status: Status, asked: Question) -> list[tuple[str, str]]:
    """Return the command lines that answer, and what happens without an answer."""
    lines = [
        ("  choose", f"{question.command(one, status.namespace, status.cluster)}  ({question.meaning(asked, one)})")
        for one in asked.choices
    ]
    return [("question", f"{question.offered(asked)}? {question.unless_answered(asked)}"), *lines]


def _phase(status: Status) -> str:
    step = f": {status.step}" if status.step else ""
    return f"{status.phase}{step}" + (f" (since {status.since})" if status.since else "")


def _release_rows(status: Status) -> list[tuple[str, str]]:
    release = status.release
    if release is None:
        return []
    commit = f" (commit {release.commit[:12]}{', uncommitted changes' if release.dirty else ''})"
    rows = [("stage", release.stage + (commit if release.commit else ""))]
    rows += [("source", release.checked_out)] if release.checked_out else []
    return [*rows, ("image", release.image)] if release.image else rows


def _place_rows(status: Status) -> list[tuple[str, str]]:
    override = f" (overridden: clients use {status.upstream_override})" if status.upstream_override else ""
    rows = [("endpoint", status.endpoint + override)]
    if status.backend:
        rows.append(("backend", status.backend + (", simulated data" if status.simulated else "")))
    return rows


def _count(status: Status) -> list[tuple[str, str]]:
    seen = status.observed
    return [("clients", f"{seen.ready} of {seen.wanted} ready")] if seen.exists else []


def clients(pods: list[Pod]) -> list[str]:
    """Return a table with a row for each pod."""
    rows = [
        (pod.name, pod.node or "-", pod.state, "ready" if pod.ready else "not ready", pod.stage, _restarts(pod))
        for pod in pods
    ]
    return [terminal.table(rows, indent="  ")] if rows else []


def _restarts(pod: Pod) -> str:
    return f"{pod.restarts} restarts" if pod.restarts else ""


def age(then: str, now: datetime) -> str:
    """Return how long ago an ISO time was, e.g. `3 min`; empty when it is not one."""
    try:
        return duration((now - datetime.fromisoformat(then).astimezone(UTC)).total_seconds(), units=1)
    except ValueError:
        return ""


def ui_link(environ: Mapping[str, str], address: str, namespace: str, workflow_id: str = "") -> str:
    """Return the page of one workflow, or of all, in the UI at TEMPORAL_UI_ADDRESS, else beside the server.

    Temporal's development server and our docker-compose.yml serve it at the host and the port + 1000.
    """
    base = environ.get("TEMPORAL_UI_ADDRESS", "").rstrip("/")
    if not base:
        server = urlsplit(f"//{address.rpartition('://')[2]}")
        host, port = server.hostname or "127.0.0.1", (server.port or TEMPORAL_PORT) + UI_OFFSET
        base = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    elif "://" not in base:
        base = f"http://{base}"
    page_of = f"/{quote(workflow_id, safe='')}" if workflow_id else ""
    return f"{base}/namespaces/{quote(namespace, safe='')}/workflows{page_of}"


def listing(rows: list[dict[str, Any]]) -> str:
    """Return the table of `list`."""
    if not rows:
        return "no deployments"
    columns = ["namespace", "cluster", "phase", "stage", "clients", "endpoint", "since"]
    cells = [[str(row.get(column) or "-") for column in columns] for row in rows]
    return terminal.table([[column.upper() for column in columns], *cells])
