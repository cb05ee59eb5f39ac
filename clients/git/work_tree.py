"""Reads a git work tree: the one commit that everything later is pinned to, and whether the tree still equals it."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from clients.git.changes import Scope, changes, fingerprint
from clients.git.checkout import Checkouts
from clients.git.client_schema import find_schema
from clients.git.command import GitCommand, GitResult, Overrun, as_variables
from clients.git.filters import without_filters
from clients.git.repository import Limits
from domain.errors import DirtyTree, NotARepository, Unavailable
from domain.messages.source import Checkout, Source
from domain.ports import Beat
from planning.git import tree
from planning.settings import checks
from planning.text.listing import listed
from planning.text.sanitize import one_line

_OWN = ("git-dir", "git-common-dir")  # of git itself; they differ in a second work tree
_SHOWN = 10  # paths named in the refusal of a dirty tree


class GitSources:
    """Fulfils `domain.ports.Sources` on this machine."""

    def __init__(self, state_dir: Path, limits: Limits | None = None) -> None:
        """Keep checkouts in `state_dir`, in `sources/`."""
        self._checkouts = Checkouts(state_dir / "sources", limits)

    def checkout(self, repo: str, ref: str, beat: Beat) -> Checkout:
        """Return a clean work tree of the repository (path or URL) at a ref; the errors of `clients.git.checkout`."""
        return self._checkouts.checkout(repo, ref, beat)

    def located(self, repo: str, ref: str) -> str:
        """Where a checkout is; NotARepository when there was none."""
        return self._checkouts.located(repo, ref)

    def resolve(self, repo: str, *, stage: str, allow_dirty: bool, data: Sequence[str] = ()) -> Source:
        """Return the commit of HEAD; NotARepository, DirtyTree, Unavailable when git takes over two minutes.

        A stage set by hand is used as it is, and then neither a commit nor a clean tree is needed. What lies at the
        paths of `data` does not count as a change.
        """
        if stage and not repo:
            return Source(commit="", stage=stage, by_hand=True)
        directory = _existing(repo)
        # What a set-up made in a checkout stays there; in a tree of people a new file may belong into the commit.
        scope = Scope(new=not self._checkouts.holds(directory), data=data)
        work_tree = _WorkTree(directory, scope)
        if stage and not work_tree.exists():
            return Source(commit="", stage=stage, by_hand=True)
        commit = work_tree.commit()
        submodules = work_tree.submodules(commit)
        changed = work_tree.changes()
        if changed and not (allow_dirty or stage):
            raise _refusal(repo, work_tree.top, changed)
        suffix = f"-dirty-{work_tree.fingerprint()}" if changed and not stage else ""
        return Source(
            commit=commit,
            committed=work_tree.committed(commit),
            stage=stage or work_tree.short(commit) + suffix,
            dirty=bool(changed),
            submodules=submodules,
            by_hand=bool(stage),
            config_schema=find_schema(work_tree.ask, work_tree.top, commit, submodules),
        )


class _WorkTree:
    """Fixed git commands on one directory."""

    def __init__(self, directory: Path, scope: Scope) -> None:
        self._directory = directory
        self._scope = scope
        self._trusted = [directory, *directory.parents]  # the worker may run as another user than the tree's owner
        self._folders: list[Path] = []
        self._variables: dict[str, str] = {}
        self.top = directory

    def exists(self) -> bool:
        answer = self.ask(self._directory, "rev-parse", "--is-inside-work-tree")
        return answer.status == 0 and answer.text.strip() == "true"

    def commit(self) -> str:
        if not self.exists():
            raise NotARepository(
                "the directory is no git work tree",
                on=f"BACKEND_REPO={self._directory}",
                evidence=one_line(self.ask(self._directory, "rev-parse", "--is-inside-work-tree").complaint, 300),
                do="set BACKEND_REPO to the work tree of the backend, or STAGE to deploy without a commit",
            )
        answer = self.ask(self._directory, "rev-parse", "--verify", "--quiet", "--end-of-options", "HEAD^{commit}")
        if answer.status != 0:
            raise NotARepository(
                "the git repository has no commit yet",
                on=f"BACKEND_REPO={self._directory}",
                do="commit the backend, or set STAGE to deploy without a commit",
            )
        self.top = Path(self._read("rev-parse", "--show-toplevel").removesuffix("\n"))
        own = self._read("rev-parse", "--path-format=absolute", *(f"--{one}" for one in _OWN))
        self._folders = [Path(line) for line in own.splitlines()]
        return answer.text.strip()

    def short(self, commit: str) -> str:
        return self._read("rev-parse", "--short", "--end-of-options", commit).strip()

    def committed(self, commit: str) -> str:
        """By the committer's clock, in UTC; empty when that showed no time of this world."""
        seconds = self._read("rev-list", "--max-count=1", "--format=%ct", "--end-of-options", commit).split()[-1]
        try:
            return f"{datetime.fromtimestamp(int(seconds), UTC):%Y-%m-%dT%H:%M:%SZ}"
        except (ValueError, OverflowError, OSError):
            return ""

    def submodules(self, commit: str) -> dict[str, str]:
        """Return the pins that the commit records, by path from the top of the tree."""
        listed = self._read("ls-tree", "-r", "-l", "-z", "--full-tree", "--end-of-options", commit)
        pins = tree.pins(tree.entries(listed))
        self._trusted += [self.top / path for path in pins]
        folders = {*self._folders, *(self.top / path / ".git" for path in pins)}
        self._variables = as_variables(without_filters(self._command(self._directory), folders))
        return pins

    def changes(self) -> list[str]:
        return changes(partial(self.ask, checked=True), self.top, self._scope)

    def fingerprint(self) -> str:
        return fingerprint(partial(self.ask, checked=True), self.top, self._scope)

    def ask(self, directory: Path, *arguments: str, checked: bool = False) -> GitResult:
        """Git's answer in this directory; `checked`: Unavailable when it failed."""
        try:
            answer = self._command(directory).run(*arguments, variables=self._variables)
        except Overrun as error:
            raise Unavailable(str(error), on=f"BACKEND_REPO={self._directory}") from error
        if checked and answer.status != 0:
            raise Unavailable(
                f"git {arguments[0]} failed",
                on=f"BACKEND_REPO={self._directory}",
                evidence=one_line(answer.complaint, 300),
            )
        return answer

    def _command(self, directory: Path) -> GitCommand:
        return GitCommand(directory, [f"safe.directory={path}" for path in (*self._trusted, directory)])

    def _answer(self, *arguments: str) -> GitResult:
        return self.ask(self._directory, *arguments, checked=True)

    def _read(self, *arguments: str) -> str:
        return self._answer(*arguments).text


