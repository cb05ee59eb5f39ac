"""A prover image into an empty registry: ours, classic `docker build` and `docker push`, and `crane append`.

The keys are incompressible and in the page cache. Registry and caches of the builders are emptied before each sample.
Ours is timed as a running worker does it, reading and hashing included; its state directory is fresh each time.
"""

import time
import uuid
from pathlib import Path

from bench.image.inputs import MIB, REPOSITORY, TOTAL, Anonymous, Keys, base_images, room_for, scratch
from bench.image.peers import Crane, Docker, peers
from bench.image.registry import PrivateRegistry
from bench.result import Figures, Result, best
from bench.timing import in_turn
from bench.world.embedded import World
from clients.image.images import PushedImages

KEYS = 8
_ROUNDS = 3
_OVER_DOCKER = 5.0
_OVER_CRANE = 2.0


def run(world: World, size: int = TOTAL) -> Result:
    """Wall seconds of each; `size` is of all keys, in bytes."""
    with scratch() as folder, base_images(world) as (base,), peers(world, folder / "tars") as (docker, crane):
        room_for(6 * size, folder)
        keys = Keys(folder / "backend", *[size // KEYS] * KEYS)
        crane.pack(keys)
        with PrivateRegistry(folder / "registry") as registry:
            samples = in_turn(
                {
                    "ours": lambda: _ours(world, folder, keys, base, registry),
                    "docker build and push": lambda: _docker(docker, keys, base, registry),
                    "crane append": lambda: _crane(docker, crane, base, registry),
                },
                rounds=_ROUNDS,
                warm_up=0,
            )
    figures = {name: Figures.of(sample) for name, sample in samples.items()}
    ours = figures.pop("ours")
    over = {name: theirs.p50 / ours.p50 for name, theirs in figures.items()}
    return Result(
        metric="image-cold",
        unit="s",
        n=_ROUNDS,
        ours=ours,
        peers=figures,
        ratio=round(ours.p50 / best(figures), 2),
        goal=f">= {_OVER_DOCKER:.0f} times faster than docker build and push, >= {_OVER_CRANE:.0f} than crane append",
        holds=over["docker build and push"] >= _OVER_DOCKER and over["crane append"] >= _OVER_CRANE,
        settings=world.versions()
        | {
            "keys": f"{KEYS} of {size // KEYS // MIB} MiB, random",
            "registry": f"{registry.kind} on loopback, emptied before each sample",
            **{f"times as fast as {name}": f"{times:.2f}" for name, times in over.items()},
        },
    )


def _ours(world: World, folder: Path, keys: Keys, base: str, registry: PrivateRegistry) -> float:
    registry.empty()
    images = PushedImages(world.env["DOCKER_HOST"], Anonymous(), folder / uuid.uuid4().hex)
    start = time.perf_counter()
    image = images.ensure(keys.request(base, registry.host), lambda *_: None)
    seconds = time.perf_counter() - start
    assert image.built
    return seconds


def _docker(docker: Docker, keys: Keys, base: str, registry: PrivateRegistry) -> float:
    registry.empty()
    try:
        return docker.image(keys, base, registry.host, f"{REPOSITORY}-docker")
    finally:
        docker.forget()


def _crane(docker: Docker, crane: Crane, base: str, registry: PrivateRegistry) -> float:
    registry.empty()
    there = docker.push_base(base, registry.host)  # untimed: crane appends to what a registry has
    try:
        return crane.image(there, f"{registry.host}/{REPOSITORY}-crane:c0")
    finally:
        docker.forget()
