"""Compares and shows Kubernetes quantities such as 500m, 64 and 200Gi, exactly."""

import re
from decimal import Decimal
from functools import lru_cache

_SHAPE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:([eE][+-]?[0-9]{1,2})|([numkMGTPE]|[KMGTPE]i))?", re.ASCII)
_BINARY = {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)}
_DECIMAL = {letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", start=1)}
_SMALL = {"m": Decimal(1000) ** -1, "u": Decimal(1000) ** -2, "n": Decimal(1000) ** -3}
_FACTORS = {"": Decimal(1)} | _BINARY | _DECIMAL | _SMALL
_IN_BYTES = {"memory", "ephemeral-storage"}
_TENTH = Decimal("0.1")


@lru_cache(maxsize=4096)  # the nodes of a large cluster are of few sizes
def amount(quantity: str) -> Decimal:
    """Return the quantity as a number: cores, or bytes; ValueError when it is none."""
    found = _SHAPE.fullmatch(quantity)
    if found is None:
        raise ValueError(f"{quantity!r} is not a Kubernetes quantity")
    number, exponent, suffix = found.groups()
    return Decimal(number + (exponent or "")) * _FACTORS[suffix or ""]


def shown(value: Decimal, resource: str) -> str:
    """Return the number as people write it, rounded down: bytes in the largest unit with digits, else 3.5."""
    if resource.rpartition(".")[2] not in _IN_BYTES:
        return _plain(value.quantize(_SMALL["m"], rounding="ROUND_FLOOR"))
    for unit, factor in reversed(_BINARY.items()):
        if abs(value) >= factor:
            return _plain((value / factor).quantize(_TENTH, rounding="ROUND_FLOOR")) + unit
    return _plain(value)


def _plain(value: Decimal) -> str:
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
