"""Writes a status as Markdown for the Temporal UI, which is the status page of every deployment."""

from domain.status import Status


def status_markdown(status: Status) -> str:
    """Lists rather than tables: the UI gives table cells no padding."""
    raise NotImplementedError
