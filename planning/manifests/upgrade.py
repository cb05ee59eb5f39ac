"""The changes that an upgrade may make, and whether it makes any: an equal one leaves all alone."""

from domain.kubernetes import Manifest
from domain.spec import ClusterSpec
from domain.status import Release
from planning.manifests import render

_FIXED = {
    "cluster": "CLUSTER",
    "namespace": "CLUSTER_NS",
    "deploy_name": "CLUSTER_DEPLOYNAME",
}


def same(old: ClusterSpec, new: ClusterSpec, serving: Release, wanted: Release) -> bool:
    """Return whether release `wanted` of `new` leaves all objects as they serve, by what would be applied."""
    return _objects(old, serving) == _objects(new, wanted)


def replaces(old: ClusterSpec, new: ClusterSpec, serving: Release, wanted: Release) -> bool:
    """Return whether the pod template changes, so that each running pod is replaced."""
    before, after = (_objects(*one)[-1]["spec"]["template"] for one in ((old, serving), (new, wanted)))
    return bool(before != after)


def immutable_changes(old: ClusterSpec, new: ClusterSpec) -> list[str]:
    """Return a sentence for each setting that cannot change after the first deploy and does."""
    return [
        f"{setting} cannot change from {getattr(old, field)!r} to {getattr(new, field)!r} after the first deploy."
        for field, setting in _FIXED.items()
        if getattr(old, field) != getattr(new, field)
    ]


def _objects(spec: ClusterSpec, release: Release) -> list[Manifest]:
    with_secret = spec.image.pull_auth is not None
    return render.render(spec, release, owner="", image_user=release.image_user, pull_secret=with_secret)
