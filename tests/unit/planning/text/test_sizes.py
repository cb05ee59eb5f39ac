"""Bytes as people read them."""

import pytest

from planning.text.sizes import amount, size, speed

MB, GB = 10**6, 10**9


@pytest.mark.parametrize(
    ("done", "total", "words"),
    [
        (0, 0, "0 B"),
        (12, 999, "12 of 999 B"),
        (1500, 20_000, "1 of 20 kB"),
        (999_999, 2 * MB, "0.9 of 2.0 MB"),
        (37_999 * MB, 38 * GB, "37.9 of 38.0 GB"),
        (1500 * MB, 0, "1.5 GB"),
        (1 << 30, 1 << 30, "1.0 of 1.0 GB"),
        (99_999 * MB, 99_999 * MB, "99.9 of 99.9 GB"),
        (182 * MB + 999_999, 800 * MB, "182 of 800 MB"),
        (2500 * GB, 5000 * GB, "2500 of 5000 GB"),
    ],
)
def test_amounts_are_decimal_and_rounded_down(done: int, total: int, words: str) -> None:
    """1 GB is 10^9 bytes; what is not all there never reads as if it were."""
    assert amount(done, total) == words


@pytest.mark.parametrize(
    ("rate", "words"),
    [(0, ""), (0.4, ""), (512, "512 B/s"), (9_500, "9.5 kB/s"), (310 * MB, "310 MB/s"), (1_240 * MB, "1.2 GB/s")],
)
def test_speeds(rate: float, words: str) -> None:
    """Two digits at least, and none that nobody needs."""
    assert speed(rate) == words


def test_a_size() -> None:
    """Rounded down as well, and by the byte where it is small."""
    assert [size(count) for count in (0, 999, 1_500_000, 32 * GB, 260 * MB)] == [
        "0 B",
        "999 B",
        "1.5 MB",
        "32.0 GB",
        "260 MB",
    ]
