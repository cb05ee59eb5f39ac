"""Lists that are too long to be shown."""

import pytest

from planning.text.listing import listed


@pytest.mark.parametrize(
    ("most", "separator", "text"),
    [
        (3, ", ", "a, b, c"),
        (2, ", ", "a, b and 1 more"),
        (1, "; ", "a; and 2 more"),
        (1, "\n- ", "a\n- … and 2 more"),
    ],
)
def test_the_first_items_are_shown_and_the_others_counted(most: int, separator: str, text: str) -> None:
    """The count stays readable beside items that hold commas or take a line each."""
    assert listed(["a", "b", "c"], most, separator) == text


def test_nothing_is_an_empty_text() -> None:
    """Callers say themselves what nothing means."""
    assert listed([], 3) == ""
