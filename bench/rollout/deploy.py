"""A first deploy of two clients with the image at hand, beside kubectl with the same manifests.

Ours is timed by Temporal's history from "the image is in the registry" to "every pod is Ready"; it judges the nodes
again, checks the owner and applies in that time. It also waits `SETTLE` seconds between a new Service and its pods,
which kubectl does not: the goal allows for that wait. kubectl is timed as commands: apply, then rollout status. The
whole of our command, with the commit resolved and the registry asked, is among the result's settings.
"""

import asyncio
import os
import subprocess
import uuid

from activities.release.apply import SETTLE
from bench.result import Figures, Result, best
from bench.timing import in_turn, timed
from bench.world.embedded import World
from bench.world.history import seconds_between
from sandbox.demo import ensure_repository
from sandbox.settings import Settings

_ROUNDS = 5
_GOAL_SECONDS = SETTLE + 1.0
_REPLICAS = "2"


def run(world: World) -> Result:
    """Wall time in seconds; each sample in a namespace of its own."""
    world.require_free_nodes()
    env = _environment(world)
    _prepare_image(world, env)
    whole: list[float] = []
    samples = in_turn(
        {"ours": lambda: _ours(world, env, whole), "kubectl": lambda: _kubectl(world, env)}, rounds=_ROUNDS
    )
    ours, peers = Figures.of(samples["ours"]), {"kubectl": Figures.of(samples["kubectl"])}
    whole_command = Figures.of(whole[-_ROUNDS:])  # not the rounds that warmed up
    return Result(
        metric="deploy",
        unit="s",
        n=_ROUNDS,
        ours=ours,
        peers=peers,
        ratio=round(ours.p50 / best(peers), 2),
        goal=f"ours p50 - kubectl p50 <= {_GOAL_SECONDS} s, {SETTLE} s of which separate the Service from its pods",
        holds=ours.p50 - best(peers) <= _GOAL_SECONDS,
        settings=world.versions() | {"replicas": _REPLICAS, "whole command p50": f"{whole_command.p50:.2f} s"},
    )


def _environment(world: World) -> dict[str, str]:
    repository = ensure_repository(Settings.from_environment())
    base = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/root"), "LANG": "C.UTF-8"}
    wanted = {"BACKEND_REPO": str(repository), "IMAGE_REPO": "demo/prover", "CIRCUIT_DIR": "build/circuit"}
    return base | world.env | wanted | {"CLIENT_REPLICAS": _REPLICAS, "TEMPORAL_UI_ADDRESS": ""}


def _prepare_image(world: World, env: dict[str, str]) -> None:
    """Build and push it once, by a run-all that is removed again."""
    namespace = _fresh(world)
    try:
        timed([world.proverctl, "setup-all", "-n", namespace], env=env)
    finally:
        _remove_ours(world, env, namespace)


def _fresh(world: World) -> str:
    namespace = f"bench-{uuid.uuid4().hex[:8]}"
    world.kube("create", "namespace", namespace)
    return namespace


def _ours(world: World, env: dict[str, str], whole: list[float]) -> float:
    namespace = _fresh(world)
    try:
        whole.append(timed([world.proverctl, "deploy", "-n", namespace], env=env))
        _require_ready(world, namespace)
        workflow_id = f"prover-cluster/default/{namespace}"
        address = world.env["TEMPORAL_ADDRESS"]
        seconds = asyncio.run(seconds_between(address, workflow_id, "ensure_image", "await_rollout"))
    finally:
        _remove_ours(world, env, namespace)
    return seconds


def _remove_ours(world: World, env: dict[str, str], namespace: str) -> None:
    timed([world.proverctl, "tear-down", "--yes", "-n", namespace], env=env)
    world.kube("delete", "namespace", namespace)


def _kubectl(world: World, env: dict[str, str]) -> float:
    namespace = _fresh(world)
    manifests = _manifests(world, env | {"STAGE": _stage(env)}, namespace)
    kubeconfig = f"--kubeconfig={world.env['KUBECONFIG']}"
    rollout = ["rollout", "status", "deployment/prover-cli-t", f"--namespace={namespace}", "--timeout=120s"]
    try:
        seconds = timed([world.kubectl, kubeconfig, "apply", "--server-side", "--filename=-"], stdin=manifests)
        seconds += timed([world.kubectl, kubeconfig, *rollout])
        _require_ready(world, namespace)
    finally:
        world.kube("delete", "namespace", namespace)
    return seconds


def _stage(env: dict[str, str]) -> str:
    command = ["git", "-C", env["BACKEND_REPO"], "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _manifests(world: World, env: dict[str, str], namespace: str) -> bytes:
    command = [world.proverctl, "render", "--show-secrets", "-n", namespace]
    return subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE).stdout


def _require_ready(world: World, namespace: str) -> None:
    path = "jsonpath={.status.readyReplicas}"
    ready = world.kube("get", "deployment", "prover-cli-t", f"--namespace={namespace}", f"--output={path}")
    assert ready == _REPLICAS, f"{ready or 0} of {_REPLICAS} clients are Ready in {namespace}"
