"""Decides what converging takes, so that equal specs change nothing and provers restart only if they must."""

from typing import Any

from domain.model import Message
from domain.ports import Manifest
from domain.spec import ClusterSpec
from domain.status import Release
from planning import render

_FIXED = {
    "cluster": "CLUSTER",
    "namespace": "CLUSTER_NS",
    "deploy_name": "CLUSTER_DEPLOYNAME",
}


class Convergence(Message):
    """What has to change in the namespace, and the fields of the spec that differ."""

    rollout: bool = False  # pods restart
    scale: bool = False
    endpoint: bool = False
    other: bool = False  # objects change without restarting a pod
    fields: list[str] = []

    @property
    def none(self) -> bool:
        """Nothing at all has to change."""
        return not (self.rollout or self.scale or self.endpoint or self.other)


def converge(old: ClusterSpec, new: ClusterSpec, serving: Release, wanted: Release) -> Convergence:
    """From what serves to `new` as release `wanted`, judged by what would be applied rather than by setting."""
    before, after = _objects(old, serving), _objects(new, wanted)
    templates = [_take(objects["Deployment"], "template") for objects in (before, after)]
    replicas = [_take(objects["Deployment"], "replicas") for objects in (before, after)]
    routes = [[objects.pop(kind, None) for kind in ("Service", "EndpointSlice")] for objects in (before, after)]
    restarts = templates[0] != templates[1]
    return Convergence(
        rollout=restarts,
        scale=replicas[0] != replicas[1],
        endpoint=_specs(routes[0]) != _specs(routes[1]),
        other=not restarts and before != after,
        fields=sorted(name for name in ClusterSpec.model_fields if getattr(old, name) != getattr(new, name)),
    )


def immutable_changes(old: ClusterSpec, new: ClusterSpec) -> list[str]:
    """Sentences for each setting that cannot change after the first deploy; empty when all is well."""
    return [
        f"{setting} cannot change from {getattr(old, field)!r} to {getattr(new, field)!r} after the first deploy."
        for field, setting in _FIXED.items()
        if getattr(old, field) != getattr(new, field)
    ]


def _objects(spec: ClusterSpec, release: Release) -> dict[str, Manifest]:
    rendered = render.render(
        spec, release, owner="", image_user=release.image_user, pull_secret=spec.image.pull_auth is not None
    )
    return {manifest["kind"]: manifest for manifest in rendered}


def _take(deployment: Manifest, field: str) -> Any:
    return deployment["spec"].pop(field)


def _specs(objects: list[Manifest | None]) -> list[Any]:
    """What routes traffic; metadata changes with every stage."""
    return [{key: value for key, value in (found or {}).items() if key != "metadata"} for found in objects]
