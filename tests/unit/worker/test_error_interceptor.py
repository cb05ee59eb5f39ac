"""The translation of domain errors into Temporal failures."""

import asyncio
import traceback
from datetime import timedelta
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from domain.errors import Forbidden, Unavailable
from worker.interceptors.errors import ErrorTranslation, translated


def test_a_permanent_error_is_not_retried_and_carries_its_diagnosis() -> None:
    """The workflow reads code and diagnosis from type and details."""
    failure = translated(Forbidden("cannot create deployments", on="namespace a", do="proverctl rbac -n a"))
    assert (failure.non_retryable, failure.type) == (True, "RBAC")
    assert failure.details[0]["what"] == "cannot create deployments"
    assert failure.details[0]["do"] == "proverctl rbac -n a"


def test_a_transient_error_names_its_own_delay() -> None:
    """Retry-After of the peer reaches Temporal's retry."""
    failure = translated(Unavailable("API server answers 429", delay=7))
    assert (False, "UNAVAILABLE", timedelta(seconds=7)) == (
        failure.non_retryable,
        failure.type,
        failure.next_retry_delay,
    )


def test_a_transient_error_without_delay_leaves_it_to_the_policy() -> None:
    """No invented delay."""
    assert translated(Unavailable("connection refused")).next_retry_delay is None


def test_an_unexpected_error_keeps_its_type_and_loses_its_secrets() -> None:
    """A library's text may hold a URL with a password; history must not."""
    failure = translated(ValueError("cannot open postgres://user:hunter2@db/x"))
    assert (failure.type, failure.non_retryable) == ("ValueError", False)
    assert "hunter2" not in str(failure)


class Failing(ActivityInboundInterceptor):
    """The end of the chain: an activity that fails."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002, ARG002 - the SDK's name
        """Fail."""
        raise self.error


async def _outcome(error: BaseException) -> BaseException:
    chain = ErrorTranslation().intercept_activity(Failing(error))
    try:
        await chain.execute_activity(ExecuteActivityInput(fn=print, args=[], executor=None, headers={}))
    except BaseException as caught:  # noqa: BLE001 - cancellation is one of the cases
        return caught
    raise AssertionError("it should have failed")


async def test_the_library_error_behind_a_domain_error_stays_out_of_history() -> None:
    """Its text may hold secrets; the place where it happened is kept."""
    error = Unavailable("cannot connect")
    error.__cause__ = ValueError("postgres://user:hunter2@db")
    found = await _outcome(error)
    assert isinstance(found, ApplicationError)
    assert (found.__cause__, found.__suppress_context__) == (None, True)
    assert [frame.name for frame in traceback.extract_tb(found.__traceback__)][-1] == "execute_activity"


@pytest.mark.parametrize("error", [asyncio.CancelledError(), CancelledError("stop"), ApplicationError("by hand")])
async def test_what_is_temporals_own_passes_untouched(error: BaseException) -> None:
    """A cancellation must stay one."""
    assert await _outcome(error) is error
