"""How two images under one tag differ, in words."""

import pytest

from clients.image.tags import difference

KEY, SMALL = {"sha256:1": "mon.key"}, {"sha256:2": "4 circuit files"}


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        (KEY, {"sha256:9": "mon.key"}, "mon.key differs from X"),
        (
            KEY | SMALL,
            {"sha256:8": "mon.key", "sha256:9": "4 circuit files"},
            "the contents of 4 circuit files, mon.key differ from X",
        ),
        (SMALL, {"sha256:9": "5 circuit files"}, "it has 4 circuit files where X has 5 circuit files"),
        (
            KEY | SMALL,
            {"sha256:8": "mon.key"},
            "mon.key differs from X, and it has 4 circuit files where X has nothing",
        ),
        (KEY, KEY, "the configuration of the base image differs from X"),
    ],
)
def test_what_differs_is_told_in_a_sentence(ours: dict[str, str], theirs: dict[str, str], told: str) -> None:
    """Files that are on both sides, and those that are on one."""
    assert difference(ours, theirs, "X") == told
