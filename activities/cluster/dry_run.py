"""Has the API server judge what a deploy would apply, by dry-run, before anything is changed or built."""

from domain.errors import ApplyConflict, Forbidden, ObjectRejected, ProverError, Unavailable
from domain.kubernetes import Manifest
from domain.ports import Beat, Cluster
from planning.plan import plan

NO_DRY_RUN = "does not support dry run"  # an admission webhook that cannot be asked says nothing against the object


def refusals(cluster: Cluster, manifests: list[Manifest], beat: Beat) -> list[ProverError]:
    """Why objects would not be taken, one error each; none for what a deploy would make anew."""
    found: list[ProverError] = []
    for manifest in manifests:
        kind, name, namespace = manifest["kind"], manifest["metadata"]["name"], manifest["metadata"]["namespace"]
        beat(f"trying {kind} {name}")
        live = cluster.get(kind, name, namespace) if plan.family(manifest) else None
        if live and plan.family(live) != plan.family(manifest):
            continue  # an immutable field: the old one is deleted first
        try:
            cluster.apply(manifest, dry_run=True)
        except (ObjectRejected, ApplyConflict, Forbidden, Unavailable) as error:
            if NO_DRY_RUN not in error.diagnosis.evidence:
                found.append(error)
    return found
