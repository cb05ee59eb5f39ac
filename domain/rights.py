"""One permission at the Kubernetes API, so that missing ones can be named all at once before anything is written."""

from domain.model import Message


class Right(Message):
    """`verb` on `resource` (plural, with `/subresource` when needed) of API group `group`."""

    verb: str
    resource: str
    group: str = ""
    name: str = ""  # of one object; empty: any

    def __str__(self) -> str:
        """`create deployments.apps`, as kubectl writes it."""
        return f"{self.verb} {self.resource}" + (f".{self.group}" if self.group else "")
