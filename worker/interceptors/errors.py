"""Where domain errors become Temporal failures, once for every activity, so that no activity translates its own."""

import asyncio
from datetime import timedelta
from typing import Any

from temporalio.exceptions import ApplicationError, CancelledError, FailureError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from domain.errors import PermanentError, ProverError, TransientError
from planning.text.sanitize import scrub


class ErrorTranslation(Interceptor):
    """Gives every activity of a worker the translation of `translated`."""

    def intercept_activity(
        self,
        next: ActivityInboundInterceptor,  # noqa: A002 - the SDK passes it by this name
    ) -> ActivityInboundInterceptor:
        """Return the activity's chain with the translation around it."""
        return _Translating(super().intercept_activity(next))


class _Translating(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - the SDK's name
        try:
            return await super().execute_activity(input)
        except (asyncio.CancelledError, CancelledError, FailureError):
            raise  # Temporal's own: a cancellation, or a failure that an activity shaped by hand
        except Exception as error:  # noqa: BLE001 - the one place where every error passes
            # `from None`: a library's exception in the chain would carry its text unscrubbed into history;
            # its stack, which holds no values, goes along
            raise translated(error).with_traceback(error.__traceback__) from None


def translated(error: Exception) -> ApplicationError:
    """Return the failure that history shows: details[0] is the Diagnosis as a JSON object, `type` its code.

    A permanent error is not retried; a transient one after its own delay, when the peer named one. Anything else is
    a fault of ours: its type stays, its text is scrubbed, and the retry policy decides.
    """
    if isinstance(error, ProverError):
        diagnosis = error.diagnosis
        details = diagnosis.model_copy(
            update={
                "what": scrub(diagnosis.what),
                "because": scrub(diagnosis.because),
                "evidence": scrub(diagnosis.evidence),
            }
        )
        delay = error.delay if isinstance(error, TransientError) else None
        return ApplicationError(
            str(details),
            details.model_dump(mode="json"),
            type=details.code,
            non_retryable=isinstance(error, PermanentError),
            next_retry_delay=None if delay is None else timedelta(seconds=delay),
        )
    return ApplicationError(scrub(str(error)), type=type(error).__name__)
