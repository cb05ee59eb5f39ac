"""`python -m bench.await_once KUBECONFIG NAMESPACE STAGE`: the wait as the product does it, durably, for `rollout-lag`.

A workflow awaits activity `await_rollout`; what is said is the time at which Temporal's history has it completed.
"""

import asyncio
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import uuid4

from temporalio import workflow
from temporalio.worker import Worker

import connection.client
from activities.release.activities import KubeActivities
from bench.world.embedded import World
from clients.kubernetes.cluster import KubernetesCluster, connect
from clients.registry.credentials import WorkerSecrets
from domain.kubernetes import Snapshot
from domain.messages.release import RolloutRequest
from domain.spec import ClusterSpec, Endpoint, ImageTarget
from domain.status import Observation, Release

BEAT = timedelta(seconds=1)


@workflow.defn(sandboxed=False)
class AwaitRollout:
    """Nothing but the wait."""

    @workflow.run
    async def run(self, request: RolloutRequest) -> Observation:
        """Return the observation that ended it."""
        return await workflow.execute_activity_method(
            KubeActivities.await_rollout,
            request,
            start_to_close_timeout=timedelta(minutes=5),
            heartbeat_timeout=timedelta(seconds=10),
        )


class Announcing(KubernetesCluster):
    """Says `waiting` when a wait has begun."""

    def follow(self, namespace: str, deploy_name: str, stop: Callable[[], bool]) -> Iterator[Snapshot | None]:
        """As any other."""
        for number, snapshot in enumerate(super().follow(namespace, deploy_name, stop)):
            if number == 0:
                print("waiting", flush=True)
            yield snapshot


async def main(kubeconfig: str, namespace: str, stage: str) -> None:
    """Says `complete at` and Unix time."""
    client = await connection.client.connect(World().env)
    name = f"bench-await-{uuid4().hex}"
    cluster = Announcing(connect("default", {}, kubeconfig).connection)
    steps = KubeActivities({"default": cluster}, WorkerSecrets({}), "bench")
    spec = ClusterSpec(namespace=namespace, coordinator=Endpoint(ip="127.0.0.1"), image=ImageTarget(repository="toy"))
    request = RolloutRequest(spec=spec, release=Release(stage=stage), generation=0, replicas=spec.replicas)
    worker = Worker(
        client,
        task_queue=name,
        workflows=[AwaitRollout],
        activities=[steps.await_rollout],
        activity_executor=ThreadPoolExecutor(1),
        max_heartbeat_throttle_interval=BEAT,
    )
    async with worker:
        seen = await client.execute_workflow(AwaitRollout.run, request, id=name, task_queue=name)
        history = await client.get_workflow_handle(name).fetch_history()
    if not seen.complete:
        raise SystemExit(str(seen.diagnosis))
    completed = next(event for event in history.events if event.HasField("activity_task_completed_event_attributes"))
    print(f"complete at {completed.event_time.ToMicroseconds() / 1e6}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