def _existing(repo: str) -> Path:
    if checks.is_url(repo):
        raise NotARepository("a URL is no work tree: it has to be checked out first", on=f"BACKEND_REPO={repo}")
    directory = Path(repo).expanduser().absolute()
    if not repo or not directory.is_dir():
        raise NotARepository(
            f"directory {directory} does not exist on this worker" if repo else "no backend repository is given",
            on=f"BACKEND_REPO={repo}",
            do="set BACKEND_REPO to the backend's git work tree on the worker's host, or to its repository's URL",
        )
    return directory


def _refusal(repo: str, top: Path, changed: list[str]) -> DirtyTree:
    error = DirtyTree(
        f"the git tree has {len(changed)} uncommitted change{'s' if len(changed) > 1 else ''}",
        on=f"BACKEND_REPO={repo}",
        because="the commit would not name what is deployed",
        evidence=listed([one_line(path, 200) for path in changed], _SHOWN),
        do="commit them, or name them under `data` of the backend profile if they are no sources, or pass --allow-dirty"
        " (the stage then ends in -dirty and a hash of the changes), or set STAGE by hand",
    )
    error.changed = {one_line(path, 200): _written(top / path) for path in changed[:_SHOWN]}
    return error


def _written(path: Path) -> int:
    try:
        return path.lstat().st_mtime_ns
    except OSError:
        return 0
