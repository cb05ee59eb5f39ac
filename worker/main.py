"""The composition root: settings → clients → activities → Workers."""

import argparse
import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from temporalio.client import Client
from temporalio.worker import Worker

from activities.host.activities import HostActivities
from activities.host.images import ImageActivities
from activities.host.preflight import Host, HostPreflightActivities
from activities.inspection.activities import InspectionActivities
from activities.inspection.preflight import PreflightActivities
from activities.release.activities import KubeActivities
from activities.release.pre_pull import PrePullActivities
from activities.watch import WatchActivities
from clients.backend.host import LocalBackendHost
from clients.git.work_tree import GitSources
from clients.image.images import PushedImages
from clients.image.inventory import LocalImageStores
from clients.image.preflight import LocalImagePreflight
from clients.kubernetes.cluster import connect as connect_cluster
from clients.kubernetes.deployment_watch import SharedWatches
from clients.kubernetes.pods import PodTrials
from clients.registry.credentials import WorkerSecrets
from clients.system.evidence import EvidenceFiles
from clients.system.tcp import reach
from connection import search
from connection.client import connect
from connection.errors import TemporalUnreachable
from connection.server import owner_prefix
from domain.errors import ProverError, SettingsInvalid
from worker import logs, queues
from worker.settings import ROLES, WorkerSettings

UNREACHABLE, INVALID, FAILED = 5, 2, 1  # exit codes of docs/operations.md

log = logging.getLogger("worker")


@asynccontextmanager
async def running(client: Client, environ: Mapping[str, str], roles: Sequence[str] = ROLES) -> AsyncIterator[None]:
    """Workers of these roles run for the time of the context; SettingsInvalid."""
    settings = WorkerSettings.read(environ, tuple(roles))
    if "deploy" in settings.roles:
        await search.register(client)
    async with AsyncExitStack() as stack:
        for worker in await _workers(client, settings, environ, stack):
            await stack.enter_async_context(worker)
            log.info("polls task queue %s", worker.task_queue)
        yield


async def run(environ: Mapping[str, str], roles: Sequence[str] = ROLES) -> None:
    """Work until SIGTERM or SIGINT; TemporalUnreachable, SettingsInvalid."""
    logs.to_stderr()
    logs.forward_core()
    WorkerSettings.read(environ, tuple(roles))  # wrong settings are told before anything is contacted
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    client = await connect(environ, identity=f"worker@{socket.gethostname()}/{os.getpid()}")
    async with running(client, environ, roles):
        log.info("ready for roles %s", ",".join(roles))
        await stop.wait()
        log.info("stopping: short steps end, long ones go on with the next worker")


async def _workers(
    client: Client, settings: WorkerSettings, environ: Mapping[str, str], stack: AsyncExitStack
) -> list[Worker]:
    """No client connects yet: Kubernetes or Docker being away must not keep a worker from starting.

    What has to be closed after the workers goes onto `stack`.
    """
    workers = [queues.deploy(client)] if "deploy" in settings.roles else []
    secrets = WorkerSecrets(environ)
    if "kube" in settings.roles:
        clusters = {name: connect_cluster(name, settings.contexts, settings.kubeconfig) for name in settings.clusters}
        prefix = await owner_prefix(client)
        steps = KubeActivities(dict(clusters), secrets, prefix, reach)
        inspection = InspectionActivities(dict(clusters), secrets, prefix, EvidenceFiles(settings.state_dir), reach)
        trials = {name: PodTrials(cluster.connection) for name, cluster in clusters.items()}
        preflight = PreflightActivities(dict(clusters), dict(trials), secrets, prefix, reach)
        pre_pull = PrePullActivities(dict(clusters), dict(trials), secrets, prefix)
        shared = {name: SharedWatches(cluster) for name, cluster in clusters.items()}
        for one in shared.values():
            stack.push_async_callback(asyncio.to_thread, one.close)  # it joins threads
        watches = WatchActivities(shared, clusters, reach)
        for name in clusters:
            workers += [
                queues.kube(client, name, steps, inspection, preflight, pre_pull),
                queues.watch(client, name, watches),
            ]
    if "host" in settings.roles:
        images = PushedImages(settings.docker_host, secrets, settings.state_dir)
        backends = LocalBackendHost(settings.state_dir, environ)
        sources = GitSources(settings.state_dir)
        host, host_steps = settings.backend_host, HostActivities(sources, images, backends)
        image_preflight = LocalImagePreflight(settings.docker_host, secrets)
        looks = HostPreflightActivities(Host(sources, image_preflight, backends, secrets))
        kept = ImageActivities(LocalImageStores(settings.docker_host, secrets))
        workers += [queues.host(client, host, host_steps, looks, kept), queues.host_watch(client, host, host_steps)]
    return workers


def main(argv: list[str] | None = None) -> int:
    """`python -m worker [--roles deploy,kube,host]`; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m worker", description="Do the work of proverctl's deployments.")
    parser.add_argument("--roles", default=",".join(ROLES), help="deploy, kube, host, or several with commas")
    given = parser.parse_args(argv)
    try:
        asyncio.run(run(os.environ, tuple(filter(None, given.roles.split(",")))))
    except ProverError as error:
        log.error("%s", error)  # noqa: TRY400 - it says what to do; a traceback would bury that
        codes = {SettingsInvalid: INVALID, TemporalUnreachable: UNREACHABLE}
        return codes.get(type(error), FAILED)
    return 0
