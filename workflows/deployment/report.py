"""Gives the deployment's status to everyone who looks: query, details in the Temporal UI, memo, search attributes."""

from collections.abc import Callable
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey

with workflow.unsafe.imports_passed_through():
    from domain import names
    from domain.status import Status
    from planning.status import question
    from planning.status.markdown import status_markdown
    from workflows.deployment.state import Deployment

STAGE = SearchAttributeKey.for_keyword(names.SEARCH_STAGE)
PHASE = SearchAttributeKey.for_keyword(names.SEARCH_PHASE)
NAMESPACE = SearchAttributeKey.for_keyword(names.SEARCH_NAMESPACE)


class Report:
    """Writes only what changed, for each memo is an event in history."""

    def __init__(self, deployment: Deployment, status: Callable[[], Status]) -> None:
        """`status` composes the present one."""
        self._deployment = deployment
        self._status = status
        self._memo: dict[str, Any] = {}
        self._found: tuple[str, str] | None = None

    def publish(self) -> None:
        """Bring all of them up to date."""
        status = self._status()
        workflow.set_current_details(_details(status))
        memo = short_form(status)
        if memo != self._memo:
            self._memo = memo
            workflow.upsert_memo(memo | {"at": self._deployment.now})
        found = (memo["stage"], memo["phase"])
        if self._deployment.search_attributes and found != self._found:
            self._found = found
            workflow.upsert_search_attributes(
                [
                    STAGE.value_set(memo["stage"]),
                    PHASE.value_set(memo["phase"]),
                    NAMESPACE.value_set(status.namespace),
                ]
            )


def _details(status: Status) -> str:
    try:
        return status_markdown(status)
    except Exception as error:  # noqa: BLE001 - a fault of the display must not hold up the deployment
        return f"{status.phase} (no details: {type(error).__name__})"


def short_form(status: Status) -> dict[str, Any]:
    """Return the fields that `list` shows when no worker answers."""
    wanted = status.release.replicas if status.release else 0
    return {
        "phase": status.phase.value,
        "stage": status.release.stage if status.release else "",
        "ready": status.observed.ready,
        "wanted": wanted,
        "endpoint": status.endpoint,
        "since": status.since,
        "question": question.short(status.question) if status.question else "",
    }
