"""A deployment in words."""

from datetime import UTC, datetime

import pytest

from domain.diagnosis import Diagnosis, Severity
from domain.images import TransferProgress
from domain.status import Observation, Phase, Pod, Release, Retry, Status
from planning.status import question
from starter.cli import terminal
from starter.cli.progress import Progress
from starter.views import deployment

SEEN = Observation(exists=True, wanted=2, ready=1, pods=[Pod(name="p-1", node="n1", ready=True, state="Running")])
STUCK = Diagnosis(code="IMAGE_AUTH", what="pull denied", do="log in", severity=Severity.FATAL)


def test_progress_is_one_line_with_phase_stage_counts_and_step() -> None:
    """The line holds what people watch while they wait."""
    status = Status(phase=Phase.WAITING, step="wait", release=Release(stage="abc"), observed=SEEN)
    assert deployment.progress(status) == "waiting       stage abc  1/2 ready  wait"


def test_a_retry_shows_in_the_line_as_a_number_and_beside_it_as_a_reason() -> None:
    """The first failure's reason shows at once; the evidence is shortened and keeps its end, where the cause stands."""
    long = STUCK.model_copy(update={"evidence": "x" * 500 + " denied"})
    status = Status(phase=Phase.IMAGE, step="push", retry=Retry(step="push", attempt=2, diagnosis=long))
    trouble = deployment.trouble(status)
    assert trouble is not None
    assert deployment.progress(status) == "image         push (attempt 3)"
    assert (trouble.head, trouble.text[:24]) == ("will try again to push: ", "IMAGE_AUTH: pull denied.")
    assert len(trouble.text) < 250
    assert trouble.text.endswith("x denied. Do: log in.")


def test_what_releases_counts_no_clients() -> None:
    """The clients counted before are no longer observed while they are removed."""
    status = Status(phase=Phase.RELEASING, step="remove the objects", observed=SEEN)
    assert deployment.progress(status) == "releasing     remove the objects"


def test_a_finding_says_since_when_and_what_serves_all_the_same() -> None:
    """The page shows that old clients still work, so that there is no hurry."""
    found = STUCK.model_copy(update={"since": "2026-01-01T00:00:00Z", "serving": "1/2"})
    assert deployment.finding(found) == [
        ("diagnosis", "IMAGE_AUTH: pull denied, since 2026-01-01T00:00:00Z"),
        ("  do", "log in"),
        ("  serving", "1/2 clients"),
    ]


def test_the_page_shows_an_open_question() -> None:
    """The page has the lines to type and what happens without an answer."""
    asked = question.question_about("d1#1", "d1", STUCK, "2026-01-01T00:00:00Z", wanted=3, fits=0, back=False)
    page = deployment.page(Status(namespace="provers", cluster="default", question=asked), "http://ui")
    assert "retry or abort? Unless answered by 2026-01-01T00:00:00Z it is abort;" in page
    assert "proverctl answer retry -n provers  (try again, with its time limits reset)" in page


def test_no_trouble_is_none() -> None:
    """A status without a retry and without a finding has no trouble."""
    assert deployment.trouble(Status(observed=SEEN)) is None


def test_the_page_shows_everything_that_matters() -> None:
    """Phase, commit, image, endpoint and its override, backend, pods, warnings, diagnosis, the UI."""
    status = Status(
        deployment="prover-cluster/default/provers",
        phase=Phase.DEGRADED,
        since="2026-01-01T00:00:00Z",
        release=Release(
            stage="abc",
            commit="abcdef0123456789",
            dirty=True,
            image="h/r:client-abc@sha256:0",
            checked_out="https://git.example.com/x@v1",
        ),
        endpoint="10.0.0.7:50055",
        upstream_override="http://proxy",
        backend="prover-backend/local/example",
        simulated=True,
        observed=SEEN,
        warnings=["w1"],
        diagnosis=STUCK,
    )
    page = deployment.page(status, "http://ui")
    for part in (
        "degraded (since 2026-01-01T00:00:00Z)",
        "abc (commit abcdef012345, uncommitted changes)",
        "h/r:client-abc@sha256:0",
        "https://git.example.com/x@v1",
        "10.0.0.7:50055 (overridden: clients use http://proxy)",
        "prover-backend/local/example, simulated data",
        "1 of 2 ready",
        "p-1",
        "w1",
        "IMAGE_AUTH: pull denied",
        "  do        log in",
        "http://ui",
    ):
        assert part in page


@pytest.mark.parametrize(
    ("environ", "address", "expected"),
    [
        ({}, "127.0.0.1:7233", "http://127.0.0.1:8233"),
        ({}, "http://temporal.example:7233", "http://temporal.example:8233"),
        ({}, "[fd00::1]:7233", "http://[fd00::1]:8233"),
        ({}, "127.0.0.1:7833", "http://127.0.0.1:8833"),  # not the UI of another server on this host
        ({}, "temporal.example", "http://temporal.example:8233"),
        ({"TEMPORAL_UI_ADDRESS": "https://ui.example/"}, "x:1", "https://ui.example"),
        ({"TEMPORAL_UI_ADDRESS": "ui.example:80"}, "x:1", "http://ui.example:80"),
    ],
)
def test_the_link_to_the_ui(environ: dict[str, str], address: str, expected: str) -> None:
    """The slashes of a workflow id are part of one path segment."""
    link = deployment.ui_link(environ, address, "ns", "prover-cluster/default/provers")
    assert link == f"{expected}/namespaces/ns/workflows/prover-cluster%2Fdefault%2Fprovers"


