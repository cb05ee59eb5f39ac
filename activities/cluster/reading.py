"""Reads what rights allow: an object that may not be read is unknown, with the rule that would help, and no failure."""

from collections.abc import Mapping
from typing import NamedTuple

from domain import names
from domain.errors import Forbidden, ProverError
from domain.kubernetes import Manifest
from domain.ports import Cluster
from domain.spec import ClusterSpec
from planning.kubernetes import objects, rbac


class Found(NamedTuple):
    """Live object, or the sentence `unread` when it may not be read."""

    manifest: Manifest | None
    unread: str = ""


def read(cluster: Cluster, kind: str, name: str, namespace: str) -> Found:
    """Return the object, its absence, or the reason why neither is known."""
    try:
        return Found(cluster.get(kind, name, "" if kind == "Namespace" else namespace))
    except Forbidden as error:
        return Found(None, unknown(error, f"{kind} {name}", kind, "get"))


def labels(spec: ClusterSpec, deployment: Manifest | None) -> dict[str, str]:
    """Return the labels of the clients: the Deployment's own selector, else that of the settings."""
    selected = (objects.spec(deployment or {}).get("selector") or {}).get("matchLabels") or {}
    return selected or {"app": spec.deploy_name, names.ROLE_LABEL: names.ROLE_VALUE}


def clients(
    cluster: Cluster, namespace: str, selected: Mapping[str, str], kind: str, warnings: list[str]
) -> list[Manifest]:
    """Return the pods or ReplicaSets with these labels; none, with a warning, when they may not be listed."""
    selector = ",".join(f"{key}={value}" for key, value in selected.items())
    try:
        return cluster.find(kind, namespace, selector=selector)
    except Forbidden as error:
        warnings.append(unknown(error, f"What {kind}s there are", kind, "list"))
        return []


def unknown(error: ProverError, what: str, kind: str, verb: str) -> str:
    """Return a sentence on what is unknown, and the Role rule that would allow it."""
    return f"{what} is unknown: {error.diagnosis.what}. {rbac.snippet(kind, verb)}".strip()
