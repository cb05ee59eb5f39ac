"""Asks a person how a command goes on, and meanwhile looks whether the trouble clears by itself."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from domain.commands import Answer as Reply
    from domain.diagnosis import Choice, Diagnosis, Severity
    from domain.spec import ClusterSpec
    from domain.status import Question
    from planning.status.question import is_capacity, offered, question_about
    from workflows.deployment.context import Site
    from workflows.deployment.state import stamp
    from workflows.execution.activities import Answer, Asked, Work
    from workflows.execution.attempts import Stopped

PATCH = "questions"


def may_ask(spec: ClusterSpec, trouble: Diagnosis) -> bool:
    """Whether a person can help, and is given the time for it."""
    return trouble.severity is Severity.NEEDS_HUMAN and spec.answer_within > 0 and workflow.patched(PATCH)


async def ask(
    site: Site, spec: ClusterSpec, trouble: Diagnosis, work: Work[Asked, Answer], request: Asked
) -> Answer | int:
    """With how many clients to try again, or what `work` found when the trouble had cleared before an answer came.

    The other choices end the story here: Stopped.
    """
    deployment = site.deployment
    question = await _question(site, spec, trouble)
    site.attempts.step = f"wait for an answer: {offered(question)}"
    deployment.ask(question)
    try:
        found = await site.attempts.outlast(
            work, request, spec, seconds=spec.answer_within, ended=lambda: deployment.reply is not None
        )
    finally:
        deployment.question = None
    if found is not None:
        deployment.begin()
        return found
    return _follow_up(site, spec, question, deployment.reply)


async def _question(site: Site, spec: ClusterSpec, trouble: Diagnosis) -> Question:
    deployment = site.deployment
    site.questions += 1
    return question_about(
        f"{site.command_id}#{site.questions}",
        site.command_id,
        trouble,
        stamp(workflow.now() + timedelta(seconds=spec.answer_within)),
        wanted=spec.replicas,
        fits=await _fits(site, spec) if is_capacity(trouble.code) else 0,
        back=deployment.serving is not None and deployment.unconfirmed,
    )


async def _fits(site: Site, spec: ClusterSpec) -> int:
    """How many clients can run now; 0 when nobody can tell at once."""
    try:
        return (await site.check_nodes(spec, briefly=True)).possible
    except Stopped:
        return 0


def _follow_up(site: Site, spec: ClusterSpec, question: Question, reply: Reply | None) -> int:
    choice = reply.choice if reply else question.default
    if reply:
        site.notes.append(f"answered {choice.value}" + (f" by {reply.by}" if reply.by else ""))
    else:
        site.notes.append(f"nobody answered by {question.deadline}, hence {choice.value}")
    if choice in {Choice.ROLLBACK, Choice.ABORT}:
        site.decided = choice
        raise Stopped(question.diagnosis)
    site.deployment.begin()
    if choice is Choice.FEWER:
        site.fall_short(question.fits, spec.replicas, question.diagnosis)
        return question.fits
    return spec.replicas
