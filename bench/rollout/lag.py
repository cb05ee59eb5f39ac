"""From the status that completes a rollout to whoever waits for it hearing so: ours beside what people use instead.

Everybody waits for the same: two pods on fake nodes, whose Ready the bench writes at a moment of its own choosing, so
that no poll is met at a favourable phase. A raw watch of the Deployment notes when the completing status arrives; a
waiter has reported when it says so or ends, whichever is first. The strategy is Recreate, for with any other helm 3
calls a rollout done before it is. Ours is the tracker alone, as its peers are; the whole durable path, with Temporal's
history as its witness, is among the settings.
"""

import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import yaml

from bench.result import Figures, Result, best
from bench.rollout.observers import PATIENCE, Report, Waiter, Witness
from bench.timing import in_turn
from bench.world.embedded import World
from clients.kubernetes.cluster import KubernetesCluster, connect
from clients.kubernetes.resources import collection, item
from domain import names
from domain.kubernetes import Manifest
from sandbox.host.readiness import wait_until
from sandbox.kubernetes.api import STRATEGIC, Api
from sandbox.kubernetes.fleet import Fleet
from sandbox.peers import ensure_peers
from sandbox.settings import Settings

_ROUNDS = 20
_REPLICAS = 2
_GOAL_SECONDS = 0.050
_TICK = 0.001  # seconds; what is sooner is the noise of pipes and threads, and may be before the witness
_WARM = 3.0  # seconds after which every waiter waits; ours, which starts slower, says when
_LONGEST_POLL = 3.0  # seconds; kapp's
_CHART = {"apiVersion": "v2", "name": "lag", "version": "1.0.0"}


def run(world: World) -> Result:
    """Seconds; each waiter has a namespace of its own and one rollout after the other in it."""
    settings = Settings.from_environment()
    with ExitStack() as stack:
        api = Api(settings)
        stack.callback(api.close)
        fleet = stack.enter_context(Fleet(settings, "lag"))
        fleet.create(_REPLICAS)
        cluster = connect("default", {}, world.env["KUBECONFIG"])
        stack.callback(cluster.close)
        home = stack.enter_context(TemporaryDirectory())
        waiters = _waiters(world, settings, Path(home))
        for waiter in waiters.values():
            stack.enter_context(_namespace(cluster, waiter.namespace))
        site = _Site(cluster, api, fleet.key_value, home)
        samples = in_turn({name: _sampler(site, waiter) for name, waiter in waiters.items()}, rounds=_ROUNDS)
    ours, durable = Figures.of(samples.pop("ours")), Figures.of(samples.pop("durable"))
    peers = {name: Figures.of(sample) for name, sample in samples.items()}
    return Result(
        metric="rollout-lag",
        unit="s",
        n=_ROUNDS,
        ours=ours,
        peers=peers,
        ratio=round(max(ours.p50, _TICK) / max(best(peers), _TICK), 2),
        goal=f"ours p50 <= {_GOAL_SECONDS} s",
        holds=ours.p50 <= _GOAL_SECONDS,
        settings=world.versions()
        | {"replicas": str(_REPLICAS)}
        | {"durable path": f"await_rollout completed p50 {durable.p50} p95 {durable.p95} max {durable.max} s"},
    )


def _waiters(world: World, settings: Settings, home: Path) -> dict[str, Waiter]:
    peers = ensure_peers(settings)
    kubeconfig = f"--kubeconfig={world.env['KUBECONFIG']}"
    chart = home / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text(json.dumps(_CHART))
    ours = [sys.executable, "-m"]
    rollout = ["rollout", "status", f"deployment/{names.DEPLOYMENT}"]
    helm = ["upgrade", "--install", "lag", str(chart), "--wait", kubeconfig]
    return {
        "ours": Waiter([*ours, "bench.rollout.follow_once", world.env["KUBECONFIG"]], "complete", begins="waiting"),
        "durable": Waiter(
            [*ours, "bench.rollout.await_once", world.env["KUBECONFIG"]], "complete at", begins="waiting"
        ),
        "kubectl": Waiter([world.kubectl, kubeconfig, *rollout], "successfully rolled out"),
        "helm 3": Waiter([str(peers["helm3"]), *helm], "STATUS: deployed", applies=True),
        "helm 4": Waiter([str(peers["helm4"]), *helm], "STATUS: deployed", applies=True),
        "kapp": Waiter(
            [str(peers["kapp"]), "deploy", "--app=lag", "--file=-", "--yes", kubeconfig],
            "Succeeded",
            applies=True,
            stdin=True,
        ),
    }


