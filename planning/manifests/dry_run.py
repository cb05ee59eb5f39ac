"""The manifests of a deploy with these settings, as far as they are known before the image is made. Pure."""

from domain import names
from domain.kubernetes import Manifest
from domain.spec import ClusterSpec, ConfigSchema
from domain.status import Release
from planning.manifests import render

UNKNOWN_STAGE = "preflight"
ANY_USER = "65532"  # assumed of an image whose user is not known, so that only the rest is judged
DRY_RUN_POD = f"{names.DEPLOYMENT}-trial"  # it never exists: a dry-run stores nothing


def manifests(spec: ClusterSpec, owner: str, *, stage: str = "", image_user: str | None = None) -> list[Manifest]:
    """Return the needed objects without the Secret, whose password is not sent in a dry-run; the Deployment is last."""
    if spec.config_schema is ConfigSchema.AUTO:  # not settled yet, and the API server takes either alike
        spec = spec.model_copy(update={"config_schema": ConfigSchema.FLAT})
    named = stage or spec.stage or UNKNOWN_STAGE
    release = Release(stage=named, image=render.image_reference(spec, named), replicas=spec.replicas)
    rendered = render.render(
        spec,
        release,
        owner=owner,
        image_user=ANY_USER if image_user is None else image_user,
        pull_secret=spec.image.pull_auth is not None,
    )
    return [manifest for manifest in rendered if not render.dispensable(manifest, spec)]


def pod(deployment: Manifest) -> Manifest:
    """Return one client as its ReplicaSet would make it."""
    template, namespace = deployment["spec"]["template"], deployment["metadata"]["namespace"]
    meta = template["metadata"] | {"name": DRY_RUN_POD, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}
