"""`plan` and `diagnose` through Temporal and workers on fakes, and once through a worker on the real cluster."""

import gzip
import json
import re

import pytest

from clients.kubernetes.cluster import KubernetesCluster
from domain import names
from domain.diagnosis import Diagnosis, Severity
from domain.status import Observation
from tests.support.command_line import Cli, Deployed

pytestmark = pytest.mark.asyncio(loop_scope="module")

NO_NODE = Diagnosis(
    code="SCHED_CORDON",
    what="1 of 2 clients finds no node",
    because="node-2 is cordoned",
    do="kubectl uncordon node-2",
    evidence="0/2 nodes are available",
    severity=Severity.NEEDS_HUMAN,
    grace=60,
    serving="1/2",
)


async def test_a_plan_through_the_worker(cli: Cli, deployed: Deployed) -> None:
    """Exit 0; with stage and circuit set it asks no backend host, so that nobody has to poll its queue."""
    done = await cli("plan", *deployed.here)
    assert done.code == 0, done.err
    assert done.out.strip().startswith("stage ")
    away = [*deployed.here[:2], "--backend-host", "nobody"]
    done = await cli("plan", *away, "--stage", "mine", "-o", "json", CIRCUIT="block")
    assert done.code == 0, done.err
    assert json.loads(done.out)["cost"] == "stage mine"
    for asked in ([], ["--stage", "mine"]):  # the profile may name the circuit
        done = await cli("plan", *away, *asked)
        assert (done.code, names.host_queue("nobody") in done.err) == (6, True)


async def test_nothing_wrong_is_0_and_said_plainly(cli: Cli, deployed: Deployed) -> None:
    """An empty namespace is no such answer."""
    there = deployed.here[:2]
    nothing = await cli("diagnose", *there)
    assert (nothing.code, "nothing is deployed" in nothing.err) == (1, True)
    deployed.world.live = Observation(exists=True, wanted=2, updated=2, ready=2, available=2, complete=True)
    done = await cli("diagnose", *there)
    assert (done.code, done.out) == (0, "2 of 2 clients ready, 2 available\nNothing is wrong.\n"), done.err


async def test_what_is_slow_is_not_wrong(cli: Cli, deployed: Deployed) -> None:
    """Progress is told, and exit 0."""
    slow = Diagnosis(code="IMAGE_SLOW", what="3 of 8 nodes have the image", severity=Severity.PROGRESS)
    deployed.world.live = Observation(exists=True, wanted=8, diagnosis=slow)
    done = await cli("diagnose", *deployed.here[:2])
    assert (done.code, "IMAGE_SLOW" in done.out) == (0, True)


async def test_a_finding_in_full_and_where_its_evidence_is(cli: Cli, deployed: Deployed) -> None:
    """Exit 1; evidence on another machine is said with the line that fetches it."""
    deployed.world.live = Observation(exists=True, wanted=2, ready=1, available=1, diagnosis=NO_NODE)
    done = await cli("diagnose", *deployed.here[:2], "--bundle", "why.json.gz")
    assert done.code == 1
    said = re.sub(" +", " ", done.out)
    for line in (
        "1. SCHED_CORDON: 1 of 2 clients finds no node",
        " evidence: 0/2 nodes are available",
        " because: node-2 is cordoned",
        " do: kubectl uncordon node-2",
        " class: needs-human, counts after 60 s",
        " still serving: 1/2",
    ):
        assert line in said
    assert "scp worker-1:/state/evidence/one.json.gz" in done.err


async def test_a_parked_deployment_shows_its_question(cli: Cli, deployed: Deployed) -> None:
    """Beside the findings, with choices, default and deadline."""
    pods = Observation(exists=True, wanted=2, updated=2, ready=1, diagnosis=NO_NODE.model_copy(update={"grace": 1}))
    deployed.world.rollouts = [pods]
    deployed.world.live = pods
    done = await cli("deploy", *deployed.here)
    assert done.code == 1, done.err
    found = await cli("diagnose", *deployed.here[:2], "-o", "json")
    value = json.loads(found.out)
    assert (found.code, value["phase"]) == (1, "parked")
    assert value["question"]["choices"]
    text = await cli("diagnose", *deployed.here[:2])
    assert re.search(r"Question: .*retry.*without an answer \S+ at 20", text.out)


async def test_evidence_of_a_worker_on_this_machine_is_brought(
    cli: Cli, world: dict[str, str], cluster: KubernetesCluster, namespace: str
) -> None:
    """A real worker, in this process; its copy stays with it."""
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": names.DEPLOYMENT, "namespace": namespace},
        "spec": {
            "selector": {"matchLabels": {"app": "client"}},
            "template": {
                "metadata": {"labels": {"app": "client"}},
                "spec": {"nodeSelector": {"no": "node"}, "containers": [{"name": "client", "image": "none:1"}]},
            },
        },
    }
    cluster.apply(deployment)
    state = cli.directory / "state"
    environ = {"KUBECONFIG": world["KUBECONFIG"], "PROVER_STATE_DIR": str(state)}
    done = await cli("diagnose", "--inline", "-n", namespace, "--bundle", "mine.json.gz", **environ)
    assert "evidence: " in done.err, done.err
    copied = (cli.directory / "mine.json.gz").read_bytes()
    assert json.loads(gzip.decompress(copied))["observed"]["wanted"] == 1
    assert [path.read_bytes() for path in (state / "evidence").iterdir()] == [copied]
