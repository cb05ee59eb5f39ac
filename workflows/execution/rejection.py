"""Refusals as Temporal failures."""

from temporalio.exceptions import ApplicationError

from domain.diagnosis import Diagnosis, Severity


def rejection(diagnosis: Diagnosis) -> ApplicationError:
    """What a validator raises: the caller sees the diagnosis, and history nothing."""
    return ApplicationError(str(diagnosis), diagnosis.model_dump(mode="json"), type=diagnosis.code, non_retryable=True)


def invalid(what: str, do: str) -> Diagnosis:
    """A message that makes no sense."""
    return Diagnosis(code="SETTINGS", what=what, do=do, severity=Severity.INVALID)