@pytest.mark.parametrize(
    ("then", "expected"),
    [
        ("2026-01-01T11:59:57Z", "3 s"),
        ("2026-01-01T11:50:00Z", "10 min"),
        ("2026-01-01T09:00:00Z", "3 h"),
        ("2025-12-30T12:00:00Z", "2 d"),
        ("2026-01-01T12:00:05Z", "0 s"),
        ("", ""),
    ],
)
def test_how_old_something_is(then: str, expected: str) -> None:
    """Ages are in the largest unit that fits; a clock that is ahead makes no negative age."""
    assert deployment.age(then, datetime(2026, 1, 1, 12, tzinfo=UTC)) == expected


def test_the_listing_names_its_columns_and_leaves_no_cell_empty() -> None:
    """The table can be cut by columns."""
    lines = deployment.listing([{"namespace": "a", "phase": "serving", "clients": "2/2"}]).splitlines()
    assert lines[0].split() == ["NAMESPACE", "CLUSTER", "PHASE", "STAGE", "CLIENTS", "ENDPOINT", "SINCE"]
    assert lines[1].split() == ["a", "-", "serving", "-", "2/2", "-", "-"]


def test_escape_sequences_of_others_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Pods and registries write parts of what is shown."""
    terminal.note("pod says \x1b]0;title\x07\x1b[2J\x1b[31mred\x1b[0m")
    terminal.data({}, "text", "\x1b[1mbold")
    said = capsys.readouterr()
    assert said.err == "pod says red\n"
    assert said.out == "bold\n"


def test_trouble_is_said_when_it_appears_changes_or_returns(capsys: pytest.CaptureFixture[str]) -> None:
    """The same trouble is not repeated with each line of progress, and takes one line whatever its text."""
    progress = Progress()
    for key, text in (("a", "a\n1"), ("a", "a 2"), ("b", "b 1"), ("", ""), ("b", "b 2")):
        progress.trouble(key, "", text)
        progress.show("line", "topic")
    assert capsys.readouterr().err.splitlines() == ["! a 1", "line", "! b 1", "! b 2"]


def test_progress_without_a_terminal_is_plain_and_says_a_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    """No carriage return, no colour, no repetition."""
    progress = Progress()
    for line in ("a 1", "a 1", "a 2", "a 2"):
        progress.show(line, "a")
    progress.end()
    assert capsys.readouterr().err == "a 1\na 2\n"


def test_details_without_a_terminal_are_seldom(capsys: pytest.CaptureFixture[str]) -> None:
    """A log must not grow by a line a second; a new step is said at once, and a new detail after a while."""
    progress = Progress()
    progress.show("push", "image")
    progress.show("push", "image", "1 of 7 GB")
    progress.show("apply", "applying", "1 of 5")
    progress.show("apply", "applying", "2 of 5")
    assert capsys.readouterr().err == "push\napply: 1 of 5\n"


def test_details_are_said_again_after_a_while(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour's push is seen to move."""
    monkeypatch.setattr("starter.cli.progress.DETAIL_SECONDS", 0.0)
    progress = Progress()
    for detail in ("1 of 7 GB", "1 of 7 GB", "2 of 7 GB"):
        progress.show("push", "image", detail)
    assert capsys.readouterr().err == "push: 1 of 7 GB\npush: 2 of 7 GB\n"


def _moving(done: int, verb: str = "pushing") -> TransferProgress:
    return TransferProgress(verb=verb, count=1, done=done, total=1000)


def test_a_transfer_without_a_terminal_is_a_line_for_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    """The first and the last line are among them, and reading does not count as pushing."""
    progress = Progress()
    progress.show("push", "image", "looking")
    for done in (0, 50, 99, 100, 101, 450, 999, 1000):
        progress.show("push", "image", f"at {done}", _moving(done))
    progress.show("push", "image", "reading 0", _moving(1000, "reading"))
    progress.show("push", "image", "looking again")
    assert capsys.readouterr().err.splitlines() == [
        "push: looking",
        *(f"push: at {done}" for done in (0, 100, 450, 999, 1000)),
        "push: reading 0",
    ]


def test_a_slow_transfer_without_a_terminal_is_said_again_after_a_while(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tenth of tens of GB takes long; so does what has no known end."""
    monkeypatch.setattr("starter.cli.progress.TRANSFER_SECONDS", 0.0)
    progress = Progress()
    for done in (1, 2, 2):
        progress.show("push", "image", f"at {done}", _moving(done))
    progress.show("push", "image", "at 3", _moving(3).model_copy(update={"total": 0}))
    assert capsys.readouterr().err == "push: at 1\npush: at 2\npush: at 3\n"


@pytest.mark.parametrize("phase", [Phase.APPLYING, Phase.ROLLING_OUT, Phase.ROLLING_BACK])
def test_a_rollout_is_counted_once(phase: Phase) -> None:
    """The step says how many of the new clients are ready; what was seen last is of those before."""
    status = Status(phase=phase, step="wait", observed=Observation(exists=True, wanted=2, ready=2))
    assert "2/2 ready" not in deployment.progress(status)
    assert "2 of 2 ready" not in deployment.page(status, "http://ui", "0 of 2 clients ready, 1 updated")
    assert "2 of 2 ready" in deployment.page(status, "http://ui")
