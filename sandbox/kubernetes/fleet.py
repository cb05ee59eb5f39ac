"""Fleets of fake nodes (kwok) beside the real ones: as many as a test wants, in seconds.

    with Fleet(Settings.from_environment(), "busy") as fleet:
        names = fleet.create(50)
        fleet.cordon(names[0])
        fleet.not_ready(names[1])

    NODE_LABEL and NODE_TAINT of a deployment onto them: fleet.key_value, "fleet=busy-1f3a9c"

Every fleet has a value of its own for label and taint, so that nobody else's pods land on its nodes. Pods that are
bound to a fake node are Running and Ready at once, finish when a Job made them, and are gone as soon as they are
deleted; a pod annotated kwok.x-k8s.io/status=custom stays as it is, for its test to write the status. On leaving the
`with`, nodes and the pods on them are deleted; a Deployment makes its pods anew, so delete your namespace first.
"""

import datetime as dt
import secrets
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from sandbox.host.readiness import wait_until
from sandbox.kubernetes.api import STRATEGIC, Api
from sandbox.kubernetes.kwok import ANNOTATION, start_kwok
from sandbox.settings import Settings

_OURS = "prover-world/fleet"
_KEY = "fleet"
_SIZE = {"cpu": "8", "memory": "32Gi", "pods": "110"}
_BY_CONTROLLER = "node.kubernetes.io/"  # taints that follow the conditions
_PRESSURES = ("MemoryPressure", "DiskPressure", "PIDPressure")
_NODES = "/api/v1/nodes"
_NODE_INFO = (
    "machineID",
    "systemUUID",
    "bootID",
    "kernelVersion",
    "osImage",
    "containerRuntimeVersion",
    "kubeletVersion",
    "kubeProxyVersion",
)


