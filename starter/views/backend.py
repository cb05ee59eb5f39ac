"""A backend as text: the line of progress, the outcome of each step, the page of `backend status`. Pure."""

from collections.abc import Mapping, Sequence

from domain.messages.backend import BackendReport
from domain.profile import Profile, StepState, StepStatus
from domain.spec import BackendMode
from planning.backend.steps import outlives_purge
from planning.text.durations import duration
from planning.text.sanitize import one_line
from starter.cli import terminal
from starter.views import deployment

TABLE_CHARACTERS = 100  # of a step's detail
LINE_CHARACTERS = 300  # of a detail in a line of its own
LEAST_SECONDS = 0.05  # below it a step took no time
DESIRED = {
    BackendMode.NONE: "stopped",
    BackendMode.REAL: "up",
    BackendMode.SIMULATED: "up, with simulated data",
}
UNFINISHED = {StepState.PENDING, StepState.WORKING}
STATE_COLOURS = {StepState.FAILED: "red", StepState.STOPPED: "yellow"}


def working(report: BackendReport) -> list[StepStatus]:
    """Return the steps that are being done now."""
    return [row for row in report.steps if row.state is StepState.WORKING]


def progress(report: BackendReport) -> str:
    """Return what is being done now, on one line; empty when nothing is."""
    rows = working(report)
    if not rows:
        return ""
    done = len([row for row in report.steps if row.state not in UNFINISHED])
    names = [f"{row.name} ({row.detail})" if row.detail else row.name for row in rows]
    return one_line(f"{done} of {len(report.steps)} steps settled, working on {', '.join(names)}", LINE_CHARACTERS)


def queued(report: BackendReport, stop: str) -> str:
    """Say that a change waits for the one under way; `stop` is the command line that ends it."""
    names = ", ".join(row.name for row in working(report))
    now = f", which works on {names}" if names else ""
    return f"queued: this begins once the change that is under way has ended{now}. To end that one now: {stop}"


def settled_lines(known: Mapping[str, StepState], steps: Sequence[StepStatus]) -> list[tuple[str, str]]:
    """Return head and text of a line for each step that has just settled."""
    settled = [row for row in steps if row.state not in UNFINISHED and known.get(row.name) is not row.state]
    return [
        (f"{row.name}: {terminal.coloured(row.state, STATE_COLOURS.get(row.state, 'green'))}", _how(row))
        for row in settled
    ]


def _how(row: StepStatus) -> str:
    lasted = f" after {step_time(row.seconds)}" if row.seconds >= LEAST_SECONDS else ""
    return f"{lasted}, {one_line(row.detail, LINE_CHARACTERS)}" if row.detail else lasted


def table(steps: Sequence[StepStatus]) -> str:
    """Return a table with a row for each step."""
    head = [["STEP", "KIND", "STATE", "TIME", "TABLE_CHARACTERS"]]
    rows = [
        [row.name, row.kind, str(row.state), step_time(row.seconds), one_line(row.detail, TABLE_CHARACTERS)]
        for row in steps
    ]
    return terminal.table(head + rows)


def page(report: BackendReport, ui: str, since: str = "") -> str:
    """Return everything about one backend."""
    rows = [
        ("backend", report.profile),
        ("desired", DESIRED[report.mode] + (f" (since {since})" if since else "")),
        *([("repository", report.repo)] if report.repo else []),
        *(deployment.finding(report.diagnosis) if report.diagnosis else []),
        *(("warning", one_line(text)) for text in report.warnings),
        ("UI", ui),
    ]
    steps = [table(report.steps)] if report.steps else []
    return "\n".join([terminal.table(rows), *steps])


def step_time(seconds: float) -> str:
    """Return how long a step took, below one second with a decimal; `-` for no time at all."""
    if seconds >= 1:
        return duration(seconds)
    return f"{seconds:.1f} s" if seconds >= LEAST_SECONDS else "-"


def purged_by(profile: Profile) -> list[str]:
    """Return what a purge deletes, as the profile declares it."""
    found = [f"{path} (step {step.name})" for step in profile.steps for path in step.purge]
    found += [f"{path} (profile)" for path in profile.purge]
    composes = [step.compose for step in profile.steps] + [
        left.compose for step in profile.steps for left in step.leaves
    ]
    projects = dict.fromkeys(compose.project for compose in composes if compose)
    found += [f"the volumes of compose project {project}" for project in projects]
    kept = [step.name for step in profile.steps if outlives_purge(step)]
    but = f", but those of {', '.join(kept)}, whose outputs stay" if kept else ""
    return [*found, f"the records and logs that proverctl keeps of {profile.name}{but}"]
