"""Context of a command: its view of the deployment, and the checks of the cluster before a change."""

from datetime import datetime

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.commands import Verdict
    from domain.diagnosis import Choice, Diagnosis, Severity
    from domain.messages.nodes import NodesReport, NodesRequest
    from domain.messages.release import TargetRequest
    from domain.spec import ClusterSpec
    from planning.text.sizes import counted
    from workflows.deployment.inbox import Result
    from workflows.deployment.state import Deployment
    from workflows.deployment.watch import Watch
    from workflows.execution import activities
    from workflows.execution.activity_runner import ActivityRunner


def not_deployed(spec: ClusterSpec) -> Diagnosis:
    """Return the refusal of a command that needs clients."""
    return Diagnosis(
        code="NOT_DEPLOYED",
        what="there are no clients to act on",
        on=f"namespace {spec.namespace}",
        do="deploy first: `proverctl deploy`",
        severity=Severity.REFUSED,
    )


class CommandContext:
    """View that one command has of the deployment: its record, its watch, and the runner of its activities."""

    def __init__(
        self, deployment: Deployment, watch: Watch, runner: ActivityRunner, workflow_id: str, command_id: str
    ) -> None:
        """`touched` becomes true with the first change to the world outside the namespace, `wrote` inside it."""
        self.deployment = deployment
        self.watch = watch
        self.runner = runner
        self.workflow_id = workflow_id
        self.command_id = command_id
        self.touched = False
        self.wrote = False
        self.keep = False  # running clients stay where they are, for nothing but their number changes
        self.phase_before = deployment.phase
        self.diagnosis_before = deployment.diagnosis
        self.checked_out = ""  # URL or path, with @ref, of the source; empty: a work tree as it stands
        self.notes: list[str] = []  # what people should know of how the command ended
        self.shortfall = deployment.shortfall  # why fewer clients than asked for
        self.nodes_by: datetime | None = None  # until when nodes are waited for
        self.questions = 0  # asked so far
        self.decided: Choice | None = None  # how a person, or the default, ended it

    async def check_target(self, spec: ClusterSpec) -> None:
        """Ours to write to, and the cluster that we think it is."""
        request = TargetRequest(spec=spec, deployment_id=self.workflow_id, cluster_uid=self.deployment.cluster_uid)
        target = await self.runner.run(activities.CHECK_TARGET, request, spec)
        self.deployment.cluster_uid = target.cluster_uid
        self.deployment.warn(target.warnings)

    async def check_nodes(self, spec: ClusterSpec, *, insist: bool = False, briefly: bool = False) -> NodesReport:
        """Return the verdicts; `insist` asks again while nodes are missing, `briefly` gives up soon."""
        runner = self.runner.briefly() if briefly else self.runner
        report = await runner.run(
            activities.CHECK_NODES,
            self.places(spec),
            spec,
            summary=f"check the nodes for {counted(spec.replicas, 'client')}",
            lacking=(lambda answer: answer.diagnosis) if insist else None,
        )
        self.deployment.warn(report.warnings)
        return report

    def places(self, spec: ClusterSpec) -> NodesRequest:
        """Return the request to the nodes; clients that are not replaced need no new node."""
        return NodesRequest(spec=spec, replicas=spec.replicas, keep=self.keep)

    def fall_short(self, fits: int, wanted: int, lacking: Diagnosis) -> None:
        """Go on with fewer clients, and say so for as long as it is true."""
        self.shortfall = f"{fits} of {wanted} clients were made, as many as fit: {lacking.what}"
        self.notes.append(f"{fits} of {wanted} clients, as many as fit")

    def by(self) -> str:
        """Return the mark of values that this command sets: its id and its time."""
        return f"{self.command_id} on {self.deployment.now}"

    def ready(self) -> str:
        """Return the sentence of a successful end."""
        seen, release = self.deployment.observed, self.deployment.release
        return f"{seen.ready} of {release.replicas} clients ready, stage {release.stage}" if release else ""

    def done(self, *, changed: bool, notes: list[str] | None = None) -> Result:
        """Return the result of a command that succeeded."""
        found = self.deployment.observed.diagnosis
        wrong = found if found and found.severity is not Severity.PROGRESS else None
        warned = [f"warning: {wrong.code}: {wrong.what}"] if wrong else []
        message = "; ".join([self.ready(), *self.notes, *(notes or []), *warned])
        return Result(Verdict.DONE if changed else Verdict.UNCHANGED, message, wrong)