class Fleet:
    """Fake nodes of one test or benchmark, all named after it."""

    def __init__(self, settings: Settings, name: str, *, heartbeats: bool = True) -> None:
        """Start kwok unless a fleet without heartbeats is wanted, on which no pod runs."""
        self.name = f"{name}-{secrets.token_hex(3)}"
        self.key_value = f"{_KEY}={self.name}"
        self.selector = f"{_OURS}={self.name}"
        self._api = Api(settings)
        self._address = settings.host
        self._made = 0
        if heartbeats:
            start_kwok(settings)

    def create(
        self,
        count: int = 1,
        *,
        labels: Mapping[str, str] | None = None,
        taints: Sequence[str] | None = None,
        allocatable: Mapping[str, str] | None = None,
        conditions: Mapping[str, str] | None = None,
        cordoned: bool = False,
    ) -> list[str]:
        """Names of `count` new nodes, which can be scheduled to at once.

        `labels` and `taints` ("key=value:Effect") replace the fleet's own `key_value`; without any taint, pods of
        others that ask for your labels may come, too. `allocatable` adds to 8 cores, 32Gi and 110 pods, extended
        resources as well ({"nvidia.com/gpu": "1"}). `conditions` such as {"Ready": "False", "DiskPressure": "True"}.
        """
        names = [f"{self.name}-{number}" for number in range(self._made, self._made + count)]
        self._made += count
        node = _node(
            address=self._address,
            labels={_OURS: self.name, **({_KEY: self.name} if labels is None else labels)},
            taints=[f"{self.key_value}:NoSchedule"] if taints is None else taints,
            allocatable=_SIZE | dict(allocatable or {}),
            conditions=conditions or {},
            cordoned=cordoned,
        )
        self._api.each(lambda name: self._make(_named(node, name)), names)
        return names

    def cordon(self, name: str, *, cordoned: bool = True) -> None:
        """As `kubectl cordon`, or `uncordon`."""
        self._api.patch(f"{_NODES}/{name}", {"spec": {"unschedulable": cordoned or None}})

    def label(self, name: str, labels: Mapping[str, str | None]) -> None:
        """Set labels; None removes one."""
        self._api.patch(f"{_NODES}/{name}", {"metadata": {"labels": labels}})

    def taint(self, name: str, *taints: str) -> None:
        """Have exactly these taints ("key=value:Effect"), beside those that follow the node's conditions."""
        node = self._api.get(f"{_NODES}/{name}")
        kept = [taint for taint in node["spec"].get("taints", []) if taint["key"].startswith(_BY_CONTROLLER)]
        self._api.patch(f"{_NODES}/{name}", {"spec": {"taints": [*map(_taint, taints), *kept]}})

    def allocatable(self, name: str, amounts: Mapping[str, str]) -> None:
        """Change what the node can give; what is not named stays."""
        status = {"status": {"capacity": amounts, "allocatable": amounts}}
        self._api.patch(f"{_NODES}/{name}/status", status)

    def condition(self, name: str, kind: str, status: str) -> None:
        """Set a condition, such as DiskPressure, to "True", "False" or "Unknown"."""
        self._api.patch(f"{_NODES}/{name}/status", {"status": {"conditions": [_condition(kind, status)]}}, STRATEGIC)

    def not_ready(self, name: str) -> None:
        """Mark the node as not ready; it is tainted and its pods are marked, as when a kubelet stops reporting."""
        self._set_ready(name, "False")

    def ready(self, name: str) -> None:
        """Mark the node and the pods on it as ready again."""
        self._set_ready(name, "True")

    def delete(self, *names: str) -> None:
        """Delete nodes as an autoscaler does; their pods go with them."""
        self._api.each(lambda name: self._api.delete(f"{_NODES}/{name}"), names)
        self._delete_pods(set(names))

    def pods(self, *names: str) -> list[dict[str, Any]]:
        """Pods that are bound to these nodes, or to any of the fleet."""
        wanted = set(names) or {node["metadata"]["name"] for node in self._nodes()}
        listing = self._api.get("/api/v1/pods", resourceVersion="0")["items"]
        return [pod for pod in listing if pod["spec"].get("nodeName") in wanted]

    def close(self) -> None:
        """Delete all nodes of the fleet and the pods on them."""
        self.delete(*(node["metadata"]["name"] for node in self._nodes()))
        self._api.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def _make(self, node: dict[str, Any]) -> None:
        self._api.post(_NODES, node)
        if any((found["type"], found["status"]) == ("Ready", "True") for found in node["status"]["conditions"]):
            # Every new node is tainted as not ready until a controller has seen its condition: with thousands, minutes.
            self._api.patch(f"{_NODES}/{node['metadata']['name']}", {"spec": {"taints": node["spec"]["taints"]}})

    def _set_ready(self, name: str, ready: str) -> None:
        self.condition(name, "Ready", ready)
        conditions = [_condition(kind, ready) for kind in ("ContainersReady", "Ready")]
        for pod in self.pods(name):
            if pod["status"]["phase"] == "Running":
                self._api.patch(f"{_path(pod)}/status", {"status": {"conditions": conditions}}, STRATEGIC)

        def followed() -> str | None:
            taints = self._api.get(f"{_NODES}/{name}")["spec"].get("taints", [])
            tainted = any(taint["key"] == f"{_BY_CONTROLLER}not-ready" for taint in taints)
            return f"its taints are {taints}" if tainted is (ready == "True") else None

        wait_until(followed, seconds=60, what=f"taint of node {name}, whose condition Ready is {ready}")

    def _delete_pods(self, names: set[str]) -> None:
        pods = self.pods(*names) if names else []
        self._api.each(lambda pod: self._api.delete(_path(pod), gracePeriodSeconds="0"), pods)

    def _nodes(self) -> list[dict[str, Any]]:
        return list(self._api.get(_NODES, labelSelector=self.selector)["items"])


def _node(
    *,
    address: str,
    labels: Mapping[str, str],
    taints: Sequence[str],
    allocatable: Mapping[str, str],
    conditions: Mapping[str, str],
    cordoned: bool,
) -> dict[str, Any]:
    stated = {"Ready": "True"} | dict.fromkeys(_PRESSURES, "False") | dict(conditions)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"labels": {"kubernetes.io/os": "linux", **labels}, "annotations": ANNOTATION},
        "spec": {"taints": list(map(_taint, taints)), "unschedulable": cordoned},
        "status": {
            "capacity": allocatable,
            "allocatable": allocatable,
            "addresses": [{"type": "InternalIP", "address": address}],
            "conditions": [_condition(kind, status) for kind, status in stated.items()],
            "nodeInfo": dict.fromkeys(_NODE_INFO, "") | {"architecture": "amd64", "operatingSystem": "linux"},
        },
    }


def _named(node: dict[str, Any], name: str) -> dict[str, Any]:
    labels = {**node["metadata"]["labels"], "kubernetes.io/hostname": name}
    return {**node, "metadata": {**node["metadata"], "name": name, "labels": labels}}


def _taint(text: str) -> dict[str, str]:
    pair, _, effect = text.rpartition(":")
    key, _, value = pair.partition("=")
    return {"key": key, "value": value, "effect": effect}


def _condition(kind: str, status: str) -> dict[str, str]:
    now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    reason = "KubeletReady" if kind == "Ready" and status == "True" else f"Kubelet{kind}"
    said = {"reason": reason, "message": f"the fleet says {kind}={status}"}
    return {"type": kind, "status": status, "lastHeartbeatTime": now, "lastTransitionTime": now, **said}


def _path(pod: Mapping[str, Any]) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
