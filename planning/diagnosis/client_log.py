"""The log of a prove-client: its entries with their causes, the results of its calls, and why it ended."""

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from planning.text import sanitize

# Kubelet writes these into the answer when it cannot read a log: they say nothing of the client.
_KUBELET = re.compile(
    r"^(?:unable to retrieve container logs for |failed to try resolving symlinks in path "
    r"|failed to (?:open|stat|seek|read|watch)\b.{0,20}\blog file )"
)
_LEVEL = re.compile(r"^(?:.{0,48}?[\s\[])?(TRACE|DEBUG|INFO|WARN|ERROR)\b")
_PANIC = re.compile(r"^(?:.{0,48}?\s)?thread '[^']*' (?:\(\d+\) )?panicked at|^panic: ")
_PANIC_PLACE = re.compile(r"panicked at \S+:\d+:\d+:$")  # since Rust 1.73 the message is on the next line
_CONTINUED = re.compile(r"^(?:\s|Caused by:|\d+: |note: |stack backtrace:|$)")
_CAUSE = re.compile(r"^\s*\d+: +(.*)")
_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?")
_NO_YEAR = re.compile(r"^\[?([A-Z][a-z]{2} +\d{1,2} \d\d:\d\d:\d\d)")
_ERROR_WORD = re.compile(r"\b(?:error|Error|panicked)\b")
_CLOCK_SKEW = timedelta(days=1)

_POLL = re.compile(r"\bpolling task\b|\bno task ready\b|ResourceExhausted", re.IGNORECASE)
_TASK = re.compile(r"\bprocess in tempdir\b|\bsubmit(?:t)?ing result\b")
_PROVED = re.compile(r"\bsubmission result valid\b")
_TASK_FAILED = re.compile(r"\b(?!for\b)\w+ task\((?P<task>[^)]*)\) (?:error|failed)\b")
_REGISTER = re.compile(r"\bregister", re.IGNORECASE)
_CONNECT = re.compile(  # no connection was made at all
    r"transport error|error trying to connect|connect error|connection refused|dns error|lookup|timed out|no route"
    r"|unreachable|connecting to",
    re.IGNORECASE,
)


class LogEntry(NamedTuple):
    """A message of the log, with the lines that continue it."""

    lines: list[str]
    level: str  # empty where the line names none

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.lines)

    @property
    def fault(self) -> bool:
        """Whether it reports one."""
        if _POLL.search(self.lines[0]):
            return False  # that no task is ready is no fault, whatever level it is told at
        return self.level == "ERROR" or self.panic or (not self.level and bool(_ERROR_WORD.search(self.lines[0])))

    @property
    def panic(self) -> bool:
        """Whether a thread panicked."""
        return bool(_PANIC.search(self.lines[0]))

    @property
    def poll(self) -> bool:
        """Whether a task was asked for."""
        return bool(_POLL.search(self.lines[0]))

    @property
    def working(self) -> bool:
        """Whether it is about a task that goes on well."""
        return not self.fault and bool(_TASK.search(self.lines[0]) or _PROVED.search(self.lines[0]))

    @property
    def proved(self) -> bool:
        """Whether a proof was taken."""
        return bool(_PROVED.search(self.lines[0]))

    @property
    def failed_task(self) -> str:
        """The task that failed; empty when none did."""
        found = _TASK_FAILED.search(self.lines[0]) if self.fault else None
        return found["task"].strip('"') or "?" if found else ""

    @property
    def begun(self) -> bool:
        """Whether the client has left its start behind, as far as this entry tells."""
        return self.poll or self.working or self.fault or bool(_REGISTER.search(self.lines[0]))

    @property
    def said(self) -> str:
        """On one line: the message and, of a chain of causes, the first, which names what the others only narrow."""
        head, *rest = self.lines
        causes = [found[1] for line in rest if (found := _CAUSE.match(line))]
        if beheaded := _CAUSE.match(head):
            return sanitize.one_line(max([beheaded[1], *causes], key=len))
        if causes:
            return sanitize.one_line(f"{head}: {causes[0]}")
        return sanitize.one_line(self.text)

    def at(self, now: float) -> float | None:
        """Return the Unix time; None when the line has none. `now` gives the year of a time without one."""
        if found := _ISO.search(self.lines[0][:48]):
            return datetime.fromisoformat(found[0]).replace(tzinfo=UTC).timestamp()
        if found := _NO_YEAR.match(self.lines[0]):
            present = datetime.fromtimestamp(now, UTC)
            # A year that has the 29th of February, until the true one is put in.
            then = datetime.strptime(f"2000 {found[1]}", "%Y %b %d %H:%M:%S").replace(tzinfo=UTC)
            try:
                then = then.replace(year=present.year)
                return (then if then <= present + _CLOCK_SKEW else then.replace(year=present.year - 1)).timestamp()
            except ValueError:
                return None
        return None


def own(log: str) -> str:
    """Remove what kubelet wrote about the log."""
    return "\n".join(line for line in sanitize.printable(log).splitlines() if not _KUBELET.match(line))


def entries(log: str) -> list[LogEntry]:
    """Return the entries of the log, oldest first."""
    found: list[LogEntry] = []
    for line in own(log).splitlines():
        named = _LEVEL.match(line)
        begins = named or _PANIC.search(line) or not _CONTINUED.match(line)
        if found and (not begins or (not named and _PANIC_PLACE.search(found[-1].lines[-1]))):
            found[-1].lines.append(line)
        elif line.strip():
            found.append(LogEntry([line], named[1] if named else ""))
    return found


def first_panic(log: str) -> str:
    """Return the panic that others followed from, e.g. that of a channel without receiver; empty without one."""
    return next((found.text for found in entries(log) if found.panic), "")


def failures(said: list[LogEntry]) -> list[tuple[str, str]]:
    """Return the tasks that failed since the last proof, each with its first error, on one line."""
    found: dict[str, str] = {}
    for index, entry in enumerate(said):
        if entry.proved:
            found.clear()
        elif task := entry.failed_task:
            found.setdefault(task, sanitize.one_line("\n".join([*_before(said[:index]), entry.said])))
    return [*found.items()]


def _before(said: list[LogEntry]) -> list[str]:
    """Return the lines without a level right before: the output of a program that the client called."""
    found: list[str] = []
    for entry in reversed(said):
        if entry.level or entry.panic:
            break
        found.insert(0, entry.text)
    return found


def complaint(said: list[LogEntry]) -> list[LogEntry]:
    """Return the faults that its calls end in now, oldest first; empty when the latest went well.

    A poll after a fault says that the connection was made, and not yet how the call ends: two of them do.
    """
    polls, found = 0, list[LogEntry]()
    for entry in reversed(said):
        if entry.poll and polls == 0:
            polls = 1
        elif entry.fault and not entry.failed_task and not (polls and not found and _CONNECT.search(entry.text)):
            polls = 0
            found.insert(0, entry)
        else:
            break
    return found
