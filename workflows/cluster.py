"""ProverClusterWorkflow: one deployment of prove-clients in one namespace, from deploy to tear-down."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.commands import Outcome, Receipt, ResetEndpoint, Scale, TearDown, Upgrade
    from domain.state import ClusterInput
    from domain.status import Status


@workflow.defn
class ProverClusterWorkflow:
    """The only writer of its namespace; its id is the lock."""

    @workflow.run
    async def run(self, request: ClusterInput) -> Outcome:
        """Act on commands in order until torn down."""
        raise NotImplementedError

    @workflow.update
    async def scale(self, request: Scale) -> Receipt:
        """Accept a new number of clients."""
        raise NotImplementedError

    @workflow.update
    async def reset_endpoint(self, request: ResetEndpoint) -> Receipt:
        """Accept another coordinator."""
        raise NotImplementedError

    @workflow.update
    async def upgrade(self, request: Upgrade) -> Receipt:
        """Accept a spec to converge to."""
        raise NotImplementedError

    @workflow.update
    async def tear_down(self, request: TearDown) -> Receipt:
        """Accept the end of this deployment."""
        raise NotImplementedError

    @workflow.query
    def status(self) -> Status:
        """Everything `proverctl status` shows."""
        raise NotImplementedError
