"""Reads what is in a namespace under our names, and which rights are missing, before anything is written to it."""

from collections.abc import Sequence
from typing import NamedTuple

from activities.cluster.fence import owner_of
from domain import names
from domain.errors import Forbidden, ObjectRejected, Refused
from domain.kubernetes import Manifest, Right
from domain.messages.release import Target
from domain.ports import Cluster
from domain.spec import ClusterSpec
from planning.kubernetes import rbac
from planning.manifests import ownership
from planning.settings import endpoint

# in the order of removal: the clients first, then what they stand on
OURS = (
    ("Deployment", names.DEPLOYMENT),
    ("PodDisruptionBudget", names.DISRUPTION_BUDGET),
    ("EndpointSlice", names.COORDINATOR_SERVICE),
    ("Service", names.COORDINATOR_SERVICE),
    ("ConfigMap", names.CONFIG_MAP),
    ("ConfigMap", names.HISTORY_CONFIG_MAP),
    ("Secret", names.PULL_SECRET),
)
MAY_BE_UNREADABLE = ("Secret", "Endpoints")  # an anonymous registry needs no right on Secrets


class Inventory(NamedTuple):
    """Objects that exist; `readable` is False when the Namespace itself may not be read."""

    namespace: Manifest | None
    objects: list[Manifest]
    readable: bool

    def find(self, kind: str, name: str) -> Manifest | None:
        """Return the live object of a kind and name."""
        return next((o for o in self.objects if (o["kind"], o["metadata"]["name"]) == (kind, name)), None)

    def judged(self, owner: str) -> list[Manifest]:
        """Return the objects that ownership is judged by: v1 Endpoints beside our own Service do not count."""
        service = self.find("Service", names.COORDINATOR_SERVICE)
        ours = service is not None and owner_of(service) == owner
        return [found for found in self.objects if not (ours and found["kind"] == "Endpoints")]


def take(cluster: Cluster, spec: ClusterSpec) -> Inventory:
    """Read the Namespace and every live object of our names in it, an old v1 Endpoints included."""
    found, readable = read_namespace(cluster, spec.namespace)
    if readable and found is None:
        return Inventory(None, [], readable)
    spared = (*MAY_BE_UNREADABLE, *(["EndpointSlice"] if endpoint.overridden(spec) else []))
    places = (*OURS, ("Endpoints", names.COORDINATOR_SERVICE))
    objects = [_get(cluster, kind, name, spec.namespace, spared) for kind, name in places]
    return Inventory(found, [entry for entry in objects if entry], readable)


def judge_ownership(cluster: Cluster, spec: ClusterSpec, owner: str, *, cluster_uid: str = "") -> Target:
    """Return the existing objects; OwnedByAnother, or Unavailable while the namespace is being deleted."""
    live = take(cluster, spec)
    return ownership.judge_target(
        live.namespace, live.judged(owner), spec, owner, cluster_uid=cluster_uid, readable=live.readable
    )


def read_namespace(cluster: Cluster, namespace: str) -> tuple[Manifest | None, bool]:
    """Return the Namespace, and whether it may be read at all."""
    try:
        return cluster.get("Namespace", namespace), True
    except Forbidden:
        return None, False


class Lacking(NamedTuple):
    """Required rights that the worker has not got, in the namespace and on nodes."""

    required: list[Right]
    on_nodes: list[Right]


def required_rights(spec: ClusterSpec) -> list[Right]:
    """Every right in the namespace without which a deploy of this spec does not end well."""
    secret = spec.image.pull_auth is not None
    return rbac.required_rights(pull_secret=secret, slices=not endpoint.overridden(spec))


def review_rights(cluster: Cluster, spec: ClusterSpec) -> Lacking:
    """Every required verb on every kind, by SelfSubjectAccessReview; Forbidden where not even that is allowed."""
    required = required_rights(spec)
    return Lacking(cluster.missing(spec.namespace, required), cluster.missing("", rbac.node_rights()))


def review_optional_rights(cluster: Cluster, spec: ClusterSpec) -> tuple[list[Right], list[Right]]:
    """Return missing optional rights, in the namespace and in the whole cluster; Forbidden."""
    lacking = cluster.missing(spec.namespace, rbac.optional_rights())
    return lacking, cluster.missing("", rbac.optional_cluster_rights())


def check_rights(cluster: Cluster, spec: ClusterSpec) -> list[str]:
    """Refused without a namespace or the right to create it; Forbidden naming every required right that lacks.

    Returns a warning when the rights cannot be reviewed.
    """
    readable = read_namespace(cluster, spec.namespace)[1]
    try:
        if readable:
            check_namespace(cluster, spec)
        lacking = review_rights(cluster, spec)
    except Forbidden as error:
        return [f"The worker's rights could not be reviewed beforehand: {error}"]
    missing = [*lacking.required, *lacking.on_nodes]
    if missing:
        slices = any(right.resource == rbac.SLICES for right in missing)
        raise Forbidden(
            "the worker lacks rights: " + ", ".join(str(right) for right in missing),
            on=f"namespace {spec.namespace}",
            because="nothing was changed; each of them is needed",
            do=f"let an administrator apply the output of: proverctl rbac -n {spec.namespace}"
            + ("; or set COORDINATOR_SERV to a URL that clients reach, which needs no EndpointSlice" if slices else ""),
        )
    if not readable:
        check_namespace(cluster, spec)  # only now, for it takes rights to find out
    return []


def check_namespace(cluster: Cluster, spec: ClusterSpec) -> bool:
    """Whether the namespace is there; Refused when it is not and may not be created.

    A Namespace that we may not read shows its absence only when something is written into it, here on trial.
    """
    found, readable = read_namespace(cluster, spec.namespace)
    creating = [Right(verb=verb, resource="namespaces") for verb in ("create", "patch")]
    if readable and found is None and cluster.missing("", creating):
        raise namespace_missing(spec.namespace)
    if not readable:
        _check_exists(cluster, spec)
    return not readable or found is not None


def namespace_missing(namespace: str) -> Refused:
    """Return the refusal when the namespace does not exist and may not be created."""
    return Refused(
        "the namespace does not exist, and the worker may not create it",
        on=f"namespace {namespace}",
        because="it has no right to create namespaces",
        do=f"kubectl create namespace {namespace}, then apply the output of: proverctl rbac -n {namespace}",
        code="NAMESPACE_MISSING",
    )


def _check_exists(cluster: Cluster, spec: ClusterSpec) -> None:
    """Detect a missing Namespace that may not be read by a dry-run write into it."""
    trial = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": names.CONFIG_MAP, "namespace": spec.namespace},
    }
    try:
        cluster.apply(trial, dry_run=True)
    except ObjectRejected as error:
        if error.diagnosis.code == "NOT_FOUND":
            raise namespace_missing(spec.namespace) from None
        raise


def _get(cluster: Cluster, kind: str, name: str, namespace: str, spared: Sequence[str]) -> Manifest | None:
    try:
        return cluster.get(kind, name, namespace)
    except Forbidden:
        if kind in spared:
            return None
        raise
