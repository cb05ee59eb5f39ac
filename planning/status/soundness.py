"""Decide whether a release served well, so that a failed deploy goes back to one that did."""

from domain.diagnosis import Diagnosis
from domain.status import Observation
from planning.status.question import is_capacity

# Troubles of nodes, of the coordinator and of the cluster: another release would have them too.
_ELSEWHERE = {
    "ADMISSION_DOWN",
    "CONTROL_PLANE",
    "CONTROL_PLANE_DOWN",
    "COORDINATOR_BROKEN",
    "COORDINATOR_DOWN",
    "DELETED",
    "DRIFT",
    "EVICTED",
    "IMAGE_REGISTRY_DOWN",
    "NOT_REGISTERED",
    "SPOT",
    "TERMINATING_STUCK",
}


def blame(seen: Observation) -> Diagnosis | None:
    """Return the finding that the release itself may have caused; None when it serves well."""
    found = seen.diagnosis
    return None if found is None or is_capacity(found.code) or found.code in _ELSEWHERE else found
