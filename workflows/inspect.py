"""InspectWorkflow: look at a cluster through its worker and change nothing (id `prover-inspect/<uuid>`)."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.steps import InspectInput, NodesReport


@workflow.defn
class InspectWorkflow:
    """One question, one activity, one answer."""

    @workflow.run
    async def run(self, request: InspectInput) -> NodesReport:
        """The verdict for each node."""
        raise NotImplementedError
