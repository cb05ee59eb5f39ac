"""One look reads what it may, and evidence never keeps a rollback waiting."""

from itertools import count

import pytest

from activities.inspection import diagnose
from activities.inspection.diagnose import Look
from domain import names
from domain.errors import Forbidden
from domain.kubernetes import Snapshot
from domain.messages.inspection import DiagnoseRequest
from domain.status import Observation
from tests.support.kubernetes import objects
from tests.support.kubernetes.activities import NS, make_spec
from tests.support.kubernetes.fake_cluster import FakeCluster

REQUEST = DiagnoseRequest(spec=make_spec())


class Talking(FakeCluster):
    """Every client says who it is; asked for what it said before, it says that, too."""

    def logs(self, pod: str, namespace: str, *, previous: bool = False, lines: int = 20) -> str:
        """Nothing of the cluster is asked."""
        assert (namespace, lines) == (NS, diagnose.LOG_LINES)
        return f"{pod} {'before' if previous else 'now'}"


def cluster(pods: int = 2) -> Talking:
    """Clients that have restarted."""
    found = Talking()
    live = objects.deployment(pods)
    found.put("Deployment", names.DEPLOYMENT, NS, **{key: live[key] for key in ("spec", "status")})
    for number in range(pods):
        pod = objects.crashed(f"p{number}", restarts=1)
        found.put("Pod", f"p{number}", NS, spec=pod["spec"], status=pod["status"], labels=pod["metadata"]["labels"])
    return found


def quiet(_: str) -> None:
    """No heartbeat."""


def seen_by(world: FakeCluster) -> Look:
    """The pods alone."""
    return Look(Snapshot(pods=world.find("Pod", NS)), Observation(), [], [])


def test_both_logs_of_a_client_that_restarted() -> None:
    """What it says now, and what it said before it ended."""
    world = cluster(1)
    found = diagnose.evidence(world, REQUEST, seen_by(world), quiet)
    assert found["logs"] == {"p0": "p0 now", "p0 (previous)": "p0 before"}


def test_logs_that_do_not_come_are_not_waited_for() -> None:
    """Each pod takes eight seconds here: the second one is not asked any more."""
    world, ticks = cluster(9), count(0, 8)
    logs = diagnose.evidence(world, REQUEST, seen_by(world), quiet, clock=lambda: float(next(ticks)))["logs"]
    assert {name.partition(" ")[0] for name in logs} == {"p0"}


def test_what_may_not_be_listed_is_a_warning() -> None:
    """With the rule that would help; the rest is told."""
    world = cluster()
    world.forbidden = {("list", "Pod")}
    found = diagnose.look(world, REQUEST, quiet)
    assert found.observed.exists
    assert any("pods" in warning and "rule" in warning for warning in found.report().warnings)


def test_the_deployment_itself_must_be_readable() -> None:
    """Without it nothing could be said."""
    world = cluster()
    world.forbidden = {("get", "Deployment")}
    with pytest.raises(Forbidden):
        diagnose.look(world, REQUEST, quiet)


def test_the_circuit_is_that_of_the_live_configuration() -> None:
    """So that it can be compared, whatever is wrong with the clients."""
    world = FakeCluster()
    world.objects = cluster().objects
    world.put("ConfigMap", names.CONFIG_MAP, NS, data={names.CONFIG_KEY: "circuit: block_2\n"})
    assert diagnose.look(world, REQUEST, quiet).report().circuit == "block_2"


def test_the_circuit_of_clients_that_receive_tasks_is_beyond_doubt() -> None:
    """Their coordinator knows it; the files of the backend's host may be of another set-up."""
    world = FakeCluster()
    live = objects.deployment(1)
    world.put("Deployment", names.DEPLOYMENT, NS, **{key: live[key] for key in ("spec", "status")})
    world.put("ConfigMap", names.CONFIG_MAP, NS, data={names.CONFIG_KEY: "circuit: block_2\n"})
    pod = objects.pod("p0")
    world.put("Pod", "p0", NS, spec=pod["spec"], status=pod["status"], labels=pod["metadata"]["labels"])
    world.said["p0"] = "2026-12-01T00:00:00Z INFO process in tempdir /tmp/x"
    assert diagnose.look(world, REQUEST, quiet).report().circuit == ""
    world.said["p0"] = "2026-12-01T00:00:00Z INFO polling task"
    assert diagnose.look(world, REQUEST, quiet).report().circuit == "block_2"
