"""Seconds until a rollout that must fail is explained, beside when what people use instead gives up, and what it says.

Each contestant has the same manifests in a namespace of its own; a peer's patience is 60 s. Ours is the product's
tracker, until its finding is fatal or needs a person. By the rules of docs/diagnoses.md some findings must last before
they count (60 s without a node that fits), so the moment of the first right finding is given, too. Contestants of one
fault run side by side, so that the bench takes minutes and not half an hour.
"""

import json
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from bench.faults.case import Case
from bench.result import Figures, Result, best
from bench.world.embedded import World
from clients.kubernetes.cluster import connect
from domain.kubernetes import Manifest
from domain.status import Observation
from sandbox.peers import ensure_peers
from sandbox.settings import Settings

_ROUNDS = 3  # of ours; a peer's 60 s are 60 s each time
_VERDICT_SECONDS = 60
_ENOUGH = 180.0  # seconds after which we have nothing to say
_QUOTA = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}


@dataclass(frozen=True)
class _Fault:
    code: str
    case: Callable[[World], Case]


@dataclass(frozen=True)
class _Answer:
    seconds: float
    said: str
    first: float = 0.0  # when the right finding was first shown, of whatever severity


def _faults() -> dict[str, _Fault]:
    def alias(world: World) -> str:
        return world.env["WORLD_ANONYMOUS_REGISTRY_ALIAS"]

    return {
        "bad image": _Fault("IMAGE_NOT_FOUND", lambda w: Case(w, "verdict", image=f"{alias(w)}/pause:absent")),
        "no node fits": _Fault("SCHED_NO_LABEL", lambda w: Case(w, "verdict", key_value="fleet=nowhere")),
        "quota": _Fault("QUOTA", lambda w: Case(w, "verdict", extra=[_QUOTA])),
        # Without an argument the probe complains and ends with 2.
        "crash loop": _Fault("CRASH_LOOP", lambda w: Case(w, "verdict", image=f"{alias(w)}/probe:1")),
    }


def run(world: World) -> Result:
    """Wall seconds from the first request to the explanation."""
    peers = {name: str(path) for name, path in ensure_peers(Settings.from_environment()).items()}
    answers = {name: _contest(world, fault, peers) for name, fault in _faults().items()}
    ours = Figures.of([answer.seconds for told in answers.values() for answer in told["ours"]])
    contestants = list(next(iter(answers.values())))
    figures = {
        name: Figures.of([told[name][0].seconds for told in answers.values()]) for name in contestants if name != "ours"
    }
    named = all(
        answer.said.startswith(f"{fault.code}:")
        for name, fault in _faults().items()
        for answer in answers[name]["ours"]
    )
    return Result(
        metric="verdict",
        unit="s",
        n=len(answers) * _ROUNDS,
        ours=ours,
        peers=figures,
        ratio=round(ours.p50 / best(figures), 2),
        goal="ours names the cause of every fault, p50 before any peer gives up",
        holds=named and ours.p50 < best(figures),
        settings=world.versions() | {name: _told(told) for name, told in answers.items()},
    )


def _told(told: dict[str, list[_Answer]]) -> str:
    ours = told["ours"]
    spread = ", ".join(f"{answer.seconds:.1f}" for answer in ours)
    lines = [f"ours after {spread} s (first shown after {ours[0].first:.1f} s): {ours[0].said}"]
    theirs = {name: answers[0] for name, answers in told.items() if name != "ours"}
    lines += [f"{name} after {answer.seconds:.1f} s: {answer.said}" for name, answer in theirs.items()]
    return " | ".join(lines)


