"""Paths of data by the patterns of a profile."""

import pytest

from planning.git.data_paths import is_data, may_hold_data


@pytest.mark.parametrize(
    ("pattern", "path", "data", "may_hold"),
    [
        ("a/b", "a/b", True, True),
        ("a/b/", "a/b/c/d", True, True),
        ("./a//b", "a/b/", True, True),
        ("a/b", "a", False, True),
        ("a/b", "a/bc", False, False),
        ("a/*.db", "a/x.db", True, True),
        ("a/*.db", "a/b/x.db", False, False),
        ("a/**/x", "a/x", True, True),
        ("a/**/x", "a/b/c/x/y", True, True),
        ("a/**/x", "a/b/c", False, True),
        ("a/**", "a/b", True, True),
        ("*/data", ".hidden/data", True, True),
    ],
)
def test_a_path_and_a_pattern(pattern: str, path: str, data: bool, may_hold: bool) -> None:
    """What lies below a declared path is data, too; a directory above one may hold some."""
    assert (is_data(path, [pattern]), may_hold_data(path, [pattern])) == (data, may_hold)


def test_nothing_is_declared() -> None:
    """Then nothing is data."""
    assert not is_data("a", [])
    assert not may_hold_data("a", [])
