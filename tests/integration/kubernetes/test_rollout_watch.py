"""A rollout followed on a real API server: one list a kind, then watches, whatever happens to them."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import urllib3

from clients.kubernetes import rollout_watch
from clients.kubernetes.cluster import KubernetesCluster, connect
from clients.kubernetes.errors import Call
from clients.kubernetes.rollout_watch import RolloutWatch
from domain import names
from domain.errors import Forbidden
from domain.kubernetes import Snapshot
from sandbox.settings import Settings
from tests.support.kubernetes.service_accounts import account_kubeconfig, limited_account
from tests.support.kubernetes.tcp_forwarder import Wire
from tests.support.kubernetes.watching import KINDS, READ, Counting, deployment

PATIENCE = 60.0  # seconds; controllers and the API server share this machine's cores with us
APPS = {"apiGroups": ["apps"], "resources": ["deployments", "replicasets"], "verbs": READ}
PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": READ}


@pytest.fixture
def counting(world: dict[str, str]) -> Iterator[Counting]:
    """Return a connection of this test alone."""
    made = Counting(world["KUBECONFIG"])
    yield made
    made.close()


def followed(feed: RolloutWatch) -> Iterator[Snapshot | None]:
    """Its snapshots, until the test is over."""
    return feed.snapshots(lambda: False)


def first(snapshots: Iterator[Snapshot | None], holds: Callable[[Snapshot | None], bool]) -> Snapshot | None:
    """Return the first snapshot that fits; fail when there is none in time."""
    deadline = time.monotonic() + PATIENCE
    for snapshot in snapshots:
        if holds(snapshot):
            return snapshot
        assert time.monotonic() < deadline, snapshot
    raise AssertionError("snapshots never end by themselves")


def listed(snapshot: Snapshot | None) -> bool:
    """Whether anything is known at all."""
    return snapshot is not None


def wanting(replicas: int, *, events: bool = False) -> Callable[[Snapshot | None], bool]:
    """Whether it shows a Deployment of so many, and its pods, perhaps with an event about each."""

    def holds(snapshot: Snapshot | None) -> bool:
        if snapshot is None or snapshot.deployment is None:
            return False
        about = {event["involvedObject"]["name"] for event in snapshot.events}
        pods = {pod["metadata"]["name"] for pod in snapshot.pods}
        told = pods <= about or not events
        return snapshot.deployment["spec"]["replicas"] == replicas == len(pods) and told

    return holds


def test_one_list_a_kind_and_then_watches(cluster: KubernetesCluster, namespace: str, counting: Counting) -> None:
    """Everything about the deployment, nothing about others, no field managers, and no thread left behind."""
    before = set(threading.enumerate())
    snapshots = followed(RolloutWatch(counting, namespace, "client"))
    nothing = first(snapshots, listed)
    assert nothing is not None
    assert (nothing.deployment, nothing.replica_sets, nothing.pods, nothing.events) == (None, [], [], [])
    other = deployment(namespace, 1)
    other["metadata"]["name"] = "other"
    other["spec"]["selector"]["matchLabels"] = other["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    cluster.apply(other)
    for replicas in (1, 2):
        cluster.apply(deployment(namespace, replicas))
        seen = first(snapshots, wanting(replicas, events=True))
        assert seen is not None
        assert [found["kind"] for found in seen.replica_sets] == ["ReplicaSet"]
        assert not [found for found in [*seen.pods, seen.deployment] if found and "managedFields" in found["metadata"]]
        assert {event["involvedObject"]["name"][: len(names.DEPLOYMENT)] for event in seen.events} == {names.DEPLOYMENT}
    cluster.apply(deployment(namespace, 0))
    first(snapshots, wanting(0))
    snapshots.close()  # type: ignore[attr-defined]
    assert counting.lists == dict.fromkeys(KINDS, 1)
    assert set(threading.enumerate()) - before == set()


def test_a_change_is_told_at_once(cluster: KubernetesCluster, namespace: str) -> None:
    """Not at the next tick, and the first of a burst does not wait for the others."""
    cluster.apply(deployment(namespace, 0))
    snapshots = cluster.follow(namespace, "client", lambda: False)
    first(snapshots, lambda snapshot: snapshot is not None and bool(snapshot.replica_sets))
    lags = []
    for number in range(4):
        _until_quiet(snapshots)
        changed = deployment(namespace, 0)
        changed["metadata"]["labels"] = {"turn": str(number)}
        cluster.apply(changed)
        began = time.monotonic()
        first(snapshots, lambda snapshot, turn=str(number): _turn(snapshot) == turn)  # type: ignore[misc]
        lags.append(time.monotonic() - began)
    snapshots.close()  # type: ignore[attr-defined]
    assert min(lags) < rollout_watch.TICK_SECONDS / 4


def _until_quiet(snapshots: Iterator[Snapshot | None]) -> None:
    """Until a whole tick passed without news."""
    while True:
        began = time.monotonic()
        next(snapshots)
        if time.monotonic() - began > rollout_watch.TICK_SECONDS / 2:
            return


def _turn(snapshot: Snapshot | None) -> str:
    labels = snapshot.deployment["metadata"].get("labels") if snapshot and snapshot.deployment else None
    return str((labels or {}).get("turn"))


def test_watches_that_the_server_closes_go_on(cluster: KubernetesCluster, namespace: str, counting: Counting) -> None:
    """Closed again and again while the deployment grows: still one list a kind, and the truth at the end."""
    snapshots = followed(RolloutWatch(counting, namespace, "client", watch=2))
    for replicas in (1, 2, 3, 0):
        cluster.apply(deployment(namespace, replicas))
        first(snapshots, wanting(replicas))
        _until_quiet(snapshots)
    snapshots.close()  # type: ignore[attr-defined]
    assert counting.lists == dict.fromkeys(KINDS, 1)
    assert [kind for kind in KINDS if counting.watches[kind] < 4] == []
    assert max(counting.watches.values()) < 20


def test_without_a_right_to_events_the_rest_is_told(
    cluster: KubernetesCluster, world: dict[str, str], namespace: str, tmp_path: Path
) -> None:
    """Events only explain."""
    limited_account(cluster, namespace, [APPS, PODS])
    limited = connect("default", {}, account_kubeconfig(cluster, world, namespace, "limited", tmp_path))
    cluster.apply(deployment(namespace, 1))
    snapshots = limited.follow(namespace, "client", lambda: False)
    seen = first(snapshots, lambda snapshot: snapshot is not None and len(snapshot.pods) == 1)
    assert seen is not None
    assert seen.events == []
    assert limited.logs(seen.pods[0]["metadata"]["name"], namespace) == ""
    snapshots.close()  # type: ignore[attr-defined]
    limited.close()


def test_without_a_right_to_pods_it_ends(
    cluster: KubernetesCluster, world: dict[str, str], namespace: str, tmp_path: Path
) -> None:
    """With the right that is missing, instead of a wait that never says anything."""
    limited_account(cluster, namespace, [APPS])
    limited = connect("default", {}, account_kubeconfig(cluster, world, namespace, "limited", tmp_path))
    with pytest.raises(Forbidden, match="may not list pods in namespace"):
        first(limited.follow(namespace, "client", lambda: False), listed)
    limited.close()


def test_a_wire_that_falls_silent_is_found_out(
    world: dict[str, str], cluster: KubernetesCluster, namespace: str, tmp_path: Path
) -> None:
    """Nothing says that it is broken; what happened meanwhile is told when the silence has lasted too long."""
    wire = Wire(world, tmp_path)
    through = connect("default", {}, wire.kubeconfig)
    snapshots = followed(RolloutWatch(through.connection, namespace, "client", watch=3, silence=4.0))
    first(snapshots, listed)
    wire.silent = True
    cluster.apply(deployment(namespace, 1))
    first(snapshots, lambda snapshot: snapshot is None)
    wire.silent = False
    first(snapshots, wanting(1))
    snapshots.close()  # type: ignore[attr-defined]
    through.close()
    wire.close()


def test_an_api_server_that_is_away_is_said(
    world: dict[str, str], cluster: KubernetesCluster, namespace: str, tmp_path: Path
) -> None:
    """None while nobody answers, never something old as if it were true; then the truth."""
    wire = Wire(world, tmp_path)
    through = connect("default", {}, wire.kubeconfig)
    cluster.apply(deployment(namespace, 1))
    snapshots = through.follow(namespace, "client", lambda: False)
    first(snapshots, wanting(1))
    wire.cut = True
    wire.break_all()
    first(snapshots, lambda snapshot: snapshot is None)
    cluster.apply(deployment(namespace, 2))
    wire.cut = False
    first(snapshots, wanting(2))
    snapshots.close()  # type: ignore[attr-defined]
    through.close()
    wire.close()


def test_a_version_that_is_compacted_away_is_listed_again(
    world: dict[str, str], cluster: KubernetesCluster, namespace: str, tmp_path: Path, etcd: str
) -> None:
    """A real 410, of the Events, which the API server does not cache: the list makes up for what was missed."""
    wire = Wire(world, tmp_path)
    counting = Counting(wire.kubeconfig)
    snapshots = followed(RolloutWatch(counting, namespace, "client"))
    first(snapshots, listed)
    wire.cut = True
    wire.break_all()
    cluster.apply(deployment(namespace, 2))
    _shown(cluster, namespace, 2)
    _compact(cluster, etcd)
    wire.cut = False
    first(snapshots, wanting(2, events=True))
    snapshots.close()  # type: ignore[attr-defined]
    assert 1 < counting.lists["events"] < 5
    counting.close()
    wire.close()


def _shown(cluster: KubernetesCluster, namespace: str, replicas: int) -> None:
    snapshots = cluster.follow(namespace, "client", lambda: False)
    first(snapshots, wanting(replicas, events=True))
    snapshots.close()  # type: ignore[attr-defined]


def _compact(cluster: KubernetesCluster, etcd: str) -> None:
    """Forget in etcd everything that is older than now."""
    found = cluster.connection.call(Call("list", "namespaces"), "GET", "/api/v1/namespaces", query={"limit": "1"})
    order = {"revision": found["metadata"]["resourceVersion"]}
    assert urllib3.request("POST", f"{etcd}/v3/kv/compaction", json=order, timeout=PATIENCE).status == 200


@pytest.fixture
def etcd() -> str:
    """Return the address of the world's etcd."""
    return f"http://127.0.0.1:{Settings.from_environment().ports.etcd}"
