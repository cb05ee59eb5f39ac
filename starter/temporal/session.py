"""Connect to Temporal for the time of one command, and make sure that workers poll the queues it needs."""

import asyncio
import getpass
import logging
import socket
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import NamedTuple, TypeVar

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.runtime import LogForwardingConfig, LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter
from temporalio.service import RPCError, RPCStatusCode

from connection.client import connect
from connection.errors import TemporalUnreachable
from domain import names
from starter.cli import exits
from starter.cli.invocation import Invocation
from starter.views import deployment

T = TypeVar("T")

POLLER_AGE = timedelta(seconds=100)  # a poll lasts up to 60 s; the server lists pollers for 5 minutes after their death
START_UP_SECONDS = 3.0  # seconds in which a worker that is just starting may appear
RPC_TIMEOUT = timedelta(seconds=5)
POLL_SECONDS = 0.3


class Queue(NamedTuple):
    """A task queue that a worker must poll for a command."""

    name: str
    kind: TaskQueueType.ValueType
    role: str  # of the worker


def queues(cluster: str, host: str = "") -> list[Queue]:
    """Return the queues for work on one Kubernetes cluster; with `host` also for source, image and backend."""
    activity = TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY
    needed = [
        Queue(names.DEPLOY_QUEUE, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, "deploy"),
        Queue(names.kube_queue(cluster), activity, "kube"),
        Queue(names.watch_queue(cluster), activity, "kube"),
    ]
    return [*needed, Queue(names.host_queue(host), activity, "host")] if host else needed


def backend_queues(host: str) -> list[Queue]:
    """Return the queues for work on a backend."""
    return [queue for queue in queues("", host) if queue.role != "kube"]


def run(
    invocation: Invocation, command: Coroutine[None, None, T], *, look: str = "", what: str = "what was asked for"
) -> T:
    """Run one command within --timeout; the workflow goes on, however the waiting ends.

    `look` is the command line that shows the state, `what` names that which goes on.
    """
    look = look or invocation.again("status")

    async def bounded() -> T:
        async with asyncio.timeout(invocation.timeout) as limit:
            try:
                return await command
            except RPCError as error:
                raise _rpc_failed(error) from error
            except asyncio.CancelledError:
                if limit.expired():
                    raise exits.Exit(
                        exits.TIMED_OUT,
                        f"gave up waiting after {invocation.timeout:g} s; {what} goes on. Look again with:",
                        [f"  {look}"],
                    ) from None
                raise

    try:
        return asyncio.run(bounded())
    except KeyboardInterrupt:
        raise exits.Exit(exits.INTERRUPTED, f"interrupted; {what} goes on. Look again with:", [f"  {look}"]) from None


@asynccontextmanager
async def session(invocation: Invocation, needed: Sequence[Queue] = ()) -> AsyncIterator[Client]:
    """Connect and require pollers of the `needed` queues; with --inline a worker in this process polls them."""
    quiet_core()
    client = await connect(invocation.values, identity=identity())
    if invocation.inline and needed:
        from starter.temporal.inline_worker import inline_worker  # noqa: PLC0415 - the worker is slow to import

        async with inline_worker(client, invocation.values):
            await require_pollers(client, needed)  # its settings may name other clusters and hosts than ours
            yield client
        return
    await require_pollers(client, needed)
    yield client


@cache
def quiet_core() -> None:
    """Send the log of the SDK's native core to Python's, on stderr; its own default is stdout, where our data goes."""
    forwarding = LogForwardingConfig(logger=logging.getLogger("temporalio.core"))
    telemetry = TelemetryConfig(logging=LoggingConfig(filter=TelemetryFilter("ERROR", "ERROR"), forwarding=forwarding))
    Runtime.set_default(Runtime(telemetry=telemetry), error_if_already_set=False)


async def require_pollers(client: Client, needed: Sequence[Queue]) -> None:
    """Raise Exit NO_WORKER with the queues that no worker polls; one that is just starting is waited for."""
    deadline = asyncio.get_running_loop().time() + START_UP_SECONDS
    missing = list(needed)
    while missing:
        missing = [queue for queue in missing if not await polled(client, queue)]
        if not missing or asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(POLL_SECONDS)
    if missing:
        roles = ",".join(dict.fromkeys(queue.role for queue in missing))
        raise exits.Exit(
            exits.NO_WORKER,
            f"no worker polls {', '.join(queue.name for queue in missing)}. Start one with:",
            [
                f"  proverctl worker --roles {roles}",
                "on the machine that reaches the cluster and holds the repository, or add --inline to this command.",
            ],
        )


async def polled(client: Client, queue: Queue) -> bool:
    """Return whether a worker has polled this queue lately."""
    request = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=queue.name), task_queue_type=queue.kind
    )
    answer = await client.workflow_service.describe_task_queue(request, retry=True, timeout=RPC_TIMEOUT)
    since = datetime.now(UTC) - POLLER_AGE
    return any(poller.last_access_time.ToDatetime(UTC) > since for poller in answer.pollers)


def ui_page(client: Client, invocation: Invocation, workflow_id: str) -> str:
    """Return the workflow's page in Temporal's UI, beside the server that the client has found, e.g. by a profile."""
    address = client.service_client.config.target_host
    return deployment.ui_link(invocation.values, address, client.namespace, workflow_id)


def identity() -> str:
    """Return the user as user@host, for the audit in Temporal's history."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"  # a container's user without a name
    return f"{user}@{socket.gethostname()}"


def _rpc_failed(error: RPCError) -> Exception:
    """Return TemporalUnreachable for a server that went away in the middle, an Exit for any other error."""
    away = {RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED}
    if error.status in away:
        return TemporalUnreachable(
            "Temporal does not answer", because=error.message, do="see that the server of TEMPORAL_ADDRESS runs"
        )
    return exits.Exit(exits.FAILED, f"Temporal refused the request: {error.status.name}: {error.message}")
