"""A Temporal server for the session; fake activities, workers and a deployment of each test alone."""

import contextlib
import itertools
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from connection import search
from domain import names
from tests.support.temporal.server import BIN, FAST
from tests.support.temporal.stage import Stage
from tests.support.temporal.world import World


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def environment() -> AsyncIterator[WorkflowEnvironment]:
    """A server for all tests of the session."""
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        dev_server_existing_path=str(BIN / "temporal"),
        dev_server_extra_args=FAST,
        search_attributes=[*search.ALL],
    ) as environment:
        yield environment


@pytest.fixture
def world() -> World:
    """A fresh one."""
    return World()


_numbers = itertools.count(1)


@pytest_asyncio.fixture(loop_scope="session")
async def stage(environment: WorkflowEnvironment, world: World) -> AsyncIterator[Stage]:
    """A deployment to be, and the workers that would do it."""
    namespace = f"ns-{next(_numbers)}"
    client = environment.client
    async with Stage(client, world, namespace) as stage:
        yield stage
        for workflow_id in (names.deployment_id("default", namespace), names.backend_id(namespace, "example")):
            with contextlib.suppress(RPCError):  # ended already, or never began
                await client.get_workflow_handle(workflow_id).terminate("the test is over")
