"""Renders a release into the Kubernetes objects of one namespace; names are the original's, contents avoid its traps."""

from domain.ports import Manifest
from domain.spec import ClusterSpec
from domain.status import Release


def render(
    spec: ClusterSpec, release: Release, *, owner: str, image_user: str = "", pull_secret: bool
) -> list[Manifest]:
    """ConfigMap, Service, EndpointSlice, PodDisruptionBudget, Deployment: the order in which to apply them."""
    raise NotImplementedError


def namespace_object(spec: ClusterSpec) -> Manifest:
    """The Namespace to create when it is missing (R7)."""
    raise NotImplementedError


def namespace_marks(spec: ClusterSpec, stage: str, owner: str) -> Manifest:
    """The server-side apply document with our two annotations on the Namespace and nothing else."""
    raise NotImplementedError


def pull_secret(spec: ClusterSpec, user: str, password: str, owner: str) -> Manifest:
    """The Secret `img-cred`; the one manifest that holds a password, so it is never logged nor shown."""
    raise NotImplementedError


def config_hash(spec: ClusterSpec) -> str:
    """Of everything that must restart pods when it changes, but is not part of the pod template."""
    raise NotImplementedError


def upstream(spec: ClusterSpec) -> str:
    """The coordinator's URL as clients see it."""
    raise NotImplementedError


def image_warnings(image_user: str) -> list[str]:
    """What the image's USER forbids us to promise."""
    raise NotImplementedError
