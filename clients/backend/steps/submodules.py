"""Checks out a repository's submodules at the commits that it pins, without ever asking anybody anything."""

import re
import subprocess

from domain.profile import Step

_SECONDS = 10.0
_ADVICE = {
    r"Permission denied \(.*publickey": "load an ssh key for the worker's user that the host accepts (ssh-add, or "
    "~/.ssh/config), or use https URLs in .gitmodules",
    r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED": "add the host's key to ~/.ssh/known_hosts "
    "of the worker's user (ssh-keyscan, after comparing it)",
    r"could not read (?:Username|Password)|Authentication failed|terminal prompts disabled": "give the worker's user a "
    "git credential helper that knows the host, or use a URL that needs no login",
    r"Could not resolve host|Connection (?:refused|timed out|reset)|Network is unreachable|No route to host"
    r"|Failed to connect|Operation timed out|unable to access": "check that the worker's host reaches the submodule's "
    "host (network, proxy), then run the command again",
    r"did not contain [0-9a-f]{40}|not our ref|reference is not a tree|unadvertised object": "push the pinned commit "
    "to the submodule's remote, or pin one that is there: the remote no longer has it",
    r"would be overwritten|local changes|untracked working tree files": "commit, stash or remove the local changes "
    "in the submodule that git names; nothing of them was touched",
    r"transport '?\w+'? not allowed": "use an https or ssh URL in .gitmodules, or allow this one to the worker's user "
    "(git config --global protocol.file.allow always)",
    r"pathspec .* did not match|No url found for submodule path": "compare the paths in the profile with .gitmodules",
    r"not a git repository": "set BACKEND_REPO to the git tree of the backend, not to a copy without .git",
}


def argv(step: Step) -> list[str]:
    """Return the git command that checks out the step's submodules, or all, recursively; run in the repository."""
    paths = step.submodules.paths if step.submodules else []
    # Said by name: a `merge` or `rebase` in somebody's configuration would leave the pinned commits.
    return ["git", "submodule", "update", "--init", "--recursive", "--checkout", "--", *paths]


def environment() -> dict[str, str]:
    """Beside the job's own, which goes first: git and ssh fail instead of waiting for an answer."""
    quiet = {"GIT_TERMINAL_PROMPT": "0"}
    if _has_ssh_command():  # of the user's, perhaps with the only key that fits
        return quiet
    return {**quiet, "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=20"}


def advice(log_tail: str) -> str:
    """Return the remedy for git's last message; never empty."""
    for pattern, remedy in _ADVICE.items():
        if re.search(pattern, log_tail, re.IGNORECASE):
            return remedy
    return "run `git submodule update --init --recursive` in the repository by hand, as the worker's user"


def _has_ssh_command() -> bool:
    asked = ["git", "config", "--get", "core.sshCommand"]
    try:
        answer = subprocess.run(asked, cwd="/", capture_output=True, timeout=_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return False
    return bool(answer.stdout.strip())
