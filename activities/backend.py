"""Bringing a shared backend to its desired state from a deployment: start BackendWorkflow or join it, and await it."""

from temporalio import activity
from temporalio.client import Client

from domain.steps import BackendInput, BackendReport


class BackendActivities:
    """Needs the Temporal client, since a workflow cannot join another that already runs."""

    def __init__(self, client: Client) -> None:
        """The worker's own connection."""
        self._client = client

    @activity.defn
    async def converge_backend(self, request: BackendInput) -> BackendReport:
        """USE_EXISTING start plus update `converge`, awaited with heartbeats; cancelling leaves the backend running."""
        raise NotImplementedError
