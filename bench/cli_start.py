"""`proverctl --help` beside `kubectl --help` and `temporal --help`: a CLI that hesitates is not used."""

import os
from functools import partial

from bench.result import Figures, Result, best
from bench.timing import in_turn, timed
from bench.world.embedded import World

_ROUNDS = 20
_GOAL_SECONDS = 0.150


def run(world: World) -> Result:
    """Wall time of the whole process, in seconds."""
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/root"), "LANG": "C.UTF-8"}
    commands = {"ours": [world.proverctl], "kubectl": [world.kubectl], "temporal": [world.temporal]}
    samples = in_turn(
        {name: partial(timed, [*argv, "--help"], env=env) for name, argv in commands.items()}, rounds=_ROUNDS
    )
    ours = Figures.of(samples.pop("ours"))
    peers = {name: Figures.of(sample) for name, sample in samples.items()}
    return Result(
        metric="cli-start",
        unit="s",
        n=_ROUNDS,
        ours=ours,
        peers=peers,
        ratio=round(ours.p50 / best(peers), 2),
        goal=f"ours p50 <= {_GOAL_SECONDS} s",
        holds=ours.p50 <= _GOAL_SECONDS,
        settings=world.versions(),
    )
