"""Decides whether a namespace is ours to write to: nothing of another deployment, tool or person is ever taken over."""

from domain.ports import Manifest
from domain.spec import ClusterSpec
from domain.steps import Target


def judge_target(
    namespace: Manifest | None,
    objects: list[Manifest],
    spec: ClusterSpec,
    owner: str,
    *,
    cluster_uid: str = "",
    readable: bool = True,
) -> Target:
    """What is there already; raises OwnedByAnother before anything is written.

    `objects` are the live objects that carry our names; `readable` is False when we may not read the Namespace.
    """
    raise NotImplementedError
