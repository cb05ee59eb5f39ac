"""Refusals as Temporal failures."""

from temporalio.exceptions import ApplicationError

from domain.diagnosis import Diagnosis, Severity


def rejection(diagnosis: Diagnosis) -> ApplicationError:
    """Return what a validator raises: the caller sees the diagnosis, and history records nothing."""
    return ApplicationError(str(diagnosis), diagnosis.model_dump(mode="json"), type=diagnosis.code, non_retryable=True)


def invalid(what: str, do: str) -> Diagnosis:
    """Return the diagnosis of a message that cannot be understood."""
    return Diagnosis(code="SETTINGS", what=what, do=do, severity=Severity.INVALID)
