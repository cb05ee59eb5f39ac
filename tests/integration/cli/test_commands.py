"""`proverctl` as a subprocess against the real Temporal server, without a worker and with workers on fakes."""

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.service import RPCError

from domain import names
from domain.diagnosis import Diagnosis, Severity
from domain.errors import CredentialsRejected
from domain.spec import ClusterSpec, Endpoint, ImageTarget
from domain.state import ClusterInput
from domain.status import Observation
from tests.support.command_line import KUBE, PATIENCE, Cli, Deployed, said
from workflows.deployment.workflow import ProverClusterWorkflow


class Wire:
    """A relay between proverctl and Temporal that can be cut and mended."""

    def __init__(self, address: str) -> None:
        """`address` of the server."""
        self._target = address.rpartition(":")[::2]
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._port = 0

    async def mend(self) -> str:
        """Serve; the address stays the same."""
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        return f"127.0.0.1:{self._port}"

    async def cut(self) -> None:
        """Break every connection and accept no new one."""
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(*self._target)
        self._writers |= {writer, there[1]}
        await asyncio.gather(self._pump(reader, there[1]), self._pump(there[0], writer))

    @staticmethod
    async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()


async def _until(look: Callable[[], Awaitable[list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """Return the first answer that is not empty; each look takes a process of its own, so no pause is needed."""
    async with asyncio.timeout(PATIENCE):
        while True:
            if found := await look():
                return found


async def _listed(cli: Cli) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((await cli("list", "-o", "json")).out)
    return rows


pytestmark = pytest.mark.asyncio(loop_scope="module")


# Nobody works


async def test_without_a_worker_deploy_ends_with_6_and_starts_nothing(cli: Cli, client: Client) -> None:
    """The message names queues, missing roles and the command; nothing is left in Temporal."""
    done = await cli("deploy")
    assert (done.code, done.out) == (6, "")
    for queue in ("prover-deploy", "prover-kube.default", "prover-watch.default", "prover-host.local"):
        assert queue in done.err
    assert "proverctl worker --roles deploy,kube,host" in done.err
    with pytest.raises(RPCError, match="not found"):
        await client.get_workflow_handle(names.deployment_id("default", KUBE)).describe()


async def test_an_address_that_never_answers_is_given_up_in_time(cli: Cli) -> None:
    """A silent peer is worse than a closed port: nothing tells us to stop waiting. Ten seconds are promised in all."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = await cli("deploy", TEMPORAL_ADDRESS=f"127.0.0.1:{silent.getsockname()[1]}")
    assert (done.code, done.out) == (5, "")
    assert "TEMPORAL_ADDRESS=127.0.0.1" in done.err
    assert "no answer within 8 s" in done.err


async def test_status_and_list_work_without_a_worker(cli: Cli, client: Client) -> None:
    """From the memo, with its age; a signal is accepted too; the end of the run is told."""
    namespace = "unwatched"
    spec = ClusterSpec(namespace=namespace, coordinator=Endpoint(ip="10.0.0.9"), image=ImageTarget(repository="a/b"))
    handle = await client.start_workflow(
        ProverClusterWorkflow.run,
        ClusterInput(spec=spec),
        id=spec.deployment_id,
        task_queue=names.DEPLOY_QUEUE,
        memo={"phase": "serving", "stage": "abc", "ready": 1, "wanted": 2, "since": "2026-01-01T00:00:00Z"},
    )
    done = await cli("status", "-n", namespace, "-o", "json")
    assert done.code == 0
    value = json.loads(done.out)
    assert (value["source"], value["phase"], value["clients"]) == ("memo", "serving", "1/2")
    assert "no worker answers" in done.err
    assert " d ago" in done.err
    rows = await _until(lambda: _listed(cli))
    assert [(row["namespace"], row["phase"], row["stage"]) for row in rows] == [(namespace, "serving", "abc")]
    done = await cli("scale", "1", "-n", namespace, "--no-wait")
    assert done.code == 0
    signals = [event async for event in handle.fetch_history_events() if event.event_type == 26]
    assert [one.workflow_execution_signaled_event_attributes.signal_name for one in signals] == ["scale"]
    await handle.terminate("enough")
    done = await cli("status", "-n", namespace)
    assert (done.code, done.out) == (1, "")
    assert "terminated" in done.err


@pytest.mark.parametrize("words", [("scale", "2", "--no-wait"), ("reset-endpoint", "--no-wait"), ("status",)])
async def test_nothing_deployed_is_told_with_the_command_that_deploys(
    cli: Cli, client: Client, words: tuple[str, ...]
) -> None:
    """Exit 1."""
    assert client.namespace
    done = await cli(*words, "-n", "never")
    assert (done.code, done.out) == (1, "")
    assert "nothing is deployed in namespace never" in done.err
    assert "proverctl deploy -n never" in done.err


# Fakes work


def _there(deployed: Deployed) -> list[str]:
    return deployed.here[:2]


async def test_the_life_of_a_deployment(cli: Cli, deployed: Deployed) -> None:
    """Deploy, again, scale, reset, status, list, tear-down: exit 0 each, data on stdout, words on stderr."""
    there = _there(deployed)
    done = await cli("deploy", *deployed.here, "-o", "json")
    assert done.code == 0, done.err
    value = json.loads(done.out)
    assert (value["outcome"]["verdict"], value["status"]["phase"], value["exit"]) == ("done", "serving", 0)
    assert "accepted as" in done.err
    assert f"Next: proverctl status {' '.join(there)}" in done.err
    done = await cli("deploy", *deployed.here)
    assert done.code == 0
    assert "deploy: unchanged" in done.err
    done = await cli("scale_cluster", "1", *there)
    assert done.code == 0, done.err
    done = await cli("reset-endpoint", "10.0.0.10", *there)
    assert done.code == 0, done.err
    status = json.loads((await cli("status", *there, "-o", "json")).out)
    assert (status["source"], status["release"]["replicas"]) == ("worker", 1)
    assert status["endpoint"] == "10.0.0.10:50055"
    text = (await cli("status", *there)).out
    assert "serving" in text
    assert f"/namespaces/{cli.environ['TEMPORAL_NAMESPACE']}/workflows/prover-cluster%2Fdefault%2F" in text
    done = await cli("tear-down", "--yes", *there)
    assert done.code == 0, done.err
    assert "acts as --now" in done.err
    assert (await cli("status", *there)).code == 1
    assert (await cli("scale", "1", *there)).code == 1


async def test_a_deploy_keeps_what_scale_set_and_says_so(cli: Cli, deployed: Deployed) -> None:
    """Plan and outcome name the command, the unchanged setting and the flag; a changed CLIENT_REPLICAS wins."""
    there = _there(deployed)
    done = await cli("deploy", *deployed.here)
    assert "accepted as deploy-" in done.err
    assert "not drained" not in done.err
    done = await cli("scale", "1", *there)
    assert "warning: 1 client will end without being drained" in done.err
    assert "busy clients that ended lost theirs" in done.err
    kept = "the default CLIENT_REPLICAS=2 is unchanged since the last deploy; pass --replicas to change it"
    planned = await cli("plan", *deployed.here)
    assert planned.out.startswith("\n1 client: set by scale-"), planned.err
    assert kept in planned.out
    assert kept in json.loads((await cli("plan", *deployed.here, "-o", "json")).out)["notes"][0]
    done = await cli("deploy", *deployed.here)
    assert kept in done.err
    assert json.loads((await cli("status", *there, "-o", "json")).out)["release"]["replicas"] == 1
    done = await cli("deploy", *deployed.here, CLIENT_REPLICAS="0")
    assert "0 clients: CLIENT_REPLICAS=0 of the environment, where the last deploy found 2" in done.err
    done = await cli("deploy", *deployed.here, "--replicas", "2", CLIENT_REPLICAS="0")
    assert "2 clients: --replicas of this deploy" in done.err
    sent = await cli("scale", "1", *there, "--no-wait")
    assert "busy ones that end lose their proof" in sent.err


async def test_refusals_are_3_with_the_numbers(cli: Cli, deployed: Deployed) -> None:
    """A first deploy and a scale beyond the nodes, and an endpoint that clients would not use."""
    there = _there(deployed)
    done = await cli("deploy", *deployed.here, "--replicas", "3")
    assert (done.code, done.out) == (3, "")
    assert "2 of 3 nodes" in done.err
    assert (await cli("deploy", *deployed.here, "--coordinator-serv", "http://proxy:80")).code == 0
    done = await cli("scale", "3", *there)
    assert done.code == 3
    assert "2 of 3 nodes" in done.err
    done = await cli("reset-endpoint", "10.0.0.10", *there)
    assert done.code == 3
    assert "COORDINATOR_SERV" in done.err


async def test_a_permanent_failure_is_1_with_diagnosis_and_next_command(cli: Cli, deployed: Deployed) -> None:
    """The deploy parks; JSON says so too; a later deploy goes on."""
    deployed.world.faults["ensure_image"].append(CredentialsRejected("the registry said no", do="mend IMAGE_AUTH_*"))
    done = await cli("deploy", *deployed.here, "-o", "json")
    assert done.code == 1
    assert "CREDENTIALS: the registry said no" in done.err
    assert "It is parked" in done.err
    value = json.loads(done.out)
    assert (value["exit"], value["status"]["phase"]) == (1, "parked")
    assert (await cli("deploy", *deployed.here)).code == 0


async def test_a_stuck_rollout_is_shown_while_waiting(cli: Cli, deployed: Deployed) -> None:
    """The fatal diagnosis of the rollout ends the first deploy with 1."""
    stuck = Diagnosis(code="IMAGE_AUTH", what="pull denied", severity=Severity.FATAL)
    deployed.world.rollouts.append(Observation(exists=True, wanted=2, diagnosis=stuck))
    done = await cli("deploy", *deployed.here)
    assert done.code == 1
    assert "IMAGE_AUTH: pull denied" in done.err


async def test_a_time_out_is_4_and_the_deployment_goes_on(cli: Cli, deployed: Deployed) -> None:
    """How to look again is printed; the work is not cancelled."""
    deployed.world.faults["await_rollout"].append(deployed.world.hold)
    done = await cli("deploy", *deployed.here, "--timeout", "3s")
    assert (done.code, done.out) == (4, "")
    assert f"proverctl status {' '.join(_there(deployed))}" in done.err
    deployed.world.held.set()
    assert (await cli("deploy", *deployed.here)).code == 0


async def test_an_interrupt_is_130_and_the_deployment_goes_on(cli: Cli, deployed: Deployed) -> None:
    """Ctrl-C ends the waiting only."""
    deployed.world.faults["await_rollout"].append(deployed.world.hold)
    process = await cli.begin("deploy", *deployed.here)
    await said(process, b"rolling-out")
    process.send_signal(signal.SIGINT)
    done = await cli.end(process)
    assert done.code == 130
    assert "goes on" in done.err
    deployed.world.held.set()
    assert (await cli("deploy", *deployed.here)).code == 0


async def test_an_outage_of_temporal_is_waited_for(cli: Cli, deployed: Deployed, world: dict[str, str]) -> None:
    """The deployment goes on meanwhile; the CLI says that it reconnects, and ends with the outcome."""
    wire = Wire(world["TEMPORAL_ADDRESS"])
    address = await wire.mend()
    deployed.world.faults["await_rollout"].append(deployed.world.hold)
    process = await cli.begin("deploy", *deployed.here, TEMPORAL_ADDRESS=address)
    await said(process, b"rolling-out")
    await wire.cut()
    await said(process, b"Temporal does not answer; reconnecting")
    deployed.world.held.set()
    await wire.mend()
    done = await cli.end(process)
    await wire.cut()
    assert done.code == 0, done.err
    assert "deploy: done" in done.err


async def test_inline_runs_a_worker_and_keeps_stdout_clean(cli: Cli, world: dict[str, str]) -> None:
    """The real worker, which reads the real cluster; its logs are not data."""
    done = await cli("nodes", "--inline", "-o", "json", KUBECONFIG=world["KUBECONFIG"])
    assert done.code == 0, done.err
    assert len(json.loads(done.out)["nodes"]) >= 2


async def test_no_wait_returns_the_receipt(cli: Cli, deployed: Deployed) -> None:
    """Accepted, not done; the outcome is found by the receipt's command id."""
    done = await cli("deploy", *deployed.here, "--no-wait", "-o", "json")
    assert done.code == 0
    command = json.loads(done.out)["receipt"]["command_id"]

    async def settled() -> list[dict[str, Any]]:
        status = json.loads((await cli("status", *_there(deployed), "-o", "json")).out)
        return [one for one in status["outcomes"] if one["command_id"] == command]

    found = await _until(settled)
    assert found[0]["verdict"] == "done"


async def test_tear_down_of_nothing_says_so(cli: Cli, deployed: Deployed) -> None:
    """The command starts the deployment's workflow to look, without settings of a deploy, and ends it again."""
    done = await cli("tear-down", "--now", "--yes", *_there(deployed), IMAGE_REPO="", COORDINATOR_EP="")
    assert done.code == 0, done.err
    assert "nothing to remove" in done.err


async def test_nodes_end_with_3_when_too_few(cli: Cli, deployed: Deployed) -> None:
    """Plain `nodes` only tells."""
    done = await cli("nodes", *_there(deployed), "-o", "json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["usable"] == 2
    done = await cli("nodes", "--for", "3", *_there(deployed))
    assert done.code == 3
    assert "2 of 3 nodes" in done.err


async def test_two_deploys_at_once_share_one_deployment(cli: Cli, deployed: Deployed) -> None:
    """The result is one release; a deploy superseded while it waited says by which."""
    both = await asyncio.gather(*(cli("deploy", *deployed.here, "-o", "json") for _ in range(2)))
    done = [one for one in both if one.code == 0]
    overtaken = [one for one in both if one.code != 0]
    assert {json.loads(one.out)["status"]["release"]["revision"] for one in done} == {1}
    assert [one.code for one in overtaken] == [1] * len(overtaken)
    assert all("superseded by deploy" in one.err for one in overtaken)
