"""Cost of a change (nothing new, a new commit, a new client, one key of eight): seconds and bytes sent.

Ours, classic `docker build` and `docker push`, and `crane append` each keep their caches and do the same change in
turn, through one counting proxy to one registry. Each has a repository of its own. Crane needs a new client in the
registry first: Docker, which has just sent it for its own image, pushes it there without sending it again.
"""

import statistics
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from bench.image.counter import Counter
from bench.image.inputs import CLIENT, MIB, REPOSITORY, TOTAL, Anonymous, Keys, base_images, room_for, scratch
from bench.image.peers import Crane, Docker, peers
from bench.image.registry import PrivateRegistry
from bench.result import Figures, Result, best
from bench.world.embedded import World
from clients.image.images import PushedImages

_KEYS = 8
_ROUNDS = 3
_KIB = 1024
_NOTHING, _COMMIT, _CLIENT, _KEY = "nothing new", "new commit", "new client", "one key of eight"
_TALK = 64 * _KIB  # bytes of requests beside the content
_GOALS = {_NOTHING: 0.2, _COMMIT: 1.0}  # seconds


class Cost(NamedTuple):
    """Of one image."""

    seconds: float
    sent: int  # bytes


class _Inputs(NamedTuple):
    """Inputs that all contestants build from."""

    base: str
    commit: int


def run(world: World, size: int = TOTAL) -> Result:
    """Wall seconds of a new commit; the other changes and all bytes are among the settings."""
    with ExitStack() as stack:
        folder = stack.enter_context(scratch())
        room_for(10 * size, folder)
        bases = stack.enter_context(base_images(world, 1 + _ROUNDS))
        docker, crane = stack.enter_context(peers(world, folder / "tars"))
        registry = stack.enter_context(PrivateRegistry(folder / "registry"))
        counter = stack.enter_context(Counter(registry.host))
        contest = _Contest(world, folder, size // _KEYS, docker, crane, counter)
        costs = contest.hold(bases)
    ours = {change: costs[change]["ours"] for change in costs}
    return Result(
        metric="image-commit",
        unit="s",
        n=_ROUNDS,
        ours=_figures(ours[_COMMIT]),
        peers=(beside := {name: _figures(found) for name, found in costs[_COMMIT].items() if name != "ours"}),
        ratio=round(_figures(ours[_COMMIT]).p50 / best(beside), 2),
        goal=_goal(),
        holds=_holds(ours, size // _KEYS),
        settings=world.versions()
        | {change: _told(found) for change, found in costs.items()}
        | {
            "keys": f"{_KEYS} of {size // _KEYS // MIB} MiB, random",
            "base image": f"{CLIENT // MIB} MiB, random",
            "registry": f"{registry.kind} on loopback",
        },
    )


class _Contest:
    """All contestants with the same inputs."""

    def __init__(self, world: World, folder: Path, size: int, docker: Docker, crane: Crane, counter: Counter) -> None:
        self._keys = Keys(folder / "backend", *[size] * _KEYS)
        self._images = PushedImages(world.env["DOCKER_HOST"], Anonymous(), folder / "state")
        self._docker = docker
        self._crane = crane
        self._counter = counter
        self._pushed: dict[str, str] = {}  # base image → its name in the registry
        crane.pack(self._keys)

    def hold(self, bases: list[str]) -> dict[str, dict[str, list[Cost]]]:
        """Costs by change and contestant; there is one base image more than rounds."""
        inputs = _Inputs(bases[0], 0)
        for image in self._contestants().values():
            image(inputs)
        costs: dict[str, dict[str, list[Cost]]] = {}
        for turn, base in enumerate(bases[1:]):
            inputs = self._measure(costs, _NOTHING, inputs)
            inputs = self._measure(costs, _COMMIT, inputs._replace(commit=inputs.commit + 1))
            inputs = self._measure(costs, _CLIENT, inputs._replace(base=base, commit=inputs.commit + 1))
            changed = self._keys.paths[1 + turn % (_KEYS - 1)]
            self._keys.change(changed)
            self._crane.pack(self._keys, [changed])
            inputs = self._measure(costs, _KEY, inputs._replace(commit=inputs.commit + 1))
        return costs

    def _measure(self, costs: dict[str, dict[str, list[Cost]]], change: str, inputs: _Inputs) -> _Inputs:
        for name, image in self._contestants().items():
            self._counter.take()
            seconds = image(inputs)
            costs.setdefault(change, {}).setdefault(name, []).append(Cost(seconds, self._counter.take()))
        return inputs

    def _contestants(self) -> Mapping[str, Callable[[_Inputs], float]]:
        return {"ours": self._ours, "docker build and push": self._dockers, "crane append": self._cranes}

    def _ours(self, inputs: _Inputs) -> float:
        request = self._keys.request(inputs.base, self._counter.host, commit=inputs.commit)
        start = time.perf_counter()
        self._images.ensure(request, lambda *_: None)
        return time.perf_counter() - start

    def _dockers(self, inputs: _Inputs) -> float:
        repository = f"{REPOSITORY}-docker"
        return self._docker.image(self._keys, inputs.base, self._counter.host, repository, inputs.commit)

    def _cranes(self, inputs: _Inputs) -> float:
        start = time.perf_counter()
        if inputs.base not in self._pushed:
            self._pushed[inputs.base] = self._docker.push_base(inputs.base, self._counter.host)
        self._crane.image(self._pushed[inputs.base], f"{self._counter.host}/{REPOSITORY}-crane:c{inputs.commit}")
        return time.perf_counter() - start


def _goal() -> str:
    seconds = " and ".join(f"{change} <= {limit} s" for change, limit in _GOALS.items())
    return f"{seconds}, each with <= {_TALK // _KIB} KiB sent; else only the changed layers and that"


def _holds(ours: Mapping[str, list[Cost]], key: int) -> bool:
    limits = {_NOTHING: _TALK, _COMMIT: _TALK, _CLIENT: CLIENT + _TALK, _KEY: key + _TALK}
    quick = all(_figures(ours[change]).p50 <= limit for change, limit in _GOALS.items())
    return quick and all(cost.sent <= limits[change] for change, found in ours.items() for cost in found)


def _figures(costs: list[Cost]) -> Figures:
    return Figures.of([cost.seconds for cost in costs])


def _told(costs: Mapping[str, list[Cost]]) -> str:
    lines = []
    for name, found in costs.items():
        sent = statistics.median(cost.sent for cost in found)
        lines.append(f"{name} {_figures(found).p50:.2f} s, {sent / _KIB:,.0f} KiB sent")
    return "; ".join(lines)
