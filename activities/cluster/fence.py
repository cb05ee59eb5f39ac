"""The questions before every write and wait: is this our cluster, is this object ours, does this worker go on?"""

from collections.abc import Mapping

from domain import names
from domain.errors import SettingsInvalid, Unavailable, WrongCluster
from domain.kubernetes import Manifest
from domain.ports import Cluster


def known_cluster(clusters: Mapping[str, Cluster], name: str) -> Cluster:
    """Return the cluster of a CLUSTER name; SettingsInvalid when this worker has none of that name."""
    if name not in clusters:
        known = ", ".join(sorted(clusters))
        raise SettingsInvalid(
            [f"CLUSTER={name} is not known to this worker (it knows {known}): add it to KUBE_CONTEXTS."]
        )
    return clusters[name]


def same_cluster(known: str, seen: str) -> bool:
    """Whether two fences name one cluster; by UID where both know it, else by CA, since rights may change."""
    known_uid, _, known_ca = known.partition("@")
    seen_uid, _, seen_ca = seen.partition("@")
    if known_uid and seen_uid:
        return known_uid == seen_uid
    return known_ca == seen_ca


def check_fence(cluster: Cluster, expected: str, name: str) -> str:
    """Return the cluster's identity; WrongCluster when another was expected (empty: the first contact)."""
    seen = cluster.uid()
    if expected and not same_cluster(expected, seen):
        raise WrongCluster(
            "the Kubernetes context leads to another cluster than the one deployed to",
            on=f"CLUSTER={name}",
            because=f"it was {expected} and is {seen} now",
            do="point the worker's KUBECONFIG or KUBE_CONTEXTS back, or give the new cluster a CLUSTER of its own",
        )
    return seen


def worker_stopping(what: str) -> Unavailable:
    """Return the failure that hands an unfinished wait to the next worker."""
    return Unavailable(
        f"this worker stops while {what}",
        because="it was told to shut down",
        do="nothing: another worker goes on",
        code="WORKER_STOPPING",
    )


def owner_of(manifest: Manifest) -> str:
    """Return the owner mark on an object, empty without one."""
    return str((manifest["metadata"].get("annotations") or {}).get(names.OWNER_ANNOTATION, ""))
