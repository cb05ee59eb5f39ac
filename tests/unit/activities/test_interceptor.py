"""The translation of domain errors into Temporal failures."""

from datetime import timedelta

from activities.interceptor import translated
from domain.errors import Forbidden, Unavailable


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
