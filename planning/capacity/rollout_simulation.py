"""Plays a rollout under quotas as the Deployment controller would: with maxSurge 0, old clients go before new come."""

from domain.spec import ClusterSpec
from planning.capacity.quota import Limit

_PERCENT = 100


def unavailable(spec: ClusterSpec, replicas: int) -> int:
    """Return how many clients a rollout may replace at once: at least one, a share is rounded down."""
    share = spec.max_unavailable
    number = int(share.removesuffix("%"))
    return max(1, replicas * number // _PERCENT if share.endswith("%") else number)


def finishes(limits: list[Limit], *, replicas: int, unavailable: int, old: int) -> bool:
    """Return whether `replicas` new clients come to run in place of `old` ones, given enough nodes.

    What stalls it is a quota that old clients fill, which in turn stay because too few clients run.
    """

    def admits(old: int, new: int) -> bool:
        return all(limit.admits(old, new) for limit in limits)

    new = want_new = 0
    old, want_old = min(old, replicas), replicas if old else 0  # the old ReplicaSet is brought to the number first
    while True:
        before = (want_old, old, want_new, new)
        while old < want_old and admits(old + 1, new):
            old += 1
        while new < want_new and admits(old, new + 1):
            new += 1
        want_new += replicas - want_old - want_new
        spare = want_old + unavailable - replicas + new
        want_old -= max(0, min(spare, want_old - old))  # clients that never came are given up first
        want_old -= max(0, min(old + new + unavailable - replicas, want_old))
        old = min(old, want_old)
        if before == (want_old, old, want_new, new):
            return new == replicas
