"""Which Temporal this is, so that two servers never take the same namespace of Kubernetes for theirs."""

from temporalio.api.workflowservice.v1 import GetClusterInfoRequest
from temporalio.client import Client


async def owner_prefix(client: Client) -> str:
    """`<Temporal cluster id>/<Temporal namespace>`; the id is kept in the server's database, so restarts keep it."""
    info = await client.workflow_service.get_cluster_info(GetClusterInfoRequest())
    return f"{info.cluster_id}/{client.namespace}"
