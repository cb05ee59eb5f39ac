"""A worker killed while it sends a layer: how much is sent in all until the image is there, and whether it is the same.

The key's layer passes a counting proxy; when 20, 50 or 80 % of it have, the worker and its upload process are killed
by SIGKILL, and another worker makes the same image. Judged is distribution v3, which keeps uploads. Debian's
docker-registry 2.8 takes no more of an upload whose connection broke; and where the worker alone was killed its upload
process brings the layer to its end on either. `crane append`, killed and started again, is the comparison.
"""

import json
import os
import signal
import subprocess
import uuid
from pathlib import Path

from bench.image import once
from bench.image.counter import Counter
from bench.image.inputs import MIB, REPOSITORY, Keys, base_images, room_for, scratch
from bench.image.peers import Crane, Docker, peers
from bench.image.registry import PrivateRegistry
from bench.result import Figures, Result, best
from bench.world.embedded import World
from bench.world.memory import descendants

_SIZE = int(os.environ.get("BENCH_IMAGE_LAYER_MIB", "512")) * MIB
_SHARES = (0.2, 0.5, 0.8)
_ROUNDS = 3
_GOAL_SENT_RATIO = 1.2
_CLIENT = MIB  # little beside the key: the first worker sends it before it is killed


def run(world: World, size: int = _SIZE) -> Result:
    """Bytes sent in all over those of the layer; `size` is of the one key, in bytes."""
    with scratch() as folder, base_images(world, size=_CLIENT) as (base,), peers(world, folder / "tars") as both:
        room_for(5 * size, folder)
        keys = Keys(folder / "backend", size)
        both[1].pack(keys)
        with PrivateRegistry(folder / "v3", v3=True) as v3, PrivateRegistry(folder / "v2") as v2:
            bench = _Bench(world, folder, keys, base, *both)
            bench.undisturbed(v3)
            ours = {share: [bench.ours(v3, share, whole=True) for _ in range(_ROUNDS)] for share in _SHARES}
            theirs = [bench.crane(v3, share) for share in _SHARES]
            more = {
                f"{registry.kind}, {what} killed": [bench.ours(registry, share, whole=whole) for share in _SHARES]
                for registry, what, whole in (
                    (v3, "worker alone", False),
                    (v2, "both", True),
                    (v2, "worker alone", False),
                )
            }
    figures, beside = (
        Figures.of([sent for found in ours.values() for sent in found]),
        {"crane append": Figures.of(theirs)},
    )
    return Result(
        metric="image-resume",
        unit="x the layer",
        n=_ROUNDS * len(_SHARES),
        ours=figures,
        peers=beside,
        ratio=round(figures.p50 / best(beside), 2),
        goal=f"at most {_GOAL_SENT_RATIO} times the layer is sent, and the image is byte-identical",
        holds=figures.max <= _GOAL_SENT_RATIO,
        settings=world.versions()
        | {"layer": f"{size // MIB} MiB, random", "registry": f"{v3.kind} on loopback, emptied before each sample"}
        | {f"killed at {share:.0%}": _listed(found) for share, found in ours.items()}
        | {
            f"{name}, at {', '.join(f'{share:.0%}' for share in _SHARES)}": _listed(found)
            for name, found in more.items()
        }
        | {"crane append, killed at the same": _listed(theirs)},
    )


class _Bench:
    """Benchmark of one layer, sent repeatedly to empty registries."""

    def __init__(self, world: World, folder: Path, keys: Keys, base: str, docker: Docker, crane: Crane) -> None:
        self._world = world
        self._folder = folder
        self._keys = keys
        self._base = base
        self._docker = docker
        self._crane = crane
        self._size = sum(path.stat().st_size for path in keys.paths)
        self._digest = ""

    def undisturbed(self, registry: PrivateRegistry) -> None:
        """Learn the digest that every other image must have."""
        registry.empty()
        self._digest = self._finished(self._start(registry.host, self._folder / "state"))

    def ours(self, registry: PrivateRegistry, share: float, *, whole: bool) -> float:
        """Bytes sent over those of the layer; `whole`: the upload process is killed, too."""
        registry.empty()
        state = self._folder / uuid.uuid4().hex
        with Counter(registry.host) as counter:
            worker = self._start(counter.host, state)
            counter.once_at(int(share * self._size), lambda: _kill(worker.pid, whole=whole))
            worker.communicate()
            assert worker.returncode == -signal.SIGKILL, "it ended before it was killed"
            digest = self._finished(self._start(counter.host, state))
            sent = counter.take() / self._size
        assert digest == self._digest
        self._crane.verify(f"{registry.host}/{REPOSITORY}@{digest}")
        return sent

    def crane(self, registry: PrivateRegistry, share: float) -> float:
        """Measure the same for crane."""
        registry.empty()
        base = self._docker.push_base(self._base, registry.host)
        with Counter(registry.host) as counter:
            command = self._crane.append(
                base.replace(registry.host, counter.host), f"{counter.host}/{REPOSITORY}:crane"
            )
            first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            counter.once_at(int(share * self._size), lambda: _kill(first.pid, whole=True))
            assert first.wait() == -signal.SIGKILL
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return counter.take() / self._size

    def _start(self, host: str, state: Path) -> "subprocess.Popen[bytes]":
        return once.start(self._world, state, self._keys.request(self._base, host))

    def _finished(self, worker: "subprocess.Popen[bytes]") -> str:
        output, _ = worker.communicate()
        assert worker.returncode == 0
        digest: str = json.loads(output)["image"]["digest"]
        return digest


def _kill(pid: int, *, whole: bool) -> None:
    for each in [pid, *(descendants(pid) if whole else [])]:
        os.kill(each, signal.SIGKILL)


def _listed(found: list[float]) -> str:
    return ", ".join(f"{sent:.2f}" for sent in found)