def _contest(world: World, fault: _Fault, peers: dict[str, str]) -> dict[str, list[_Answer]]:
    contestants: dict[str, Callable[[World, Case], _Answer]] = {
        "kubectl": _kubectl,
        "helm3": lambda w, case: _helm(w, case, peers["helm3"]),
        "helm4": lambda w, case: _helm(w, case, peers["helm4"]),
        "kapp": lambda w, case: _kapp(w, case, peers["kapp"]),
    }
    with ThreadPoolExecutor(len(contestants) + _ROUNDS) as pool:
        ours = [pool.submit(_in_namespace, world, fault, lambda w, c: _ours(w, c, fault.code)) for _ in range(_ROUNDS)]
        theirs = {name: pool.submit(_in_namespace, world, fault, ask) for name, ask in contestants.items()}
        return {"ours": [told.result() for told in ours]} | {name: [told.result()] for name, told in theirs.items()}


def _in_namespace(world: World, fault: _Fault, ask: Callable[[World, Case], _Answer]) -> _Answer:
    cluster = connect("default", {}, world.env["KUBECONFIG"])
    case = fault.case(world)
    try:
        case.prepare(cluster)
        return ask(world, case)
    finally:
        case.remove(cluster)
        cluster.close()


def _ours(world: World, case: Case, code: str) -> _Answer:
    first = 0.0

    def hear(seen: Observation) -> None:
        nonlocal first
        if seen.diagnosis and seen.diagnosis.code == code and not first:
            first = time.monotonic() - start

    cluster = connect("default", {}, world.env["KUBECONFIG"])
    start = time.monotonic()
    try:
        case.apply(cluster)
        seen = case.await_rollout(cluster, hear, _ENOUGH)
        said = str(seen.diagnosis) if seen else f"nothing final in {_ENOUGH:.0f} s"
        return _Answer(time.monotonic() - start, said, first)
    finally:
        cluster.close()


def _kubectl(world: World, case: Case) -> _Answer:
    kubectl = [world.kubectl, f"--kubeconfig={world.env['KUBECONFIG']}"]
    rollout = ["rollout", "status", "deployment/prover-cli-t", f"-n={case.namespace}", f"--timeout={_VERDICT_SECONDS}s"]
    start = time.monotonic()
    _say([*kubectl, "apply", "--server-side", "--filename=-"], stdin=_text(case.manifests()))
    said = _say([*kubectl, *rollout])
    return _Answer(time.monotonic() - start, said)


def _helm(world: World, case: Case, helm: str) -> _Answer:
    with TemporaryDirectory() as home:
        chart = Path(home) / "chart"
        (chart / "templates").mkdir(parents=True)
        (chart / "Chart.yaml").write_text(json.dumps({"apiVersion": "v2", "name": "bench", "version": "1.0.0"}))
        (chart / "templates" / "all.yaml").write_text(_text(case.manifests()))
        command = [helm, "upgrade", "--install", "bench", str(chart), "--wait", f"--timeout={_VERDICT_SECONDS}s"]
        start = time.monotonic()
        said = _say([*command, f"--namespace={case.namespace}", f"--kubeconfig={world.env['KUBECONFIG']}"], home=home)
        return _Answer(time.monotonic() - start, said)


def _kapp(world: World, case: Case, kapp: str) -> _Answer:
    with TemporaryDirectory() as home:
        command = [kapp, "deploy", "--app=bench", f"--namespace={case.namespace}", "--file=-", "--yes"]
        flags = [f"--wait-timeout={_VERDICT_SECONDS}s", f"--kubeconfig={world.env['KUBECONFIG']}"]
        start = time.monotonic()
        said = _say([*command, *flags], stdin=_text(case.manifests()), home=home)
        return _Answer(time.monotonic() - start, said)


def _say(command: list[str], *, stdin: str = "", home: str = "/nonexistent") -> str:
    """How it ended and the last line that it said."""
    env = {"PATH": "/usr/bin:/bin", "HOME": home}
    ended = subprocess.run(command, input=stdin, env=env, capture_output=True, text=True, check=False)
    lines = [line.strip() for line in (ended.stdout + ended.stderr).splitlines() if line.strip()]
    return f"exit {ended.returncode}, {lines[-1] if lines else 'silent'}"


def _text(objects: list[Manifest]) -> str:
    return str(yaml.safe_dump_all(objects))
