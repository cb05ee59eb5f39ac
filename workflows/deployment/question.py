"""Asks a person how a command goes on, and meanwhile looks whether the trouble clears by itself."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.commands import Answer as Reply
    from domain.diagnosis import Choice, Diagnosis, Severity
    from domain.spec import ClusterSpec
    from domain.status import Question
    from planning.status.question import is_capacity, offered, question_about
    from workflows.deployment.context import CommandContext
    from workflows.deployment.state import stamp
    from workflows.execution.activities import Answer, Asked, Work
    from workflows.execution.activity_runner import Stopped


def may_ask(spec: ClusterSpec, trouble: Diagnosis) -> bool:
    """Whether a person can help, and is given the time for it."""
    return trouble.severity is Severity.NEEDS_HUMAN and spec.answer_within > 0


async def ask(
    context: CommandContext, spec: ClusterSpec, trouble: Diagnosis, work: Work[Asked, Answer], request: Asked
) -> Answer | int:
    """With how many clients to try again, or what `work` found when the trouble had cleared before an answer came.

    The other choices end the story here: Stopped.
    """
    deployment = context.deployment
    question = await _question(context, spec, trouble)
    context.runner.step = f"wait for an answer: {offered(question)}"
    deployment.ask(question)
    try:
        found = await context.runner.outlast(
            work, request, spec, seconds=spec.answer_within, ended=lambda: deployment.reply is not None
        )
    finally:
        deployment.question = None
    if found is not None:
        deployment.begin()
        return found
    return _follow_up(context, spec, question, deployment.reply)


async def _question(context: CommandContext, spec: ClusterSpec, trouble: Diagnosis) -> Question:
    deployment = context.deployment
    context.questions += 1
    return question_about(
        f"{context.command_id}#{context.questions}",
        context.command_id,
        trouble,
        stamp(workflow.now() + timedelta(seconds=spec.answer_within)),
        wanted=spec.replicas,
        fits=await _fits(context, spec) if is_capacity(trouble.code) else 0,
        back=deployment.serving is not None and deployment.unconfirmed,
    )


async def _fits(context: CommandContext, spec: ClusterSpec) -> int:
    """How many clients can run now; 0 when nobody can tell at once."""
    try:
        return (await context.check_nodes(spec, briefly=True)).possible
    except Stopped:
        return 0


def _follow_up(context: CommandContext, spec: ClusterSpec, question: Question, reply: Reply | None) -> int:
    choice = reply.choice if reply else question.default
    if reply:
        context.notes.append(f"answered {choice.value}" + (f" by {reply.by}" if reply.by else ""))
    else:
        context.notes.append(f"nobody answered by {question.deadline}, hence {choice.value}")
    if choice in {Choice.ROLLBACK, Choice.ABORT}:
        context.decided = choice
        raise Stopped(question.diagnosis)
    context.deployment.begin()
    if choice is Choice.FEWER:
        context.fall_short(question.fits, spec.replicas, question.diagnosis)
        return question.fits
    return spec.replicas
