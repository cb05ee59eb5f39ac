"""Labels and annotations that every object of ours carries: how people find them and how we know them again."""

from typing import Any

from domain import names
from domain.spec import ClusterSpec

PRODUCT = "prover-cluster"
PROGRAM = "prove-client"
APP = "client"  # label of the objects; the pods' `app` is CLUSTER_DEPLOYNAME


def selector(spec: ClusterSpec) -> dict[str, str]:
    """Return the Deployment's selector: immutable, so it holds no stage."""
    return {"app": spec.deploy_name}


def labels(spec: ClusterSpec, stage: str = "") -> dict[str, str]:
    """Return the standard labels of one object; without a stage for what outlives releases."""
    found = {
        "app.kubernetes.io/name": PROGRAM,
        "app.kubernetes.io/instance": spec.namespace,
        "app.kubernetes.io/managed-by": names.FIELD_MANAGER,
        "app.kubernetes.io/part-of": PRODUCT,
        "app": APP,
    }
    return found | ({"app.kubernetes.io/version": stage, "stage": stage} if stage else {})


def pod_labels(spec: ClusterSpec, stage: str) -> dict[str, str]:
    """Return the labels of each pod; the role keeps two clients off one node."""
    return labels(spec, stage) | selector(spec) | {names.ROLE_LABEL: names.ROLE_VALUE}


def metadata(name: str, spec: ClusterSpec, owner: str, stage: str = "") -> dict[str, Any]:
    """Return the metadata of a namespaced object of ours."""
    return {
        "name": name,
        "namespace": spec.namespace,
        "labels": labels(spec, stage),
        "annotations": {names.OWNER_ANNOTATION: owner},
    }
