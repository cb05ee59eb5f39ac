"""Kubernetes objects, permissions and snapshots as data."""

from typing import Any

from domain.model import Message

Manifest = dict[str, Any]  # one Kubernetes object as JSON


class Right(Message):
    """`verb` on `resource` (plural, with `/subresource` when needed) of API group `group`."""

    verb: str
    resource: str
    group: str = ""
    name: str = ""  # of one object; empty: any

    def __str__(self) -> str:
        """`create deployments.apps`, as kubectl writes it."""
        return f"{self.verb} {self.resource}" + (f".{self.group}" if self.group else "")


class Snapshot(Message):
    """Objects as the API server sends them; None means that they were not read, or may not be.

    The first five are what a watch keeps; the others are read only when something is not as wanted.
    """

    now: float | None = None  # Unix time in seconds
    deployment: dict[str, Any] | None = None
    replica_sets: list[dict[str, Any]] = []
    pods: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []  # oldest first
    nodes: list[dict[str, Any]] | None = None  # those that are labelled for clients or hold one, slimmed
    neighbours: list[dict[str, Any]] | None = None  # pods of others on those nodes
    quotas: list[dict[str, Any]] | None = None  # ResourceQuotas of the namespace
    pull_hosts: list[str] | None = None  # keys of `auths` in img-cred, never more of it; empty: there is none
    service: dict[str, Any] | None = None  # Service cluster-coordinator
    slices: list[dict[str, Any]] | None = None  # its EndpointSlices
    logs: dict[str, str] = {}  # pod → tail of what its client said, scrubbed
    coordinator: str = ""  # how a connection from the worker to the coordinator ended: `ok`, `refused`, `loopback`, …
    circuit: str = ""  # what clients ask for; empty: not known
