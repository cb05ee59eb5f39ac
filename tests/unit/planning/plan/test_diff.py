"""The difference of two objects is what people would call one, and never what a Secret holds."""

from typing import Any

import pytest

from planning.manifests.yaml_output import LAST_APPLIED
from planning.plan import diff

CANARY = "canary-hunter2"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            {"spec": {"replicas": 2}},
            {"spec": {"replicas": 3}},
            ["@@ spec @@", " spec:", "-  replicas: 2", "+  replicas: 3"],
        ),
        ({"spec": {"a": 1}}, {"spec": {"a": 1}}, []),
        ({"spec": {"a": 1}}, {"spec": {}}, ["-spec:", "-  a: 1", "+spec: {}"]),
        (
            {"spec": {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}},
            {"spec": {"env": [{"name": "B", "value": "2"}, {"name": "A", "value": "9"}]}},
            [
                "@@ spec.env[name: A] @@",
                "       value: '2'",
                "     - name: A",
                "-      value: '1'",
                "+      value: '9'",
            ],
        ),
        (
            {"spec": {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}},
            {"spec": {"env": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}]}},
            [],
        ),
        ({"args": ["x", "y"]}, {"args": ["x", "z"]}, ["@@ args @@", " args:", "   - x", "-  - y", "+  - z"]),
        (
            {"data": {"client": "a: 1\nb: 2\n"}},
            {"data": {"client": "a: 1\nb: 3\n"}},
            ["@@ data.client @@", "   client: |", "     a: 1", "-    b: 2", "+    b: 3"],
        ),
        (
            {"metadata": {"labels": {"a/b": "x"}}},
            {"metadata": {"labels": {}}},
            ["@@ metadata @@", " metadata:", "-  labels:", "-    a/b: x", "+  labels: {}"],
        ),
        ({"v": True}, {"v": "true"}, ["-v: true", "+v: 'true'"]),
        ({"v": ""}, {"v": " x"}, ["-v: ''", "+v: ' x'"]),
    ],
)
def test_lines(before: dict[str, Any], after: dict[str, Any], expected: list[str]) -> None:
    """A unified diff of the YAML, each hunk with its path; lists by the names of their entries."""
    assert diff.lines(before, after) == expected


def test_what_the_server_writes_is_no_difference() -> None:
    """Managed fields, status, versions, and the bookkeeping annotations of kubectl and the Deployment controller."""
    metadata = {"name": "a", "resourceVersion": "1", "generation": 1, "uid": "u", "managedFields": [{"manager": "m"}]}
    marks = {"annotations": {"deployment.kubernetes.io/revision": "3", LAST_APPLIED: CANARY}}
    before = {"kind": "X", "metadata": metadata | marks, "status": {"ready": 1}}
    after = {"kind": "X", "metadata": {"name": "a", "resourceVersion": "2"}}
    assert diff.lines(before, after) == []


@pytest.mark.parametrize("part", ["data", "stringData"])
@pytest.mark.parametrize("before", [None, {"kind": "Secret", "{part}": {"x": "old-" + CANARY}}])
def test_a_secret_changes_without_saying_to_what(part: str, before: dict[str, Any] | None) -> None:
    """Neither the old nor the new value, whichever of the two maps it stands in; nor kubectl's copy of it."""
    old = {key.replace("{part}", part): value for key, value in before.items()} if before else None
    metadata = {"annotations": {LAST_APPLIED: f'{{"data":"{CANARY}"}}'}}
    lines = diff.lines(old, {"kind": "Secret", "metadata": metadata, part: {"x": CANARY}}, secret=True)
    assert CANARY not in "\n".join(lines)
    assert (f"+{part}:" in lines) == (before is None)
    assert "+  x: '***" + (" (another value)'" if before else "'") in lines


def test_a_credential_elsewhere_is_scrubbed() -> None:
    """A password that somebody put into a URL."""
    lines = diff.lines({"v": "http://a"}, {"v": f"http://user:{CANARY}@host/"})
    assert lines == ["-v: http://a", "+v: http://***@host/"]


def test_credentials_that_change_are_a_difference() -> None:
    """Though both are masked."""
    lines = diff.lines({"v": f"http://user:{CANARY}@host/"}, {"v": f"http://user:{CANARY}2@host/"})
    assert lines == ["-v: http://***@host/", "+v: http://***@host/ (another value)"]


def test_a_huge_difference_is_cut() -> None:
    """A plan travels through Temporal; the count of what is missing is said."""
    lines = diff.lines({}, {"data": {f"key{number}": "x" * 1000 for number in range(500)}})
    assert len(lines) == diff.MAX_LINES + 1
    assert max(map(len, lines)) <= diff.MAX_WIDTH
    assert lines[-1] == f"  … and {501 - diff.MAX_LINES} more lines"


def test_without_the_api_server_only_our_own_fields_count() -> None:
    """Its defaults would all look like removals otherwise; entries of ours that are not there do show."""
    live = {"spec": {"replicas": 2, "paused": False, "c": [{"name": "client", "image": "a", "tty": False}]}}
    wanted = {"spec": {"replicas": 3, "c": [{"name": "client", "image": "a"}]}}
    lines = diff.lines(diff.as_wanted(live, wanted), wanted)
    assert lines == ["@@ spec @@", " spec:", "-  replicas: 2", "+  replicas: 3", "   c:", "     - name: client"]
