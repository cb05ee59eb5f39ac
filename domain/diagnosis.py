"""Finding and its remedy, in one shape from the cluster to the CLI and the Temporal UI."""

from enum import StrEnum

from domain.model import Message


class Severity(StrEnum):
    """Severity of a finding: who has to act next."""

    PROGRESS = "progress"  # nobody: it is slow, not stuck
    TRANSIENT = "transient"  # nobody yet: we retry
    NEEDS_HUMAN = "needs-human"  # a person outside this tool: add a node, answer a question
    REFUSED = "refused"  # the person who asked: a check said no and nothing was changed (exit 3)
    INVALID = "invalid"  # the person who asked: the configuration is wrong (exit 2)
    FATAL = "fatal"  # the operator: retrying cannot help


class Choice(StrEnum):
    """Answer that a person can give when a rollout needs one."""

    RETRY = "retry"  # try again, with fresh patience
    FEWER = "fewer"  # go on with as many clients as fit now
    ROLLBACK = "rollback"  # back to the last good release
    ABORT = "abort"  # give the command up and leave things as they are


class Diagnosis(Message):
    """Finding: `CODE: what on object (n of m pods, since t). Evidence. Because. Do. Still serving: x/y.`

    `code` is one of the stable words of docs/diagnoses.md; `evidence` is verbatim text of the system that
    complained, already scrubbed.
    """

    code: str
    what: str
    on: str = ""
    because: str = ""
    evidence: str = ""
    do: str = ""
    severity: Severity = Severity.FATAL
    since: str = ""  # ISO 8601 UTC: when the evidence first said so; empty when unknown
    grace: int = 0  # seconds that the state may last before it counts; 0: at once
    serving: str = ""  # `x/y`: clients of any release that still serve; empty when that says nothing

    def __str__(self) -> str:
        """Return the finding as operators read it, on one line."""
        head = f"{self.code}: {self.what}" + (f" on {self.on}" if self.on else "")
        head += f", since {self.since}" if self.since else ""
        parts = [head]
        if self.evidence:
            parts.append(f"Evidence: {self.evidence}")
        if self.because:
            parts.append(f"Because: {self.because}")
        if self.do:
            parts.append(f"Do: {self.do}")
        if self.serving:
            parts.append(f"Still serving: {self.serving}")
        return ". ".join(part.rstrip(". ") for part in parts) + "."
