"""Git repository of the worker: fetched into, checked out, and repaired after a kill at any line."""

import contextlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from clients.git import errors
from clients.git.command import GitCommand, GitResult, Overrun, as_variables, own_settings
from clients.git.errors import Asked
from domain.errors import Refused, Unavailable
from domain.ports import Beat
from planning.git.tree import LINK, MODULES, TreeEntry, entries, link_fault, modules_fault
from planning.settings import checks
from planning.text import sizes
from planning.text.listing import listed
from planning.text.sanitize import one_line

WANTED = "refs/checkout/wanted"  # written last by a fetch: what it names is complete

_SSH = "ssh -o BatchMode=yes -o ConnectTimeout=20 -o ServerAliveInterval=15 -o ServerAliveCountMax=4"
_OPTIONS = (
    "transfer.fsckObjects=true",
    "fetch.fsckObjects=true",
    # Flaws of old and harmless commits that widely used repositories hold.
    "fetch.fsck.zeroPaddedFilemode=ignore",
    "fetch.fsck.missingSpaceBeforeDate=ignore",
    "fetch.fsck.badTimezone=ignore",
    "fetch.unpackLimit=1",  # a pack appears as a whole; loose objects would not
    "fetch.recurseSubmodules=false",
    "submodule.recurse=false",
    "core.attributesFile=/dev/null",
    "core.autocrlf=false",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "advice.detachedHead=false",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=60",
)
_FAULTS = 5  # named in a refusal
_PATH = 4095  # bytes; what Linux takes for a path
_DAMAGE = (
    *("bad object", "corrupt", "missing blob", "missing tree", "loose object", "unable to read", "bad config"),
    *("bad shallow", "reference broken", "cannot lock ref"),
)
_ALL = ("+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")


class Limits(NamedTuple):
    """Limits of one repository without its submodules."""

    seconds: float = 3600.0
    size: int = 20 * 10**9  # bytes, of what is fetched and of what is checked out


class Broken(Exception):
    """Error of a repository on disk that cannot be used and is created anew."""


class Slot(NamedTuple):
    """Values that the parts of one checkout share."""

    config: Path  # stands for the user's own git configuration
    lock: int  # descriptor; git inherits it where it writes to the work tree
    trash: Path  # for what is being deleted
    limits: Limits
    beat: Beat


