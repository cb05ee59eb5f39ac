"""Writes manifests as YAML for people: stable, readable, and without a Secret that could be applied by mistake."""

from domain.ports import Manifest
from domain.spec import ClusterSpec


def to_yaml(manifests: list[Manifest], *, show_secrets: bool = False) -> str:
    """Multi-document YAML; each Secret is a comment without its data unless `show_secrets`."""
    raise NotImplementedError


def secret_comment(spec: ClusterSpec) -> str:
    """The pull Secret as a YAML comment, for when its value is not known."""
    raise NotImplementedError
