"""By how much the peak memory of a worker grows while it makes an image, for keys of several sizes.

Counted are the worker's own growth and the whole of its upload process, which did not exist before. `crane append` of
the largest key stands beside: the whole of its process.
"""

import json
import subprocess
import uuid
from pathlib import Path

from bench.image import once
from bench.image.inputs import MIB, REPOSITORY, TOTAL, Keys, base_images, room_for, scratch
from bench.image.peers import Crane, Docker, peers
from bench.image.registry import PrivateRegistry
from bench.result import Figures, Result, best
from bench.world.embedded import World
from bench.world.memory import Peaks

_ROUNDS = 3
_GOAL_MIB = 64.0
_KIB = 1024
_SHARES = (16, 4, 1)  # of the largest: 64 MiB, 256 MiB, 1 GiB


def run(world: World, size: int = TOTAL) -> Result:
    """MiB; `size` is of the largest key, in bytes."""
    sizes = [size // share for share in _SHARES]
    with scratch() as folder, base_images(world) as (base,), peers(world, folder / "tars") as (docker, crane):
        room_for(4 * size, folder)
        backends = {one: Keys(folder / f"{one // MIB}", one) for one in sizes}
        crane.pack(backends[size])
        with PrivateRegistry(folder / "registry") as registry:
            grown: dict[int, list[float]] = {one: [] for one in sizes}
            theirs: list[float] = []
            for _ in range(_ROUNDS):
                for one, keys in backends.items():
                    grown[one].append(_ours(world, folder, keys, base, registry))
                theirs.append(_crane(docker, crane, base, registry))
    ours = Figures.of([mib for sample in grown.values() for mib in sample])
    beside = {"crane append": Figures.of(theirs)}
    return Result(
        metric="image-memory",
        unit="MiB",
        n=_ROUNDS * len(sizes),
        ours=ours,
        peers=beside,
        ratio=round(ours.p50 / best(beside), 2),
        goal=f"at most {_GOAL_MIB:.0f} MiB whatever the size of the key",
        holds=ours.max <= _GOAL_MIB,
        settings=world.versions()
        | {f"key of {one // MIB} MiB, worst": f"{max(sample):.1f} MiB" for one, sample in grown.items()}
        | {"registry": f"{registry.kind} on loopback, emptied before each sample"},
    )


def _ours(world: World, folder: Path, keys: Keys, base: str, registry: PrivateRegistry) -> float:
    registry.empty()
    worker = once.start(world, folder / uuid.uuid4().hex, keys.request(base, registry.host))
    with Peaks(worker.pid) as peaks:
        output, _ = worker.communicate()
    assert worker.returncode == 0
    assert peaks.others, "no upload process was seen"
    return float(peaks.own - json.loads(output)["before"] + peaks.others) / _KIB


def _crane(docker: Docker, crane: Crane, base: str, registry: PrivateRegistry) -> float:
    registry.empty()
    command = crane.append(docker.push_base(base, registry.host), f"{registry.host}/{REPOSITORY}-crane:c0")
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with Peaks(process.pid) as peaks:
        assert process.wait() == 0
    return peaks.own / _KIB