@contextmanager
def _namespace(cluster: KubernetesCluster, name: str) -> Iterator[None]:
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    try:
        yield
    finally:
        cluster.delete("Namespace", name, "")


@dataclass(frozen=True)
class _Site:
    cluster: KubernetesCluster
    api: Api
    key_value: str  # of the fleet's nodes
    home: str

    def manifest(self, namespace: str, stage: str) -> Manifest:
        """Pods that stay as they are until somebody writes their status."""
        key, _, value = self.key_value.partition("=")
        labels = {"app": "client", names.ROLE_LABEL: names.ROLE_VALUE, "stage": stage}
        spec = {
            "nodeSelector": {key: value},
            "tolerations": [{"key": key, "value": value, "effect": "NoSchedule"}],
            "containers": [{"name": names.CONTAINER, "image": "toy:1"}],
        }
        annotations = {"kwok.x-k8s.io/status": "custom"}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": names.DEPLOYMENT, "namespace": namespace},
            "spec": {
                "replicas": _REPLICAS,
                "strategy": {"type": "Recreate"},
                "revisionHistoryLimit": 1,
                "selector": {"matchLabels": {"app": "client"}},
                "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": spec},
            },
        }

    def bound(self, namespace: str, stage: str) -> list[str]:
        """Paths of the new pods; none until all have a node and the old ones are gone."""
        pods = self.api.get(collection("Pod", namespace))["items"]
        new = [pod for pod in pods if pod["metadata"]["labels"]["stage"] == stage and pod["spec"].get("nodeName")]
        return [item("Pod", pod["metadata"]["name"], namespace) for pod in new] if len(new) == len(pods) else []

    def make_ready(self, paths: list[str]) -> None:
        """As a kubelet would."""
        conditions = [
            {"type": kind, "status": "True"} for kind in ("Initialized", "ContainersReady", "Ready", "PodScheduled")
        ]
        running = {"startedAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        container = {"name": names.CONTAINER, "image": "toy:1", "imageID": "toy", "ready": True, "restartCount": 0}
        statuses = [container | {"state": {"running": running}}]
        status = {"phase": "Running", "conditions": conditions, "containerStatuses": statuses}
        self.api.each(lambda path: self.api.patch(f"{path}/status", {"status": status}, STRATEGIC), paths)


def _sampler(site: _Site, waiter: Waiter) -> Callable[[], float]:
    return lambda: _sample(site, waiter, f"s{uuid4().hex[:8]}")


def _sample(site: _Site, waiter: Waiter, stage: str) -> float:
    manifest = site.manifest(waiter.namespace, stage)
    witness = Witness(site.cluster, waiter.namespace, stage)
    if waiter.applies:
        Path(site.home, "chart", "templates", "all.yaml").write_text(yaml.safe_dump(manifest))
    else:
        site.cluster.apply(manifest)
    report = Report(waiter, manifest, site.home)
    began = time.time()
    try:
        wait_until(
            lambda: None if len(site.bound(waiter.namespace, stage)) == _REPLICAS else "pods are on their way",
            seconds=PATIENCE,
            what=f"pods in {waiter.namespace}",
        )
        report.begun(PATIENCE)
        pause = began + _WARM + random.uniform(0, _LONGEST_POLL) - time.time()  # noqa: S311 - a phase, no secret
        time.sleep(max(0.0, pause))
        site.make_ready(site.bound(waiter.namespace, stage))
        return report.at(PATIENCE) - witness.at(PATIENCE)
    finally:
        report.end()
