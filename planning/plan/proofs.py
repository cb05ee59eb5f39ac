"""The effect of a command on proofs in flight: clients are not drained yet, so those that end lose theirs."""

from domain.commands import Command
from domain.spec import ClusterSpec
from domain.status import Release
from planning.settings import endpoint
from planning.text.sizes import counted

STRANDED = "the coordinator gives their tasks out again only after a restart of its own"
ENDED = "proofs in flight were not waited for: busy clients that ended lost theirs, and " + STRANDED
MOVED = "proofs in flight go to the new coordinator, which did not give out their tasks; at the old one " + STRANDED


def at_risk(command: Command, spec: ClusterSpec, running: Release | None) -> str:
    """Return what to know before the change; empty when no client runs that could lose a proof."""
    clients = running.replicas if running else 0
    if not clients:
        return ""
    if command.reset_endpoint:
        return "" if endpoint.overridden(spec) else MOVED
    if command.upgrade:
        return f"clients that this deploy replaces are not drained: busy ones lose their proof, and {STRANDED}"
    ended = clients - command.scale.replicas if command.scale else 0
    if ended <= 0:
        return ""
    return f"{counted(ended, 'client')} will end without being drained: busy ones lose their proof, and {STRANDED}"
