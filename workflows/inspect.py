"""InspectWorkflow: look at a cluster through its worker and change nothing (id `prover-inspect/<uuid>`)."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.status import Retry
    from domain.steps import InspectInput, NodesReport, NodesRequest
    from workflows import messages, timeouts
    from workflows.attempt import Attempts, Stopped


@workflow.defn
class InspectWorkflow:
    """One question, one activity, one answer."""

    @workflow.init
    def __init__(self, request: InspectInput) -> None:
        """Asking is retried like a command."""
        self._attempts = Attempts(request.spec.retry_for, self._changed)

    @workflow.run
    async def run(self, request: InspectInput) -> NodesReport:
        """The verdict for each node; ApplicationError with the diagnosis in its details."""
        asked = NodesRequest(spec=request.spec, replicas=request.replicas)
        try:
            return await self._attempts.run(timeouts.CHECK_NODES, asked, request.spec)
        except Stopped as stop:
            raise messages.rejection(stop.diagnosis) from None

    @workflow.query
    def retry(self) -> Retry | None:
        """Why there is no answer yet."""
        return self._attempts.retry

    def _changed(self) -> None:
        retry = self._attempts.retry
        workflow.set_current_details(str(retry.diagnosis) if retry else "")
