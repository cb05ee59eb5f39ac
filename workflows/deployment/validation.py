"""Judges what is asked before it is accepted: shape, bounds and phase, from what is known without asking anyone."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from domain.commands import Answer, Command, Kind, ResetEndpoint, Scale, TearDown, Upgrade
from domain.diagnosis import Diagnosis
from planning.settings import endpoint
from planning.status.question import offered
from workflows.deployment.context import not_deployed
from workflows.deployment.state import Deployment
from workflows.execution.rejection import invalid

Asked = TypeVar("Asked", bound=BaseModel)


def judge(deployment: Deployment, workflow_id: str, command: Command) -> Diagnosis | None:
    """Why the command cannot be accepted; None when it can, also when it was before."""
    if deployment.inbox.knows(command.id) or command.kind is Kind.TEAR_DOWN:
        return None
    if command.upgrade:
        return _judge_deploy(workflow_id, command.upgrade)
    if not deployment.inbox.expects_release() and not (deployment.applied and deployment.release):
        return not_deployed(deployment.spec)
    return _judge_endpoint(deployment, command.reset_endpoint) if command.reset_endpoint else None


def _judge_deploy(workflow_id: str, request: Upgrade) -> Diagnosis | None:
    if request.spec.deployment_id == workflow_id:
        return None
    return invalid(
        f"the spec is of {request.spec.deployment_id}, this is {workflow_id}", "deploy it under its own workflow id"
    )


def _judge_endpoint(deployment: Deployment, request: ResetEndpoint) -> Diagnosis | None:
    if not request.ip and request.port is None:
        return invalid("reset-endpoint names neither IP nor port", "give COORDINATOR_EP, COORDINATOR_PORT or both")
    wanted = endpoint.resolve(deployment.spec.coordinator, request)
    problems = endpoint.problems(wanted.ip, wanted.port)
    return invalid(" ".join(problems), "give an address that every node can reach") if problems else None


def judge_answer(deployment: Deployment, update_id: str, request: Answer) -> Diagnosis | None:
    """Why the answer cannot be taken; None when it can, also when it was before."""
    question = deployment.question
    if update_id in deployment.answers:
        return None
    if question is None:
        return Diagnosis(
            code="NO_QUESTION",
            what="nothing waits for an answer",
            on=f"namespace {deployment.spec.namespace}",
            do=f"see how it stands with `proverctl status -n {deployment.spec.namespace}`",
        )
    if request.question not in ("", question.id):
        return invalid(
            f"the question {request.question} is not open any more; {question.id} is", "read it with `proverctl status`"
        )
    if request.choice in question.choices:
        return None
    return invalid(f"{request.choice.value} is not offered here", f"answer {offered(question)}")


def command(command_id: str, request: Scale | ResetEndpoint | Upgrade | TearDown) -> Command:
    """Return the request as a command of the inbox."""
    if isinstance(request, Scale):
        return Command(id=command_id, kind=Kind.SCALE, by=request.by, scale=request)
    if isinstance(request, ResetEndpoint):
        return Command(id=command_id, kind=Kind.RESET_ENDPOINT, by=request.by, reset_endpoint=request)
    if isinstance(request, Upgrade):
        return Command(id=command_id, kind=Kind.UPGRADE, by=request.by, upgrade=request)
    return Command(id=command_id, kind=Kind.TEAR_DOWN, by=request.by, tear_down=request)


def decode(raw: Any, shape: type[Asked], bare: str) -> Asked | Diagnosis:
    """Return a signal's payload; a bare value is the field `bare`, as people type it into the Temporal UI."""
    value = raw if isinstance(raw, dict) else {bare: raw}
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        faults = "; ".join(f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in found)
        return invalid(f"a signal that makes no sense: {faults}", f"send {shape.__name__} as JSON")
