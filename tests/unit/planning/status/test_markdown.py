"""The status page says what runs, what is wrong and what to do."""

from markdown_it import MarkdownIt

from domain.commands import Kind, Outcome, Verdict
from domain.diagnosis import Diagnosis, Severity
from domain.messages.backend import BackendReport
from domain.profile import StepState, StepStatus
from domain.spec import BackendMode
from domain.status import Observation, Phase, Pod, Release, Retry, Status
from planning.status import question
from planning.status.markdown import backend_markdown, status_markdown

PODS = [
    Pod(name="p1", node="n1", ready=True, stage="abc", state="Running"),
    Pod(name="p2", stage="abc", state="Pending"),
]
FINDING = Diagnosis(
    code="SCHED_NO_LABEL",
    what="2 nodes lack the label",
    evidence="0/2 nodes are available",
    because="the scheduler finds no node",
    do="`kubectl label node n2 fluidexnode=computation`",
    severity=Severity.NEEDS_HUMAN,
)
STATUS = Status(
    cluster="default",
    namespace="fleet",
    phase=Phase.DEGRADED,
    endpoint="10.0.0.1:50055",
    release=Release(stage="abc", commit="c" * 40, image="h/p:client-abc@sha256:aa", replicas=2),
    observed=Observation(exists=True, wanted=2, ready=1, available=1, updated=2, pods=PODS, diagnosis=FINDING),
    warnings=["runs as root"],
    pending=["scale to 3"],
    outcomes=[
        Outcome(command_id="1", kind=Kind.SCALE, title="scale to 2", verdict=Verdict.DONE),
        Outcome(command_id="2", kind=Kind.SCALE, title="scale to 9", verdict=Verdict.REFUSED, message="2 of 2 nodes"),
    ],
)


def test_the_page_tells_the_whole_state() -> None:
    """Phase, counts, stage, digest, endpoint, pods, finding with its remedy, waiting and past commands."""
    page = status_markdown(STATUS)
    for part in (
        "degraded — 1 of 2 clients ready",
        "`abc` (commit `cccccccccccc`)",
        "`h/p:client-abc@sha256:aa`",
        "`10.0.0.1:50055`",
        "`p1` on `n1`: Ready",
        "`p2`: Pending",
        "`SCHED_NO_LABEL`",
        "`0/2 nodes are available`",
        "`kubectl label node n2 fluidexnode=computation`",
        "runs as root",
        "scale to 3",
        "scale to 9 — refused: 2 of 2 nodes",
    ):
        assert part in page


def test_the_latest_command_comes_first() -> None:
    """The reader came for what just happened."""
    page = status_markdown(STATUS)
    assert page.index("scale to 9") < page.index("scale to 2")


def test_a_new_deployment_has_a_short_page() -> None:
    """The page claims nothing that is unknown; the wanted number comes from the release."""
    page = status_markdown(Status(phase=Phase.IMAGE, step="building", release=Release(stage="abc", replicas=2)))
    assert page.startswith("### ⏳ image — 0 of 2 clients ready\n\nbuilding …")
    assert "Pods" not in page


def test_a_failing_step_shows_its_reason_at_once() -> None:
    """While it is being retried the reader sees why."""
    retry = Retry(step="push", attempt=3, diagnosis=Diagnosis(code="UNAVAILABLE", what="the registry is away"))
    page = status_markdown(Status(retry=retry))
    assert "**Trying again** push (attempt 3)" in page
    assert "the registry is away" in page


def test_a_finding_says_since_when_and_what_serves_all_the_same() -> None:
    """The page shows that old clients still work, so that there is no hurry."""
    found = Diagnosis(code="X", what="it fails", on="pod p", since="2026-01-01T00:00:00Z", serving="1/2")
    page = status_markdown(Status(diagnosis=found))
    assert "**`X`** it fails on pod p, since 2026-01-01T00:00:00Z\n\n- **Still serving:** 1/2 clients\n" in page


def test_an_open_question_comes_with_the_lines_to_type() -> None:
    """The lines say what each choice does and what happens without one, with namespace and cluster."""
    found = Diagnosis(code="SCHED_CORDON", what="1 of 3 clients finds no node")
    asked = question.question_about("d1#1", "d1", found, "2026-01-01T00:00:00Z", wanted=3, fits=2, back=False)
    page = status_markdown(Status(namespace="provers", cluster="east", diagnosis=found, question=asked))
    assert "**A person must choose.** Unless answered by 2026-01-01T00:00:00Z it is abort;" in page
    assert "- `proverctl answer fewer -n provers --cluster east` — go on with 2 clients, which is what fits now" in page
    assert "rollback" not in page


def test_an_unused_endpoint_is_not_shown_as_used() -> None:
    """COORDINATOR_SERV overrides it, and the page says so."""
    page = status_markdown(STATUS.model_copy(update={"upstream_override": "http://c:1"}))
    assert "`http://c:1` by COORDINATOR_SERV; `10.0.0.1:50055` is not used" in page


def test_text_of_others_stays_text() -> None:
    """Evidence cannot bring markup, links, escape sequences or passwords onto the page."""
    nasty = "\x1b[31m<img src=x onerror=alert(1)> [click](http://evil) ``` # big https://u:canary@h\n\n# heading"
    finding = Diagnosis(code="X", what=nasty, evidence=nasty, because=nasty, do=nasty)
    html = MarkdownIt("commonmark", {"html": False}).render(
        status_markdown(Status(diagnosis=finding, warnings=[nasty]))
    )
    for tag in ("<img", "<a ", "<h1>", "canary", "\x1b"):
        assert tag not in html


def test_large_fleets_fit_on_the_page() -> None:
    """Troubled pods come first, the rest is counted."""
    pods = [Pod(name=f"p{n:04}", ready=n != 777) for n in range(1000)]
    page = status_markdown(Status(observed=Observation(exists=True, pods=pods)))
    assert "`p0777`" in page
    assert "… and 980 more; 999 of all 1000 are ready" in page
    assert len(page) < 4000


def test_a_backend_is_a_line_a_step() -> None:
    """Each line has state, time and reason; text from elsewhere stays text."""
    down = Diagnosis(code="BACKEND_DOWN", what="step node does not run any more", on="backend demo")
    report = BackendReport(
        workflow_id="prover-backend/local/demo",
        profile="demo",
        ok=False,
        mode=BackendMode.REAL,
        repo="/srv/backend",
        steps=[
            StepStatus(name="build", kind="command", state=StepState.DONE, seconds=61.2),
            StepStatus(name="node", kind="function", state=StepState.FAILED, detail="# not a heading"),
        ],
        diagnosis=down,
    )
    retry = Retry(step="run build", attempt=2, diagnosis=Diagnosis(code="UNAVAILABLE", what="no answer"))
    text = backend_markdown(report, [retry])
    assert text.startswith("### ⛔ backend `demo`\n\n- **Mode:** real\n- **Repository:** `/srv/backend`\n")
    assert "- ✅ `build` (command) — done, 1 min 1 s\n- ⛔ `node` (function) — failed: \\# not a heading\n" in text
    assert "**Trying again** run build (attempt 2)" in text
    assert text.endswith("**`BACKEND_DOWN`** step node does not run any more on backend demo\n")