class Clone:
    """A work tree with its `.git` inside; `source` is where to fetch from, a URL or a directory."""

    def __init__(self, tree: Path, source: str, slot: Slot, asked: Asked) -> None:
        self.tree = tree
        self.source = source
        self._slot = slot
        self._asked = asked
        self._remote = checks.is_url(source)
        allowed = checks.GIT_SCHEMES if self._remote else ("file",)
        protocols = [f"protocol.{scheme}.allow=always" for scheme in allowed]
        self._git = GitCommand(tree, [*_OPTIONS, *protocols], config=slot.config)
        self._where = (f"--git-dir={tree / '.git'}", f"--work-tree={tree}")

    def prepare(self) -> None:
        """There is a repository, without what a killed git left; the caller holds the lock."""
        inner = self.tree / ".git"
        self.tree.mkdir(parents=True, exist_ok=True)
        if inner.is_symlink() or inner.is_file():
            inner.unlink()
        for stale in (*inner.glob("*.lock"), *inner.glob("refs/**/*.lock"), *inner.glob("objects/pack/tmp_*")):
            stale.unlink(missing_ok=True)
        # What a step of a backend configured here must not run in the next checkout.
        for name in ("config", "config.worktree"):
            (inner / name).unlink(missing_ok=True)
        shutil.rmtree(inner / "info", ignore_errors=True)
        self._local("init", "--quiet", "--template=", "--initial-branch=main")
        self._local("config", "remote.origin.url", self.source)

    def discard(self) -> None:
        """Away with the repository; files of the work tree stay."""
        inner = self.tree / ".git"
        if inner.exists():
            self._slot.trash.mkdir(exist_ok=True)
            inner.rename(self._slot.trash / f"{os.getpid()}-{os.urandom(4).hex()}")
        shutil.rmtree(self._slot.trash, ignore_errors=True)

    def remote_refs(self, names: Sequence[str]) -> dict[str, str]:
        """Return those of the full ref names that the source has, with their objects."""
        answer = self._reach("ls-remote", "--", self.source, *names)
        pairs = (line.split("\t", 1) for line in answer.text.splitlines() if "\t" in line)
        return {name: commit for commit, name in pairs if name in names}

    def fetch(self, name: str) -> None:
        """Fetch one ref or commit without its history, as WANTED."""
        self._fetch("--depth=1", "--", self.source, f"+{name}:{WANTED}")

    def fetch_all(self) -> None:
        """Every branch and tag with its history."""
        whole = "--unshallow" if (self.tree / ".git" / "shallow").exists() else "--update-shallow"
        self._fetch(whole, "--", self.source, *_ALL)

    def want(self, commit: str) -> None:
        """Note that this commit is here, complete."""
        self._local("update-ref", WANTED, commit)

    def commit(self, name: str) -> str:
        """Return the commit of a name; empty when it names none or several."""
        answer = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        return answer.text.strip() if answer.status == 0 else ""

    def tree_of(self, commit: str) -> list[TreeEntry]:
        """Everything that this commit would put on disk; Refused when that leads astray, or is too much."""
        listing = self._local("ls-tree", "-r", "-l", "-z", "--full-tree", "--end-of-options", commit)
        found = entries(listing.text)
        total = sum(entry.size for entry in found)
        if total > self._slot.limits.size:
            raise self._too_much(f"its files would take {sizes.size(total)}")
        faults = [fault for fault in [modules_fault(found)] if fault]
        links = [entry for entry in found if entry.mode == LINK]
        targets = self._targets(links) if links else {}
        faults += [fault for entry in links if (fault := link_fault(entry.path, targets[entry.object]))]
        if faults:
            raise errors.unsafe(self._asked, one_line(listed(faults, _FAULTS, "; ")))
        return found

    def check_out(self, commit: str) -> None:
        """Exactly this commit; what git does not track stays."""
        self._local("checkout", "--quiet", "--force", "--detach", commit)

    def listed_submodules(self, commit: str) -> dict[str, str]:
        """`.gitmodules` of a commit that has one: `name.path`, `name.url` by their values."""
        asked = ("--null", "--no-includes", "--get-regexp", r"^submodule\..*\.(path|url)$")
        answer = self._run("config", f"--blob={commit}:{MODULES}", *asked)
        lines = (line.partition("\n") for line in answer.text.split("\0") if line)
        return {key.removeprefix("submodule."): value for key, _, value in lines}

    def _targets(self, links: Sequence[TreeEntry]) -> dict[str, str]:
        """Where links lead, by object; one command for all, for there may be thousands."""
        wanted = {entry.object: entry.size for entry in links}
        if max(wanted.values()) > _PATH:
            raise errors.unsafe(self._asked, f"a link leads to more than {_PATH} bytes of path")
        answer = self._local("cat-file", "--batch", said="".join(f"{name}\n" for name in wanted).encode()).out
        found, place = {}, 0
        for name, size in wanted.items():
            begin = answer.index(b"\n", place) + 1  # behind a line of name, type and size
            found[name] = answer[begin : begin + size].decode(errors="surrogateescape")
            place = begin + size + 1
        return found

    def _fetch(self, *arguments: str) -> None:
        self._reach(
            "fetch",
            "--progress",
            "--force",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            *arguments,
        )

    def _reach(self, *arguments: str) -> GitResult:
        """Run a command that talks to the source; the error tells transient from permanent."""
        variables = _reaching() if self._remote else {}
        try:
            answer = self._git.run(
                *self._where, *arguments, watch=self._watch(), seconds=self._slot.limits.seconds, variables=variables
            )
        except Overrun as error:
            raise Unavailable(
                str(error), on=self._asked.on, do="check the network, or check it out yourself by hand"
            ) from error
        if answer.status != 0:
            if _damaged(answer.complaint):
                raise Broken(one_line(answer.complaint, 300))
            raise errors.read(self._asked, answer.complaint)
        return answer

    def _local(self, *arguments: str, said: bytes = b"") -> GitResult:
        answer = self._run(*arguments, said=said)
        if answer.status != 0:
            if "No space left" in answer.complaint or "quota exceeded" in answer.complaint:
                raise errors.disk_full(self._asked, one_line(answer.complaint, 300))
            raise Broken(f"git {arguments[0]}: {one_line(answer.complaint, 300)}")
        return answer

    def _run(self, *arguments: str, said: bytes = b"") -> GitResult:
        beat = self._slot.beat
        try:
            return self._git.run(
                *self._where,
                *arguments,
                watch=lambda _: beat(f"checking out {self._name}"),
                seconds=self._slot.limits.seconds,
                keep_open=[self._slot.lock],
                said=said,
            )
        except Overrun as error:
            raise self._too_much(str(error)) from error

    def _watch(self) -> Callable[[str], None]:
        objects = self.tree / ".git" / "objects"

        def watch(line: str) -> None:
            self._slot.beat(f"fetching {self._name}{f': {one_line(line, 100)}' if line else ''}")
            size = _size(objects)
            if size > self._slot.limits.size:
                raise self._too_much(f"more than {sizes.size(size)} came")

        return watch

    @property
    def _name(self) -> str:
        return self._asked.part or one_line(self._asked.repo, 100)

    def _too_much(self, what: str) -> Refused:
        return Refused(
            f"the repository is too large: {what}",
            on=self._asked.on,
            because=f"one may take {sizes.size(self._slot.limits.size)}",
            do="check it out yourself and set BACKEND_REPO to that directory",
            code="SOURCE_TOO_LARGE",
        )


def _damaged(complaint: str) -> bool:
    """Whether it is our own repository that git cannot use; what the remote says of itself does not count."""
    own = "\n".join(line for line in complaint.splitlines() if not line.startswith("remote:"))
    return any(word in own for word in _DAMAGE)


def _reaching() -> dict[str, str]:
    """Return the worker's own settings to reach remotes; credential helpers answer, prompts are off."""
    settings = own_settings()
    own_ssh = any(name == "core.sshcommand" for name, _ in settings) or "GIT_SSH_COMMAND" in os.environ
    return as_variables(settings) | ({} if own_ssh or "GIT_SSH" in os.environ else {"GIT_SSH_COMMAND": _SSH})


def _size(folder: Path) -> int:
    total = 0
    for place, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += (Path(place) / name).lstat().st_size
    return total
