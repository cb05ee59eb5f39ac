"""Checks of `--direct`."""

from domain.messages.inspection import Check, CheckVerdict
from starter.direct.inspection import for_caller


def test_checks_speak_of_the_caller_and_not_of_a_worker() -> None:
    """Without a worker it is the caller's PATH that lacks a program."""
    check = Check(
        name="circuit",
        verdict=CheckVerdict.FAILED,
        detail="step keys needs the program plonkit, which is not on the worker's PATH",
        do="set X in the worker's environment",
    )
    told = for_caller(check)
    assert told.detail == "step keys needs the program plonkit, which is not on your PATH"
    assert told.do == "set X in your environment"
