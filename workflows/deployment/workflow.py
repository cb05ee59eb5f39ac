"""ProverClusterWorkflow: one deployment of prove-clients in one namespace, from deploy to tear-down."""

from typing import Any

from temporalio import workflow
from temporalio.common import RawValue

with workflow.unsafe.imports_passed_through():
    from domain.commands import (
        Answer,
        Command,
        Kind,
        Outcome,
        Receipt,
        ResetEndpoint,
        Scale,
        TearDown,
        Upgrade,
        Verdict,
    )
    from domain.diagnosis import Diagnosis
    from domain.spec import OnFailure
    from domain.state import ClusterInput
    from domain.status import Phase, Retry, Status
    from planning.plan import proofs
    from workflows.deployment import changes, validation
    from workflows.deployment.context import CommandContext
    from workflows.deployment.deploy import deploy
    from workflows.deployment.inbox import Result, interrupts
    from workflows.deployment.recovery import recover
    from workflows.deployment.report import Report
    from workflows.deployment.state import SETTLED, Deployment
    from workflows.deployment.watch import Watch
    from workflows.execution import rejection
    from workflows.execution.activity_runner import ActivityRunner, Interrupted, Stopped

HANDLERS = {
    Kind.UPGRADE: deploy,
    Kind.SCALE: changes.scale,
    Kind.RESET_ENDPOINT: changes.reset_endpoint,
    Kind.TEAR_DOWN: changes.tear_down,
}
BLANK = 5.0  # seconds that a run without any command waits for one, e.g. when its first was rejected


