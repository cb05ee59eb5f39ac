"""Identity of the Temporal server, so that two servers never claim the same Kubernetes namespace."""

from temporalio.api.workflowservice.v1 import GetClusterInfoRequest
from temporalio.client import Client


async def owner_prefix(client: Client) -> str:
    """`<Temporal cluster id>/<Temporal namespace>`; the id is kept in the server's database, so restarts keep it."""
    info = await client.workflow_service.get_cluster_info(GetClusterInfoRequest())
    return f"{info.cluster_id}/{client.namespace}"
