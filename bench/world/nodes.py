"""Verdicts on 5,000 nodes beside `kubectl get nodes -l … -o json`, which only shows them: time and memory."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.result import Figures, Result, best
from bench.timing import in_turn, timed
from bench.world.embedded import World
from sandbox.kubernetes.fleet import Fleet
from sandbox.services.supervision import Supervisor
from sandbox.settings import Settings

_NODES = int(os.environ.get("BENCH_NODES", "5000"))
_CORDONED = 3
_ROUNDS = 5
_GOAL_SECONDS = 2.0
_GOAL_MIB = 50.0
_KIB = 1024
_HEARTBEATS = ("kwok", "kube-controller-manager")


def run(world: World) -> Result:
    """Seconds of one look by a running worker; kubectl's are of its whole process."""
    settings = Settings.from_environment()
    with _silent(settings), Fleet(settings, "bench-nodes", heartbeats=False) as fleet:
        names = fleet.create(_NODES)
        for name in names[:_CORDONED]:
            fleet.cordon(name)
        looks: list[dict[str, Any]] = []
        kubectl_mib: list[float] = []
        samples = in_turn(
            {
                "ours": lambda: _ours(world, fleet, looks),
                "kubectl": lambda: _kubectl(world, fleet, kubectl_mib),
                "direct": lambda: _direct(world, fleet),
            },
            rounds=_ROUNDS,
        )
    ours, peers = Figures.of(samples["ours"]), {"kubectl": Figures.of(samples["kubectl"])}
    grown = max(look["mib"] for look in looks)
    return Result(
        metric="nodes",
        unit="s",
        n=_ROUNDS,
        ours=ours,
        peers=peers,
        ratio=round(ours.p50 / best(peers), 2),
        goal=f"ours p50 <= {_GOAL_SECONDS} s and {_GOAL_MIB} MiB more memory for {_NODES} nodes",
        holds=ours.p50 <= _GOAL_SECONDS and grown <= _GOAL_MIB,
        settings=world.versions()
        | {
            "nodes": str(_NODES),
            "more memory of ours": f"{grown:.1f} MiB at most",
            "memory of kubectl": f"{max(kubectl_mib):.1f} MiB at most",
            "report": f"{looks[-1]['report KiB']} KiB",
            "whole command, --direct, p50": f"{Figures.of(samples['direct']).p50:.2f} s",
        },
    )


@contextmanager
def _silent(settings: Settings) -> Iterator[None]:
    """Stop heartbeats and their control for a while: those of 5,000 nodes alone keep two cores busy."""
    supervisor = Supervisor(settings)
    running = [name for name in _HEARTBEATS if supervisor.state(name) == "RUNNING"]
    for name in running:
        supervisor.stop(name)
    try:
        yield
    finally:
        for name in running:
            supervisor.start(name)


def _ours(world: World, fleet: Fleet, looks: list[dict[str, Any]]) -> float:
    command = [sys.executable, "-m", "bench.world.embedded.look_once", world.env["KUBECONFIG"], fleet.key_value]
    look = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    assert look["usable"] == _NODES - _CORDONED, look
    looks.append(look)
    return float(look["seconds"])


def _kubectl(world: World, fleet: Fleet, mib: list[float]) -> float:
    """Seconds from start to end with its output read; its memory is the most that it held."""
    kubeconfig = f"--kubeconfig={world.env['KUBECONFIG']}"
    command = [world.kubectl, kubeconfig, "get", "nodes", f"--selector={fleet.key_value}", "--output=json"]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - start
    assert len(json.loads(output)["items"]) == _NODES
    mib.append(usage.ru_maxrss / _KIB)
    return seconds


def _direct(world: World, fleet: Fleet) -> float:
    """Run the whole of `proverctl nodes --direct`, Python's start included."""
    options = [f"--node-label={fleet.key_value}", f"--node-taint={fleet.key_value}", "--output=json"]
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/root")} | world.env
    return timed([world.proverctl, "nodes", "--direct", *options], env=env)
