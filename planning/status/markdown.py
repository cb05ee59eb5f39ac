"""Format a status as Markdown for the Temporal UI, which is the status page of every deployment."""

import re

from domain.commands import Outcome
from domain.diagnosis import Diagnosis
from domain.messages.backend import BackendReport
from domain.profile import StepState, StepStatus
from domain.status import Observation, Phase, Pod, Question, Release, Retry, Status
from planning.status import question
from planning.text import sanitize
from planning.text.durations import duration
from planning.text.listing import listed

MAX_PODS = 20  # in the list; the others are counted
MAX_OUTCOMES = 5
MAX_LINES = 10  # warnings, waiting commands
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|!~])")
_SIGNS = {
    Phase.SERVING: "✅",
    Phase.DEGRADED: "⚠️",
    Phase.PARKED: "⛔",
    Phase.PAUSED: "⏸️",
    Phase.REMOVED: "🗑️",
}
_STEP_SIGNS = {
    StepState.PENDING: "▫️",
    StepState.WORKING: "⏳",
    StepState.RUNNING: "🟢",
    StepState.DONE: "✅",
    StepState.SKIPPED: "⏭️",
    StepState.FAILED: "⛔",
    StepState.STOPPED: "⏹️",
}


def status_markdown(status: Status) -> str:
    """Return the status page of a deployment; lists rather than tables, since the UI gives table cells no padding."""
    blocks = [
        _head(status),
        _facts(status),
        _retry(status.retry),
        _finding(status.finding),
        _question(status),
        _pods(status.observed.pods),
        _bullets("Warnings", status.warnings),
        _bullets("Waiting", status.pending),
        _outcomes(status.outcomes),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def backend_markdown(report: BackendReport, retries: list[Retry]) -> str:
    """Return the page of a backend with a line for each step, so that a long set-up can be followed in the UI."""
    failed = "⛔ " if not report.ok else ""
    facts = {"Mode": report.mode.value, "Repository": _code(report.repo), "Circuit": _code(report.circuit_dir)}
    blocks = [
        f"### {failed}backend {_code(report.profile)}",
        "\n".join(f"- **{name}:** {value}" for name, value in facts.items() if value),
        "\n".join(_step(row) for row in report.steps),
        *(_retry(retry) for retry in retries),
        _finding(report.diagnosis),
        _bullets("Warnings", report.warnings),
        _bullets("Deleted", report.purged),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _step(row: StepStatus) -> str:
    took = f", {duration(row.seconds)}" if row.seconds >= 1 else ""
    detail = f": {_plain(row.detail)}" if row.detail else ""
    return f"- {_STEP_SIGNS[row.state]} {_code(row.name)} ({row.kind}) — {row.state.value}{took}{detail}"


def _head(status: Status) -> str:
    seen = status.observed
    sign = _SIGNS.get(status.phase, "⏳")
    counts = f" — {seen.ready} of {_wanted(status)} clients ready" if seen.exists or status.release else ""
    step = f"\n\n{_plain(status.step)} …" if status.step else ""
    return f"### {sign} {status.phase.value}{counts}{step}"


def _facts(status: Status) -> str:
    release = status.release or Release()
    backend = f"{_code(status.backend)}{' (with simulated data)' if status.simulated else ''}" if status.backend else ""
    endpoint = _code(status.endpoint)
    if status.upstream_override:
        endpoint = f"{_code(status.upstream_override)} by COORDINATOR_SERV; {endpoint} is not used"
    facts = {
        "Namespace": f"{_code(status.namespace)} of cluster {_code(status.cluster)}" if status.namespace else "",
        "Stage": _stage(release),
        "Image": _code(release.image),
        "Coordinator": endpoint,
        "Clients": _counts(status),
        "Backend": backend,
        "Since": _plain(status.since),
    }
    return "\n".join(f"- **{name}:** {value}" for name, value in facts.items() if value)


def _stage(release: Release) -> str:
    if not release.stage:
        return ""
    commit = f" (commit {_code(release.commit[:12])})" if release.commit else ""
    return f"{_code(release.stage)}{commit}{' with uncommitted changes' if release.dirty else ''}"


def _wanted(status: Status) -> int:
    """Return the wanted clients; before the first apply the cluster does not know them."""
    if status.observed.exists or not status.release:
        return status.observed.wanted
    return status.release.replicas


def _counts(status: Status) -> str:
    seen: Observation = status.observed
    if not seen.exists:
        return ""
    return f"{seen.ready} ready, {seen.available} available, {seen.updated} of this release, {seen.wanted} wanted"


def _retry(retry: Retry | None) -> str:
    if retry is None:
        return ""
    return f"**Trying again** {_plain(retry.step)} (attempt {retry.attempt})\n\n{_finding(retry.diagnosis)}"


def _question(status: Status) -> str:
    """Return the question with the command lines that answer it."""
    asked: Question | None = status.question
    if asked is None:
        return ""
    lines = [
        f"- {_code(question.command(choice, status.namespace, status.cluster))} — {question.meaning(asked, choice)}"
        for choice in asked.choices
    ]
    return f"**A person must choose.** {_plain(question.unless_answered(asked))}\n\n" + "\n".join(lines)


def _finding(found: Diagnosis | None) -> str:
    if found is None:
        return ""
    since = f", since {_plain(found.since)}" if found.since else ""
    on = f" on {_plain(found.on)}" if found.on else ""
    lines = [f"**{_code(found.code)}** {_plain(found.what)}{on}{since}"]
    if found.because:
        lines.append(f"- **Because:** {_plain(found.because)}")
    if found.evidence:
        lines.append(f"- **Evidence:** {_code(found.evidence)}")
    if found.do:
        lines.append(f"- **Do:** {_plain(found.do, keep_code=True)}")
    if found.serving:
        lines.append(f"- **Still serving:** {_plain(found.serving)} clients")
    return lines[0] + ("\n\n" + "\n".join(lines[1:]) if len(lines) > 1 else "")


def _pods(pods: list[Pod]) -> str:
    if not pods:
        return ""
    troubled_first = sorted(pods, key=lambda pod: (pod.ready, pod.name))
    ready = f"; {sum(pod.ready for pod in pods)} of all {len(pods)} are ready" if len(pods) > MAX_PODS else ""
    return "**Pods**\n\n- " + listed([_pod(pod) for pod in troubled_first], MAX_PODS, "\n- ") + ready


def _pod(pod: Pod) -> str:
    restarts = f", {pod.restarts} restarts" if pod.restarts else ""
    node = f" on {_code(pod.node)}" if pod.node else ""
    state = "Ready" if pod.ready else _plain(pod.state)
    return f"{'✅' if pod.ready else '⏳'} {_code(pod.name)}{node}: {state}, stage {_code(pod.stage)}{restarts}"


def _bullets(title: str, lines: list[str]) -> str:
    if not lines:
        return ""
    return f"**{title}**\n\n- " + listed([_plain(line) for line in lines], MAX_LINES, "\n- ")


def _outcomes(outcomes: list[Outcome]) -> str:
    """Return the last commands, the newest first."""
    lines = []
    for outcome in reversed(outcomes[-MAX_OUTCOMES:]):
        message = f": {_plain(outcome.message)}" if outcome.message else ""
        at = f" ({_plain(outcome.at)})" if outcome.at else ""
        lines.append(f"- {_plain(outcome.title)} — {outcome.verdict.value}{message}{at}")
    return "**Last commands**\n\n" + "\n".join(lines) if lines else ""


def _plain(value: str, *, keep_code: bool = False) -> str:
    """Return text without headings, links or HTML of its own; `keep_code` leaves back-quotes."""
    cleaned = sanitize.one_line(value, limit=1000)
    if keep_code and cleaned.count("`") % 2 == 0:
        parts = cleaned.split("`")
        return "".join(_escape(part) if index % 2 == 0 else f"`{part}`" for index, part in enumerate(parts))
    return _escape(cleaned)


def _escape(value: str) -> str:
    return _SPECIAL.sub(r"\\\1", value)


def _code(value: str) -> str:
    """Return the value as code, fenced by more back-quotes than it holds; empty stays empty."""
    cleaned = sanitize.one_line(value, limit=1000)
    if not cleaned:
        return ""
    longest = max((len(run) for run in re.findall(r"`+", cleaned)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if "`" in cleaned else ""
    return f"{fence}{pad}{cleaned}{pad}{fence}"
