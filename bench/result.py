"""The one shape of every benchmark's result, and how samples become figures."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Figures:
    """Nearest-rank percentiles of a sample, in the result's unit."""

    p50: float
    p95: float
    max: float

    @classmethod
    def of(cls, sample: list[float]) -> "Figures":
        """Figures of at least one value."""
        ordered = sorted(sample)

        def rank(share: float) -> float:
            return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 4)

        return cls(p50=rank(0.5), p95=rank(0.95), max=round(ordered[-1], 4))


@dataclass(frozen=True)
class Result:
    """Output of `python -m bench NAME --json`; `ratio` is ours over the best peer's, by p50."""

    metric: str
    unit: str
    n: int
    ours: Figures
    peers: Mapping[str, Figures]
    ratio: float
    goal: str
    holds: bool
    settings: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> str:
        """Return the object on one line."""
        return json.dumps(asdict(self), sort_keys=False)


def best(peers: Mapping[str, Figures]) -> float:
    """Return the best peer's median."""
    return min(figures.p50 for figures in peers.values())
