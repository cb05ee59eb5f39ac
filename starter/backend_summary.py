"""A backend in words: the line of progress, what became of a step, the page of `backend status`. Pure."""

from collections.abc import Mapping, Sequence

from domain.profile import Profile, StepState, StepStatus
from domain.spec import BackendMode
from domain.steps import BackendReport
from planning.text import one_line
from starter import output, summary

DETAIL = 100  # characters of it in the table
NEWS = 300  # and in a line of its own
INSTANT = 0.05  # seconds that are none
DESIRED = {
    BackendMode.NONE: "stopped",
    BackendMode.REAL: "up",
    BackendMode.SIMULATED: "up, with simulated data",
}
UNFINISHED = {StepState.PENDING, StepState.WORKING}
PAINT = {StepState.FAILED: "red", StepState.STOPPED: "yellow"}


def working(report: BackendReport) -> list[StepStatus]:
    """The steps that are being done now."""
    return [row for row in report.steps if row.state is StepState.WORKING]


def progress(report: BackendReport) -> str:
    """What is being done now, on one line; empty when nothing is."""
    rows = working(report)
    if not rows:
        return ""
    done = len([row for row in report.steps if row.state not in UNFINISHED])
    names = [f"{row.name} ({row.detail})" if row.detail else row.name for row in rows]
    return one_line(f"{done} of {len(report.steps)} steps settled, working on {', '.join(names)}", NEWS)


def news(known: Mapping[str, StepState], steps: Sequence[StepStatus]) -> list[tuple[str, str]]:
    """Head and text of a line for each step that has just been settled."""
    settled = [row for row in steps if row.state not in UNFINISHED and known.get(row.name) is not row.state]
    return [(f"{row.name}: {output.painted(row.state, PAINT.get(row.state, 'green'))}", _how(row)) for row in settled]


def _how(row: StepStatus) -> str:
    lasted = f" after {duration(row.seconds)}" if row.seconds >= INSTANT else ""
    return f"{lasted}, {one_line(row.detail, NEWS)}" if row.detail else lasted


def table(steps: Sequence[StepStatus]) -> str:
    """A row for each step."""
    head = [["STEP", "KIND", "STATE", "TIME", "DETAIL"]]
    rows = [[row.name, row.kind, str(row.state), duration(row.seconds), one_line(row.detail, DETAIL)] for row in steps]
    return output.table(head + rows)


def page(report: BackendReport, ui: str, since: str = "") -> str:
    """Everything about one backend."""
    rows = [
        ("backend", report.profile),
        ("desired", DESIRED[report.mode] + (f" (since {since})" if since else "")),
        *([("repository", report.repo)] if report.repo else []),
        *(summary.finding(report.diagnosis) if report.diagnosis else []),
        ("UI", ui),
    ]
    steps = [table(report.steps)] if report.steps else []
    return "\n".join([output.table(rows), *steps])


def duration(seconds: float) -> str:
    """As people say it, e.g. `3 min 5 s`; `-` for no time at all."""
    if seconds < 1:
        return f"{seconds:.1f} s" if seconds >= INSTANT else "-"
    whole = int(seconds)
    if whole < summary.MINUTE:
        return f"{whole} s"
    if whole < summary.HOUR:
        return f"{whole // summary.MINUTE} min {whole % summary.MINUTE} s"
    return f"{whole // summary.HOUR} h {whole % summary.HOUR // summary.MINUTE} min"


def doomed(profile: Profile) -> list[str]:
    """What a purge deletes, as the profile declares it."""
    found = [f"{path} (step {step.name})" for step in profile.steps for path in step.purge]
    found += [f"{path} (profile)" for path in profile.purge]
    composes = [step.compose for step in profile.steps] + [
        left.compose for step in profile.steps for left in step.leaves
    ]
    projects = dict.fromkeys(compose.project for compose in composes if compose)
    found += [f"the volumes of compose project {project}" for project in projects]
    return [*found, f"the records and logs that proverctl keeps of {profile.name}"]
