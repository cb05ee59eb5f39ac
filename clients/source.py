"""Reads a git work tree: the one commit that everything later is pinned to, and whether the tree still equals it.

The repository's own configuration may be hostile, so nothing in it that names a program is honoured.
"""

from pathlib import Path

from git import Git, GitCommandNotFound
from git.exc import GitCommandError

from domain.errors import DirtyTree, NotARepository, Unavailable
from domain.steps import Source

_SHOWN = 10  # paths named in the refusal of a dirty tree
_SECONDS = 120.0  # a status of a huge tree on a slow disk; measured: under 1 s for 100,000 files
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",  # reading must not write .git/index of somebody else's tree
    "GIT_ASKPASS": "true",
    "GIT_EDITOR": "true",
    "GIT_PAGER": "cat",
    "LC_ALL": "C",
}
_HARDENING = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",  # else `git status` runs the program it names
    "core.pager=cat",
    "protocol.allow=never",
    "diff.external=",
)


class GitSources:
    """Sources from git work trees on this machine."""

    def resolve(self, repo: str, *, stage: str, allow_dirty: bool) -> Source:
        """The commit of HEAD, read once; NotARepository, DirtyTree, Unavailable when git takes over two minutes.

        A stage set by hand is used as it is, and then neither a commit nor a clean tree is needed.
        """
        if stage and not repo:
            return Source(commit="", stage=stage)
        tree = _Tree(_existing(repo))
        if stage and not tree.exists():
            return Source(commit="", stage=stage)
        commit = tree.commit()
        submodules = tree.submodules(commit)
        changes = tree.changes(submodules)
        if changes and not (allow_dirty or stage):
            raise _refusal(repo, changes)
        suffix = "-dirty" if changes else ""
        return Source(
            commit=commit,
            stage=stage or tree.short(commit) + suffix,
            dirty=bool(changes),
            submodules=submodules,
        )


class _Tree:
    """Fixed git commands on one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._trusted = [directory, *directory.parents]  # the worker may run as another user than the tree's owner

    def exists(self) -> bool:
        status, answer, _ = self._run("rev-parse", "--is-inside-work-tree")
        return status == 0 and answer.strip() == "true"

    def commit(self) -> str:
        if not self.exists():
            raise NotARepository(
                "the directory is no git work tree",
                on=f"BACKEND_REPO={self._directory}",
                evidence=self._run("rev-parse", "--is-inside-work-tree")[2][:300],
                do="set BACKEND_REPO to the work tree of the backend, or STAGE to deploy without a commit",
            )
        status, answer, _ = self._run("rev-parse", "--verify", "--quiet", "--end-of-options", "HEAD^{commit}")
        if status != 0:
            raise NotARepository(
                "the git repository has no commit yet",
                on=f"BACKEND_REPO={self._directory}",
                do="commit the backend, or set STAGE to deploy without a commit",
            )
        return answer.strip()

    def short(self, commit: str) -> str:
        return self._read("rev-parse", "--short", "--end-of-options", commit).strip()

    def submodules(self, commit: str) -> dict[str, str]:
        """The pins that the commit records, by path from the top of the tree."""
        entries = self._read("ls-tree", "-r", "-z", "--full-tree", "--end-of-options", commit).split("\0")
        pins = {}
        for entry in entries:
            head, _, path = entry.partition("\t")
            mode, _, rest = head.partition(" ")
            if mode == "160000":
                pins[path] = rest.split(" ")[1]
        top = Path(self._read("rev-parse", "--show-toplevel").removesuffix("\n"))
        self._trusted += [top / path for path in pins]
        return pins

    def changes(self, submodules: dict[str, str]) -> list[str]:
        """Paths that differ from HEAD: changed, staged, or new and not ignored; a submodule off its pin too."""
        ignored = "--ignore-submodules=none" if submodules else "--ignore-submodules=all"
        answer = self._read("status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=normal", ignored)
        return [entry[3:] for entry in answer.split("\0") if entry]

    def _read(self, *arguments: str) -> str:
        status, answer, complaint = self._run(*arguments)
        if status != 0:
            raise Unavailable(
                f"git {arguments[0]} failed", on=f"BACKEND_REPO={self._directory}", evidence=complaint[:300]
            )
        return answer

    def _run(self, *arguments: str) -> tuple[int, str, str]:
        options = [*_HARDENING, *(f"safe.directory={path}" for path in self._trusted)]
        argv = ["git", "--no-pager", *(part for option in options for part in ("-c", option)), *arguments]
        try:
            status, answer, complaint = Git(str(self._directory)).execute(
                argv,
                with_extended_output=True,
                with_exceptions=False,
                kill_after_timeout=_SECONDS,
                env=_ENVIRONMENT,
                strip_newline_in_stdout=False,
                stdout_as_string=False,
            )
        except (GitCommandNotFound, GitCommandError) as error:
            raise Unavailable("git cannot be run on this worker", do="install git on the worker's host") from error
        raw = answer if isinstance(answer, bytes) else str(answer or "").encode()
        return int(status), raw.decode(errors="replace"), str(complaint)


def _existing(repo: str) -> Path:
    directory = Path(repo).expanduser().absolute()
    if not repo or not directory.is_dir():
        raise NotARepository(
            f"directory {directory} does not exist on this worker" if repo else "no backend repository is given",
            on=f"BACKEND_REPO={repo}",
            do="set BACKEND_REPO to the git work tree of the backend on the worker's host",
        )
    return directory


def _refusal(repo: str, changes: list[str]) -> DirtyTree:
    shown = ", ".join(changes[:_SHOWN])
    more = len(changes) - _SHOWN
    return DirtyTree(
        f"the git tree has {len(changes)} uncommitted change{'s' if len(changes) > 1 else ''}",
        on=f"BACKEND_REPO={repo}",
        because="the commit would not name what is deployed",
        evidence=shown + (f" and {more} more" if more > 0 else ""),
        do="commit them, or pass --allow-dirty (the stage then ends in -dirty), or set STAGE by hand",
    )
