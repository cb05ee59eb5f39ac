"""Durations as people read them."""

import pytest

from planning.text.durations import duration


@pytest.mark.parametrize(
    ("seconds", "units", "text"),
    [
        (-5, 2, "0 s"),
        (0.9, 2, "0 s"),
        (59.9, 2, "59 s"),
        (60, 2, "1 min"),
        (65, 2, "1 min 5 s"),
        (65, 1, "1 min"),
        (3605, 2, "1 h"),
        (7380, 2, "2 h 3 min"),
        (90000, 2, "1 d 1 h"),
        (90000, 1, "1 d"),
    ],
)
def test_durations_are_rounded_down(seconds: float, units: int, text: str) -> None:
    """Successive units, of which zeros are left out."""
    assert duration(seconds, units) == text
