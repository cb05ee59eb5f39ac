"""Waits for an API server that is away, though not for ever: what was begun at the cluster goes on without it."""

from collections.abc import Callable

from domain import names
from domain.errors import TransientError
from domain.ports import Beat, Cluster

OUTAGE = 60.0  # seconds that an unreachable API server is waited for here, before the failure shows in the history


class Outage:
    """Outages of a peer during one wait."""

    def __init__(self, cluster: Cluster, namespace: str, beat: Beat, clock: Callable[[], float]) -> None:
        """`clock` gives seconds."""
        self._cluster = cluster
        self._namespace = namespace
        self._beat = beat
        self._clock = clock
        self._lost_at: float | None = None

    def over(self) -> None:
        """End the outage: the peer answers."""
        self._lost_at = None

    def ask_why(self) -> None:
        """Heartbeat the reason; raises it when it has lasted too long, or is not one that passes."""
        try:
            self._cluster.get("Deployment", names.DEPLOYMENT, self._namespace)
        except TransientError as error:
            now = self._clock()
            self._lost_at = now if self._lost_at is None else self._lost_at
            if now - self._lost_at > OUTAGE:
                raise
            self._beat(f"waiting for the Kubernetes API: {error.diagnosis.because or error.diagnosis.what}")
        else:
            self._beat("waiting for the Kubernetes API to say what is there")
