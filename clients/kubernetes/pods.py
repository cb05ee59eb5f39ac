"""Pods that are tried on a cluster: judged by the API server alone, or made for the moments that a probe lives."""

import re

from clients.kubernetes.connection import ApiConnection
from clients.kubernetes.errors import Call
from clients.kubernetes.resources import collection, label
from domain.kubernetes import Manifest
from domain.names import FIELD_MANAGER

_WARNING = re.compile(r'^299 \S+ "(?P<text>.*)"$')  # RFC 7234, as the API server writes it


class PodTrials:
    """Fulfils `domain.ports.Trials` on one connection."""

    def __init__(self, connection: ApiConnection) -> None:
        self._connection = connection

    def create(self, pod: Manifest, *, dry_run: bool) -> list[str]:
        """Create it, by POST, for applying takes the right to patch pods; what the API server warns of."""
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        warnings: list[str] = []
        self._connection.call(
            Call("create", label("Pod", name, namespace), "Pod", namespace),
            "POST",
            collection("Pod", namespace),
            query={"fieldManager": FIELD_MANAGER, "dryRun": "All" if dry_run else ""},
            body=pod,
            warnings=warnings,
        )
        return [_text(one) for one in warnings]


def _text(header: str) -> str:
    found = _WARNING.match(header)
    return found["text"].replace('\\"', '"').replace("\\\\", "\\") if found else header
