"""Make the question for a person when a command cannot continue by itself, with the text for every place."""

import shlex

from domain.diagnosis import Choice, Diagnosis
from domain.status import Question
from planning.text.sizes import counted

DEFAULT_CLUSTER = "default"
_CAPACITY = {"NODES", "NODE_NOT_READY", "QUOTA"}  # and all of SCHED_*
_MEANINGS = {
    Choice.RETRY: "try again, with its time limits reset",
    Choice.FEWER: "go on with {fits}, which is what fits now",
    Choice.ROLLBACK: "go back to the last good release",
    Choice.ABORT: "abort the command and leave things as they are",
}


def is_capacity(code: str) -> bool:
    """Return whether capacity is lacking, so that fewer clients may be a way out."""
    return code.startswith("SCHED_") or code in _CAPACITY


def question_about(
    question_id: str, command_id: str, found: Diagnosis, deadline: str, *, wanted: int, fits: int, back: bool
) -> Question:
    """Return the question about `found`; `fits` of the wanted clients can run, `back` allows a rollback.

    The default is what leaves clients serving.
    """
    fewer = is_capacity(found.code) and 1 <= fits < wanted
    choices = [Choice.RETRY, *([Choice.FEWER] if fewer else []), *([Choice.ROLLBACK] if back else []), Choice.ABORT]
    return Question(
        id=question_id,
        command_id=command_id,
        diagnosis=found,
        choices=choices,
        default=Choice.ROLLBACK if back else Choice.ABORT,
        deadline=deadline,
        fits=fits if fewer else 0,
    )


def meaning(question: Question, choice: Choice) -> str:
    """Say what follows the choice."""
    return _MEANINGS[choice].format(fits=clients(question.fits))


def clients(number: int) -> str:
    """Return such as `1 client` and `2 clients`."""
    return counted(number, "client")


def offered(question: Question) -> str:
    """Return the choices as a list in words, e.g. `retry, fewer or abort`."""
    *first, last = [choice.value for choice in question.choices]
    return f"{', '.join(first)} or {last}" if first else last


def unless_answered(question: Question) -> str:
    """Say what happens without an answer."""
    return (
        f"Unless answered by {question.deadline} it is {question.default.value};"
        " when the trouble clears by itself it goes on."
    )


def short(question: Question) -> str:
    """Return the question on one line, for the memo."""
    return f"{offered(question)}? By {question.deadline}, else {question.default.value}"


def command(choice: Choice, namespace: str, cluster: str) -> str:
    """Return the command line that answers, to be copied."""
    elsewhere = ["--cluster", cluster] if cluster not in ("", DEFAULT_CLUSTER) else []
    return shlex.join(["proverctl", "answer", choice.value, "-n", namespace, *elsewhere])
