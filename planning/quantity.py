"""Compares Kubernetes quantities such as 500m, 64 and 200Gi, exactly."""

import re
from decimal import Decimal

_SHAPE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:([eE][+-]?[0-9]+)|([numkMGTPE]|[KMGTPE]i))?")
_BINARY = {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)}
_DECIMAL = {letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", start=1)}
_SMALL = {"m": Decimal(1000) ** -1, "u": Decimal(1000) ** -2, "n": Decimal(1000) ** -3}
_FACTORS = {"": Decimal(1)} | _BINARY | _DECIMAL | _SMALL


def amount(quantity: str) -> Decimal:
    """The quantity as a number: cores, or bytes; ValueError when it is none."""
    found = _SHAPE.fullmatch(quantity)
    if found is None:
        raise ValueError(f"{quantity!r} is not a Kubernetes quantity")
    number, exponent, suffix = found.groups()
    return Decimal(number + (exponent or "")) * _FACTORS[suffix or ""]
