"""`answer`: choose how a command continues that waits for a person."""
# ruff: noqa: PLC0415 - `--help` and completion must not load pydantic and temporalio

from typing import TYPE_CHECKING, Any

import click

from starter.cli import options

if TYPE_CHECKING:
    from temporalio.client import Client

    from domain.commands import Answer, Receipt
    from starter.cli.invocation import Invocation

CHOICES = ("retry", "fewer", "rollback", "abort")  # of domain.diagnosis.Choice, which `--help` must not load


@options.command("answer", "proverctl answer retry -n provers", "proverctl answer fewer -n provers --no-wait")
@click.argument("choice", metavar="|".join(CHOICES))
@click.option("--question", default="", help="Answer only the question with this id, from `status -o json`.")
@options.everywhere
def answer_command(choice: str, question: str, **params: Any) -> None:
    """Choose how a command continues that waits for a person.

    `proverctl status` shows the question, which of the choices it offers, and what happens without an answer. After
    the answer, the command is followed to its end.
    """
    from planning.settings import spec
    from starter.cli.invocation import invocation

    asked = invocation(params)
    asked.validated(lambda: spec.place(asked.values), lambda: _known(choice))
    from domain.commands import Answer
    from domain.diagnosis import Choice
    from starter.temporal import session

    session.run(asked, _carry_out(asked, Answer(choice=Choice(choice.lower()), question=question)))


def _known(choice: str) -> None:
    from domain.errors import SettingsInvalid

    if choice.lower() not in CHOICES:
        raise SettingsInvalid([f"{choice!r} is no answer: give one of {', '.join(CHOICES)}, as the question offers."])


async def _carry_out(asked: "Invocation", request: "Answer") -> None:
    from domain import names
    from starter.temporal import session
    from starter.temporal.outcome import carry_out
    from starter.temporal.updates import ask
    from workflows.deployment.workflow import ProverClusterWorkflow

    workflow_id = names.deployment_id(asked.cluster, asked.namespace)
    request = request.model_copy(update={"by": session.identity()})

    async def send(client: "Client") -> "Receipt":
        return await ask(client, asked, workflow_id, ProverClusterWorkflow.answer, request)

    await carry_out(asked, workflow_id, session.queues(asked.cluster), send)
