"""What of a node is news to those who wait for one."""

from typing import Any

from clients.kubernetes.node_watch import node_mark, pod_mark
from clients.kubernetes.object_store import ObjectStore
from domain.kubernetes import Manifest


def node(name: str = "n1", *, ready: str = "True", beat: str = "1", **spec: Any) -> Manifest:
    """Return a node as the API server sends it."""
    conditions = [{"type": "Ready", "status": ready, "lastHeartbeatTime": beat}]
    status = {"conditions": conditions, "allocatable": {"cpu": "4"}, "images": [{"names": [beat]}]}
    return {"metadata": {"name": name, "resourceVersion": beat, "labels": {}}, "spec": spec, "status": status}


def test_heartbeats_are_no_news() -> None:
    """Thousands of nodes report all the time; only what decides is told."""
    told: list[str] = []
    marks = ObjectStore(lambda _: told.append("told"), differences_only=True)
    marks.replaced([node_mark(node())])
    marks.changed("MODIFIED", node_mark(node(beat="2")))
    marks.replaced([node_mark(node(beat="3"))])
    assert len(told) == 1
    for number, changed in enumerate([node(ready="False"), node(unschedulable=True), node(taints=[{"key": "a"}])]):
        marks.changed("MODIFIED", node_mark(changed))
        assert len(told) == number + 2
    marks.changed("DELETED", node_mark(node()))
    assert len(told) == 5


def test_a_prover_that_goes_is_news() -> None:
    """Of whatever namespace: its node may take ours then."""
    told: list[str] = []
    marks = ObjectStore(lambda _: told.append("told"), differences_only=True)
    pod: Manifest = {"metadata": {"namespace": "a", "name": "p"}, "spec": {"nodeName": "n"}, "status": {}}
    marks.changed("ADDED", pod_mark(pod))
    marks.changed("MODIFIED", pod_mark(pod | {"status": {"podIP": "10.0.0.1"}}))
    assert len(told) == 1
    marks.changed("MODIFIED", pod_mark(pod | {"status": {"phase": "Failed"}}))
    marks.changed("DELETED", pod_mark(pod))
    assert len(told) == 3
