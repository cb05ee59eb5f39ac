"""Runs commands and times them from the outside, ours and the peers' in turn, so that drift hits all alike."""

import subprocess
import time
from collections.abc import Callable, Mapping

Sample = Callable[[], float]


def timed(command: list[str], *, env: Mapping[str, str] | None = None, stdin: bytes | None = None) -> float:
    """Wall seconds of a command that must succeed; its output is shown when it does not."""
    start = time.perf_counter()
    ended = subprocess.run(
        command, env=None if env is None else dict(env), input=stdin, capture_output=True, check=False
    )
    seconds = time.perf_counter() - start
    if ended.returncode:
        output = (ended.stdout + ended.stderr).decode(errors="replace")
        raise RuntimeError(f"{' '.join(command[:3])} … ended with {ended.returncode}:\n{output[-2000:]}")
    return seconds


def in_turn(contestants: Mapping[str, Sample], *, rounds: int, warm_up: int = 1) -> dict[str, list[float]]:
    """Take `rounds` samples of each, A B C A B C …, after uncounted rounds that warm caches."""
    samples: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(warm_up + rounds):
        for name, sample in contestants.items():
            seconds = sample()
            if turn >= warm_up:
                samples[name].append(seconds)
    return samples
