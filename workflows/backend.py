"""BackendWorkflow: the desired state of one backend on one host, shared by the deployments that need it."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.steps import BackendInput, BackendReport


@workflow.defn
class BackendWorkflow:
    """Stays open while the backend is meant to be up."""

    @workflow.run
    async def run(self, request: BackendInput) -> BackendReport:
        """Answer `converge` until the backend is stopped."""
        raise NotImplementedError

    @workflow.update
    async def converge(self, request: BackendInput) -> BackendReport:
        """Bring the backend to the desired mode and report."""
        raise NotImplementedError

    @workflow.query
    def status(self) -> BackendReport:
        """The steps as they stand."""
        raise NotImplementedError
