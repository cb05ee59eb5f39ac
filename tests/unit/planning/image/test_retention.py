"""Which images stay: named ones, the newest, and those that something else holds on to."""

import pytest

from domain.diagnosis import Choice, Diagnosis
from domain.images import StoredImage
from domain.status import Phase, Question, Release, Status
from planning.image import retention
from planning.image.retention import ENGINE, REGISTRY


def _image(letter: str, day: int = 0, *tags: str, place: str = REGISTRY) -> StoredImage:
    """`day` 0: of unknown age."""
    created = f"2026-01-{day:02}T00:00:00Z" if day else ""
    tags = tags or (f"client-{letter}",)
    return StoredImage(place=place, digest=f"sha256:{letter}", tags=list(tags), stage=letter, created=created)


def _kept(
    found: list[StoredImage],
    keep: int = 0,
    named: dict[str, list[str]] | None = None,
    pinned: dict[str, str] | None = None,
) -> dict[str, str]:
    """In the order of the answer."""
    return {one.tags[0]: one.kept for one in retention.judged(found, named or {}, keep, pinned or {})}


def test_the_newest_stay() -> None:
    """By date, newest first; what has no date counts as older than all that have one."""
    found = [_image("a", 1), _image("x"), _image("c", 3), _image("b", 2)]
    assert _kept(found, keep=2) == {
        "client-c": "among the newest 2",
        "client-b": "among the newest 2",
        "client-a": "",
        "client-x": "",
    }
    assert set(_kept(found, keep=0).values()) == {""}
    assert "" not in _kept(found, keep=4).values()


def test_what_a_history_names_stays_however_old() -> None:
    """By digest or by tag, in any repository notation, and it is said by whom."""
    found = [
        _image("a", 1),
        _image("b", 2, "client-b", "client-b-12345678"),
        _image("c", 3, "hub:5000/p:client-c", place=ENGINE),
        _image("d", 4),
    ]
    named = {"sha256:a": ["one revision 1", "two revision 7"], "client-b": ["one revision 2"], "client-c": ["three"]}
    assert _kept(found, named=named) == {
        "client-d": "",
        "client-b": "named by one revision 2",
        "client-a": "named by one revision 1, two revision 7",
        "hub:5000/p:client-c": "named by three",
    }


def test_what_others_hold_on_to_stays() -> None:
    """Removing a digest takes away all its tags, and breaks an index that it is part of."""
    found = [_image("a", 1, "client-a", "production"), _image("b", 2), _image("c", 3)]
    assert _kept(found, pinned={"sha256:b": "part of multi"}) == {
        "client-c": "",
        "client-b": "part of multi",
        "client-a": "also tagged production",
    }
    assert _kept([_image("a", 1, "client-a", "own", place=ENGINE)]) == {"client-a": ""}


def test_each_place_keeps_its_own_newest() -> None:
    """Registry first; in the Engine prover images and base images are counted apart."""
    found = [
        _image("e", 9, "hub/p:client-e", place=ENGINE),
        _image("f", 8, "prover-base:ff", place=ENGINE),
        _image("g", 7, "prover-base:00", place=ENGINE),
        _image("a", 1),
    ]
    assert _kept(found, keep=1) == {
        "client-a": "among the newest 1",
        "hub/p:client-e": "among the newest 1",
        "prover-base:ff": "among the newest 1",
        "prover-base:00": "",
    }


def test_of_one_commit_the_image_that_the_tag_names_is_the_newest() -> None:
    """A stage set by hand moves: what it named before has the twin tag alone."""
    before = _image("dev", 5, "client-dev-99999999").model_copy(update={"digest": "sha256:9"})
    now = _image("dev", 5, "client-dev", "client-dev-11111111").model_copy(update={"digest": "sha256:1"})
    assert _kept([before, now], keep=1) == {"client-dev": "among the newest 1", "client-dev-99999999": ""}


def test_what_a_deployment_names() -> None:
    """Its history, the release under way and the one that serves, by digest and tag, each once."""
    one = Release(revision=1, image="hub:5000/p:client-a@sha256:a")
    two = Release(revision=2, image="hub:5000/p:client-b@sha256:b")
    three = Release(revision=3, image="hub:5000/p")
    assert retention.naming("d", Status(releases=[two, three], release=three, serving=one)) == {
        "sha256:a": ["d revision 1"],
        "client-a": ["d revision 1"],
        "sha256:b": ["d revision 2"],
        "client-b": ["d revision 2"],
    }
    assert retention.naming("d", Status(releases=[two, two]))["sha256:b"] == ["d revision 2"]


def test_many_namers_are_counted() -> None:
    """An image of a hundred deployments does not fill the report."""
    many = [{"sha256:a": [f"d{number}"]} for number in range(100)]
    merged = retention.merged(many)
    assert merged == {"sha256:a": ["d0", "d1", "d2", "97 more"]}
    assert retention.merged([{"x": ["a"]}, {"y": ["b"], "x": ["c"]}]) == {"x": ["a", "c"], "y": ["b"]}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (Status(phase=Phase.IMAGE), True),
        (Status(phase=Phase.WAITING), True),
        (Status(phase=Phase.SERVING), False),
        (Status(phase=Phase.ROLLING_OUT), False),
        (Status(phase=Phase.PARKED), False),
        (
            Status(
                phase=Phase.PARKED,
                question=Question(
                    id="q",
                    command_id="c",
                    diagnosis=Diagnosis(code="NODES", what="too few"),
                    choices=[Choice.RETRY],
                    default=Choice.RETRY,
                    deadline="",
                ),
            ),
            True,
        ),
    ],
)
def test_a_deployment_on_its_way_has_not_recorded_its_image(status: Status, expected: bool) -> None:
    """Nor has one whose command waits for a person."""
    assert retention.unrecorded(status) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05Z"),
        ("2026-01-02T03:04:05.123456789Z", "2026-01-02T03:04:05Z"),
        ("1970-01-01T00:00:00Z", ""),
        ("0001-01-01T00:00:00Z", ""),
        ("yesterday", ""),
        ("", ""),
    ],
)
def test_times(text: str, expected: str) -> None:
    """As Docker, git and OCI write them; a made-up one is none."""
    assert retention.moment(text) == expected
