"""What is wrong and what to do about it, in one shape from the cluster to the CLI and the Temporal UI."""

from enum import StrEnum

from domain.model import Message


class Severity(StrEnum):
    """Who has to act next."""

    PROGRESS = "progress"  # nobody: it is slow, not stuck
    TRANSIENT = "transient"  # nobody yet: we retry
    NEEDS_HUMAN = "needs-human"  # a person outside this tool: add a node, answer a question
    REFUSED = "refused"  # the person who asked: a check said no and nothing was changed (exit 3)
    INVALID = "invalid"  # the person who asked: the configuration is wrong (exit 2)
    FATAL = "fatal"  # the operator: retrying cannot help


class Diagnosis(Message):
    """One finding: `CODE: what on object. Evidence. Because. Do.`

    `code` is one of the stable words of docs/operations.md; `evidence` is verbatim text of the system that
    complained, already scrubbed.
    """

    code: str
    what: str
    on: str = ""
    because: str = ""
    evidence: str = ""
    do: str = ""
    severity: Severity = Severity.FATAL

    def __str__(self) -> str:
        """The finding as operators read it, on one line."""
        head = f"{self.code}: {self.what}" + (f" on {self.on}" if self.on else "")
        parts = [head]
        if self.evidence:
            parts.append(f"Evidence: {self.evidence}")
        if self.because:
            parts.append(f"Because: {self.because}")
        if self.do:
            parts.append(f"Do: {self.do}")
        return ". ".join(part.rstrip(". ") for part in parts) + "."
