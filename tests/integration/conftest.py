"""The world's cluster and a namespace of each test alone; `proverctl` and workers on fakes for it to talk to."""

import asyncio
import os
import secrets
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, suppress
from uuid import uuid4

import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.service import RPCError

import connection.client
from clients.kubernetes.cluster import KubernetesCluster, connect
from connection import search
from domain import names
from tests.support.command_line import BIN, KUBE, PATIENCE, Cli, Deployed
from tests.support.temporal.workers import workers
from tests.support.temporal.world import World


@pytest.fixture(scope="module")
def cluster(world: dict[str, str]) -> Iterator[KubernetesCluster]:
    """The world's cluster as an administrator."""
    found = connect("default", {}, world["KUBECONFIG"])
    yield found
    found.close()


@pytest.fixture
def namespace(cluster: KubernetesCluster) -> Iterator[str]:
    """A namespace of this test alone."""
    name = f"test-{uuid4().hex[:8]}"
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    cluster.delete("Namespace", name, "")


async def _namespace(world: Mapping[str, str]) -> str:
    """A Temporal namespace of our own, so that no other worker polls our queues."""
    name = f"cli-{secrets.token_hex(4)}"
    where = ["--address", world["TEMPORAL_ADDRESS"], "--namespace", name]
    made = await asyncio.create_subprocess_exec(
        str(BIN / "temporal"), "operator", "namespace", "create", *where, stdout=subprocess.DEVNULL
    )
    assert await made.wait() == 0
    return name


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cli(world: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """The least environment of a user of this world."""
    return Cli(
        {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path_factory.mktemp("home")),
            "TEMPORAL_ADDRESS": world["TEMPORAL_ADDRESS"],
            "TEMPORAL_NAMESPACE": await _namespace(world),
            "CLUSTER_NS": KUBE,
            "IMAGE_REPO": "fluidex/prover",
            "COORDINATOR_EP": "10.0.0.9",
            "CIRCUIT_DIR": "circuit",
        },
        tmp_path_factory.mktemp("user"),
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(cli: Cli) -> Client:
    """A connection into the same Temporal namespace, once the server serves it."""
    made = await connection.client.connect(cli.environ)
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                _ = [run async for run in made.list_workflows("")]
                await made.get_workflow_handle("none").describe()
            except RPCError as error:
                if "namespace" not in error.message.lower():
                    return made
            await asyncio.sleep(0.2)


@pytest_asyncio.fixture(loop_scope="module")
async def deployed(client: Client) -> AsyncIterator[Deployed]:
    """Workers as the product has them, on fakes; the namespace is a new one each time."""
    namespace, world = f"ns-{secrets.token_hex(3)}", World()
    await search.register(client)
    async with AsyncExitStack() as stack:
        for worker in workers(client, world, namespace):
            await stack.enter_async_context(worker)
        yield Deployed(world, ["-n", namespace, "--backend-host", namespace])
        with suppress(RPCError):  # none was started, or it has ended
            # Else the workers of a later test, which poll the same queues, would go on with it in their own world.
            await client.get_workflow_handle(names.deployment_id("default", namespace)).terminate("the test has ended")
