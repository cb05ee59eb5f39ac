"""Definition of a supervised process of the world."""

from dataclasses import dataclass, field
from pathlib import Path

from sandbox.host.readiness import Probe


@dataclass(frozen=True)
class Program:
    """Process: how it starts, when it serves, and which addresses it needs for itself."""

    name: str
    command: tuple[str, ...]
    ready: Probe
    wave: int
    """Programs of a wave start together, when every program of the waves before serves."""
    listens: tuple[tuple[str, int], ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    directory: Path = Path("/")
    namespace: Path | None = None
    patience: int = 60
    """Seconds until it must serve."""
    stop_seconds: int = 5
    leftovers: tuple[Path, ...] = ()
    """Files that keep a successor from starting once a crash has left them behind."""
    on_demand: bool = False
    """Started by request only, not part of a healthy world."""

    @property
    def full_command(self) -> tuple[str, ...]:
        """With the step into the node's network namespace; not `ip netns exec`, which hides /sys/fs/cgroup."""
        enter = (f"--net={self.namespace}",) if self.namespace else ()
        return ("/usr/bin/nsenter", *enter, *self.command) if enter else self.command