@workflow.defn
class ProverClusterWorkflow:
    """The only writer of its namespace; its id is the lock. A cancellation ends it and leaves the clients running."""

    @workflow.init
    def __init__(self, request: ClusterInput) -> None:
        """Take up where the run before left off, or start blank."""
        self._id = workflow.info().workflow_id
        self._deployment = Deployment(request, workflow.now, self._changed)
        self._report = Report(self._deployment, self.status)
        self._watch = Watch(self._deployment, self._changed)
        self._runner: ActivityRunner | None = None
        self._teardown_retry: Retry | None = None
        self._acted = False
        if request.command_id and not self._deployment.inbox.knows(request.command_id):
            self._accept(validation.command(request.command_id, Upgrade(spec=request.spec, by=request.by)))

    @workflow.run
    async def run(self, request: ClusterInput) -> Outcome | None:  # noqa: ARG002 - taken by __init__
        """Act on commands in order, and while there is none watch what is deployed; the last outcome."""
        self._changed()
        while not await self._is_over():
            await self._next_command()
            if self._deployment.inbox.pending:
                await self._act(self._deployment.inbox.take())
            if self._worth_a_new_run():
                await self._continue_as_new()
        return self._last_word()

    async def _next_command(self) -> None:
        deployment = self._deployment
        if deployment.phase in SETTLED:
            self._watch.start()
        blank = deployment.phase is Phase.PREPARING and not deployment.inbox.outcomes
        try:
            await workflow.wait_condition(
                lambda: bool(deployment.inbox.pending) or workflow.info().is_continue_as_new_suggested(),
                timeout=BLANK if blank and not deployment.inbox.pending else None,
            )
        except TimeoutError:
            deployment.over = True

    async def _act(self, command: Command) -> None:
        deployment = self._deployment
        retry_for = command.upgrade.spec.retry_for if command.upgrade else deployment.spec.retry_for
        self._runner = ActivityRunner(retry_for, self._changed)
        context = CommandContext(deployment, self._watch, self._runner, self._id, command.id)
        deployment.over = False
        deployment.begin()
        try:
            result = await HANDLERS[command.kind](context, command)
        except Stopped as stop:
            result = await recover(context, command, stop.diagnosis)
        except Interrupted:
            if context.wrote and deployment.release and deployment.release.outcome == "deploying":
                deployment.end_release("superseded")
            result = Result(Verdict.SUPERSEDED, f"superseded by {deployment.inbox.pending[-1].title}")
        self._runner = self._teardown_retry = None
        self._acted = True
        deployment.inbox.settle(command, result, deployment.now)
        self._changed()

    async def _is_over(self) -> bool:
        """Nothing is left to manage and nobody waits for anything; no await may follow the last look."""
        if not self._deployment.over:
            return False
        await workflow.wait_condition(workflow.all_handlers_finished)
        return not self._deployment.inbox.pending

    def _worth_a_new_run(self) -> bool:
        deployment = self._deployment
        resting = deployment.phase in SETTLED or deployment.phase is Phase.PARKED
        suggested = workflow.info().is_continue_as_new_suggested()
        return not deployment.over and ((self._acted and deployment.phase in SETTLED) or (suggested and resting))

    async def _continue_as_new(self) -> None:
        await self._watch.stop()
        await workflow.wait_condition(workflow.all_handlers_finished)
        deployment = self._deployment
        workflow.continue_as_new(
            ClusterInput(spec=deployment.spec, state=deployment.state(), search_attributes=deployment.search_attributes)
        )

    def _last_word(self) -> Outcome | None:
        outcomes = self._deployment.inbox.outcomes
        last = outcomes[-1] if outcomes else None
        gives_up = self._deployment.spec.on_failure in {OnFailure.FAIL, OnFailure.REMOVE}
        if last and last.verdict is Verdict.FAILED and last.kind is Kind.UPGRADE and gives_up and last.diagnosis:
            raise rejection.rejection(last.diagnosis)
        return last

    # What can be asked

    @workflow.update
    async def scale(self, request: Scale) -> Receipt:
        """Change the number of clients."""
        return self._accept(_command(request))

    @workflow.update
    async def reset_endpoint(self, request: ResetEndpoint) -> Receipt:
        """Point the clients at another coordinator."""
        return self._accept(_command(request))

    @workflow.update
    async def upgrade(self, request: Upgrade) -> Receipt:
        """Converge to a spec; also the first deploy, as an update with start."""
        return self._accept(_command(request))

    @workflow.update
    async def tear_down(self, request: TearDown) -> Receipt:
        """Remove the clients and end."""
        return self._accept(_command(request))

    @workflow.update
    async def answer(self, request: Answer) -> Receipt:
        """Say how the command that waits for a person goes on."""
        command_id = self._deployment.answer(_update_id(), request)
        return Receipt(command_id=command_id, phase=self._deployment.phase, message=f"answered {request.choice.value}")

    @scale.validator
    def _judge_scale(self, request: Scale) -> None:
        self._judge(request)

    @reset_endpoint.validator
    def _judge_reset_endpoint(self, request: ResetEndpoint) -> None:
        self._judge(request)

    @upgrade.validator
    def _judge_upgrade(self, request: Upgrade) -> None:
        self._judge(request)

    @answer.validator
    def _judge_answer(self, request: Answer) -> None:
        diagnosis = validation.judge_answer(self._deployment, _update_id(), request)
        if diagnosis:
            raise rejection.rejection(diagnosis)

    @workflow.signal(name="scale")
    def signal_scale(self, raw: RawValue) -> None:
        """As the update, without an answer; nonsense becomes a refused outcome."""
        self._accept_signal(Kind.SCALE, validation.decode(_value(raw), Scale, "replicas"))

    @workflow.signal(name="reset_endpoint")
    def signal_reset_endpoint(self, raw: RawValue) -> None:
        """As the update, without an answer; nonsense becomes a refused outcome."""
        self._accept_signal(Kind.RESET_ENDPOINT, validation.decode(_value(raw), ResetEndpoint, "ip"))

    @workflow.signal
    def teardown_retry(self, retry: Retry | None) -> None:
        """Why our child takes long; None when it goes on well."""
        self._teardown_retry = retry
        self._changed()

    @workflow.query
    def status(self) -> Status:
        """Everything `proverctl status` shows."""
        runner = self._runner
        retry = (runner.retry if runner else None) or self._teardown_retry or self._watch.retry
        return self._deployment.status(self._id, runner.step if runner else "", retry)

    def _judge(self, request: Scale | ResetEndpoint | Upgrade) -> None:
        diagnosis = validation.judge(self._deployment, self._id, _command(request))
        if diagnosis:
            raise rejection.rejection(diagnosis)

    def _accept(self, command: Command) -> Receipt:
        deployment = self._deployment
        inbox = deployment.inbox
        known = inbox.outcome(command.id)
        if not inbox.knows(command.id):
            inbox.put(command, deployment.now)
            running = inbox.running
            retrying = self._runner is not None and self._runner.retry is not None
            asking = deployment.question is not None
            if (
                running
                and self._runner
                and interrupts(command, running, deployment.phase, retrying=retrying, asking=asking)
            ):
                self._runner.interrupt()
            self._changed()
        return Receipt(
            command_id=command.id,
            phase=deployment.phase,
            message=known.message if known else command.title,
            warning=proofs.at_risk(command, deployment.spec, deployment.release if deployment.applied else None),
        )

    def _accept_signal(self, kind: Kind, request: Scale | ResetEndpoint | Diagnosis) -> None:
        command_id = f"signal-{workflow.uuid4()}"
        deployment = self._deployment
        command, diagnosis = Command(id=command_id, kind=kind), None
        if isinstance(request, Diagnosis):
            diagnosis = request
        else:
            command = validation.command(command_id, request)
            diagnosis = validation.judge(deployment, self._id, command)
        if diagnosis is None:
            self._accept(command)
            return
        deployment.inbox.settle(command, Result(Verdict.REFUSED, str(diagnosis), diagnosis), deployment.now)
        self._changed()

    def _changed(self) -> None:
        self._report.publish()


def _command(request: Scale | ResetEndpoint | Upgrade | TearDown) -> Command:
    return validation.command(_update_id(), request)


def _update_id() -> str:
    info = workflow.current_update_info()
    return info.id if info else str(workflow.uuid4())


def _value(raw: RawValue) -> Any:
    try:
        return workflow.payload_converter().from_payload(raw.payload)
    except Exception as error:  # noqa: BLE001 - a signal must never fail the workflow, whatever was sent
        return f"undecodable: {type(error).__name__}"
