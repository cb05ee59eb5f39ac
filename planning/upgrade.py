"""Decides what converging takes, so that equal specs change nothing and provers restart only if they must."""

from domain.model import Message
from domain.spec import ClusterSpec
from domain.status import Release


class Convergence(Message):
    """What has to change, and the names of the settings that say so."""

    rollout: bool = False  # pods restart
    scale: bool = False
    endpoint: bool = False
    other: bool = False  # objects change without restarting a pod
    settings: list[str] = []

    @property
    def none(self) -> bool:
        """Nothing at all has to change."""
        return not (self.rollout or self.scale or self.endpoint or self.other)


def converge(old: ClusterSpec, new: ClusterSpec, serving: Release, image: str) -> Convergence:
    """From what serves to `new`, whose image (reference with digest) is now known."""
    raise NotImplementedError


def immutable_changes(old: ClusterSpec, new: ClusterSpec) -> list[str]:
    """Sentences for each setting that cannot change after the first deploy; empty when all is well."""
    raise NotImplementedError
