"""Reads the state of a rollout out of live objects, as kstatus does, judging only the wanted release's pods."""

from domain.ports import Manifest
from domain.status import Observation


def observe(
    deployment: Manifest | None,
    replica_sets: list[Manifest],
    pods: list[Manifest],
    events: list[Manifest],
    *,
    app: str,
    stage: str,
    image: str,
    now: float | None = None,
) -> Observation:
    """What runs of the release with this stage and image (an empty image: whatever the Deployment wants).

    `now` is Unix time in seconds; None means ages are unknown, and a finding that needs an age is then transient.
    """
    raise NotImplementedError


def significant(known: Observation, seen: Observation) -> bool:
    """Whether the difference is one that the deployment's workflow has to know of."""
    raise NotImplementedError
