"""Durations as text."""

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def duration(seconds: float, units: int = 2) -> str:
    """Return whole seconds in the largest unit that fits and those below it, e.g. `3 min 5 s`; zeros are left out.

    At most `units` successive units are named: `3 min` with one. Rounded down; `0 s` below one second.
    """
    rest = max(int(seconds), 0)
    first = next((index for index, (size, _) in enumerate(_UNITS) if rest >= size), len(_UNITS) - 1)
    parts = []
    for size, unit in _UNITS[first : first + units]:
        count, rest = divmod(rest, size)
        parts += [f"{count} {unit}"] if count else []
    return " ".join(parts) or "0 s"
