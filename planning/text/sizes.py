"""Numbers and bytes as text for people.

Bytes are decimal as in Docker and registries: 1 GB is 10^9 bytes.
"""

_UNITS = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))
_DECIMAL_SPEED = 10  # of a unit a second; below it one decimal is shown
_DECIMAL_AMOUNT = 100  # of a unit; below it one decimal is shown


def counted(number: int, noun: str) -> str:
    """Return number and noun, such as `1 client` and `2 clients`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def size(count: int) -> str:
    """Return bytes such as `38.0 GB` or `310 MB`, rounded down."""
    return amount(count, 0)


def amount(done: int, total: int) -> str:
    """Return both in the unit of the larger, such as `12.4 of 38.0 GB`; without a total what is done so far."""
    unit, size = _unit(max(done, total))
    digits = 1 if size > 10**3 and max(done, total) < _DECIMAL_AMOUNT * size else 0
    # Rounded down, so that the whole is never said of a part.
    parts = [f"{part * 10**digits // size / 10**digits:.{digits}f}" for part in ([done, total] if total else [done])]
    return f"{' of '.join(parts)} {unit}"


def speed(rate: float) -> str:
    """Return a rate such as `310 MB/s` or `1.2 GB/s`; empty as long as it is unknown, or while nothing moves."""
    unit, size = _unit(int(rate))
    return f"{rate / size:.{1 if rate / size < _DECIMAL_SPEED and size > 1 else 0}f} {unit}/s" if rate >= 1 else ""


def _unit(size: int) -> tuple[str, int]:
    return next((found for found in _UNITS if size >= found[1]), ("B", 1))
