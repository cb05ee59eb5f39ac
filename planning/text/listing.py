"""Lists shortened to their first items."""

from collections.abc import Sequence


def listed(items: Sequence[str], most: int, separator: str = ", ") -> str:
    """Join the first `most` items and count the others, e.g. `a, b and 3 more`.

    Items with commas take the separator `; `, items on lines of their own one that begins with a newline.
    """
    text, more = separator.join(items[:most]), len(items) - most
    if more <= 0:
        return text
    before = " " if separator == ", " else separator
    return f"{text}{before}{'… ' if separator.startswith(chr(10)) else ''}and {more} more"
