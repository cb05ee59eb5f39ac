"""The least rights the worker needs, one verb list a kind, so that nobody has to grant more to be on the safe side."""

from domain.ports import Manifest


def role(namespace: str) -> Manifest:
    """The Role in the deployment's namespace."""
    raise NotImplementedError


def role_binding(namespace: str, *, service_account: str, service_account_namespace: str) -> Manifest:
    """Binds the Role to the worker's service account."""
    raise NotImplementedError


def cluster_role() -> Manifest:
    """The ClusterRole that reads nodes."""
    raise NotImplementedError


def documents(
    namespace: str,
    *,
    service_account: str = "proverctl-worker",
    service_account_namespace: str = "",
    optional: bool = True,
) -> list[Manifest]:
    """Everything to apply as an administrator: service account, required rights and, with `optional`, the rest."""
    raise NotImplementedError


def snippet(kind: str, verb: str) -> str:
    """The rule to add when this verb on this kind was forbidden, as YAML; empty for a kind we never touch."""
    raise NotImplementedError
