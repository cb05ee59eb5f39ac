"""The commands of a deployment in order, and what came of each: which one counts when several wait."""

from dataclasses import dataclass, field

from domain.commands import Command, Kind, Outcome, Verdict
from domain.diagnosis import Diagnosis
from domain.state import MAX_OUTCOMES
from domain.status import Phase

UNINTERRUPTED = {Phase.APPLYING, Phase.RELEASING}  # short or final: a newer command waits for its end
STUCK_OR_WAITING = {Phase.WAITING, Phase.ROLLING_OUT, Phase.ROLLING_BACK}


@dataclass(frozen=True)
class Result:
    """How a story ended."""

    verdict: Verdict
    message: str = ""
    diagnosis: Diagnosis | None = None


@dataclass
class Inbox:
    """Commands are settled exactly once; a repeated id changes nothing, also after continue-as-new."""

    pending: list[Command] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    running: Command | None = None

    def knows(self, command_id: str) -> bool:
        """Whether this command was accepted before."""
        accepted = [*self.pending, *([self.running] if self.running else [])]
        return any(command_id == one.id for one in accepted) or self.outcome(command_id) is not None

    def outcome(self, command_id: str) -> Outcome | None:
        """Return the outcome of a command, if it is among the last ones."""
        return next((one for one in reversed(self.outcomes) if one.command_id == command_id), None)

    def put(self, command: Command, at: str) -> None:
        """Queue it; waiting commands that it makes pointless are settled as superseded."""
        pointless = [one for one in self._since_last_tear_down() if supersedes(command, one)]
        self.pending = [one for one in self.pending if one not in pointless]
        for one in pointless:
            self.settle(one, Result(Verdict.SUPERSEDED, f"superseded by {command.title} ({command.id})"), at)
        self.pending.append(command)

    def take(self) -> Command:
        """Return the next command, which runs until it is settled."""
        self.running = self.pending.pop(0)
        return self.running

    def settle(self, command: Command, result: Result, at: str) -> Outcome:
        """Keep what came of it."""
        outcome = Outcome(
            command_id=command.id,
            kind=command.kind,
            title=command.title,
            verdict=result.verdict,
            message=result.message,
            diagnosis=result.diagnosis,
            at=at,
        )
        self.outcomes = [*self.outcomes, outcome][-MAX_OUTCOMES:]
        if self.running is command:
            self.running = None
        return outcome

    def expects_release(self) -> bool:
        """Whether a deploy runs or waits after the last tear-down, so that a scale has something to act on."""
        after = self._since_last_tear_down()
        running = [self.running] if self.running and len(after) == len(self.pending) else []
        return any(one.kind is Kind.UPGRADE for one in [*running, *after])

    def _since_last_tear_down(self) -> list[Command]:
        ends = [index for index, one in enumerate(self.pending) if one.kind is Kind.TEAR_DOWN]
        return self.pending[ends[-1] + 1 :] if ends else list(self.pending)


def supersedes(newer: Command, older: Command) -> bool:
    """Whether nobody needs the older one any more; both wait."""
    if newer.kind in {Kind.UPGRADE, Kind.TEAR_DOWN}:
        return older.kind is not Kind.TEAR_DOWN  # a spec names everything: replicas and endpoint too
    return newer.kind is Kind.SCALE and older.kind is Kind.SCALE


def interrupts(newer: Command, running: Command, phase: Phase, *, retrying: bool, asking: bool = False) -> bool:
    """Whether the newer command shall not wait for the end of the one that runs.

    `asking`: the one that runs waits for a person, and whatever a person wants now is the answer.
    """
    if running.kind is Kind.TEAR_DOWN:
        return False
    if newer.kind is Kind.TEAR_DOWN or asking:
        return True
    if phase in UNINTERRUPTED and not retrying:
        return False
    if newer.kind is Kind.SCALE:
        return running.kind is Kind.SCALE
    if newer.upgrade is None:
        return False
    different = running.upgrade is None or running.upgrade.spec != newer.upgrade.spec
    return different or retrying or phase in STUCK_OR_WAITING
