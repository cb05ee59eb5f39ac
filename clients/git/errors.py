"""Turns what git complains about a remote into our errors: which may pass, which never will, and what to do."""

import re
from collections.abc import Callable
from typing import NamedTuple

from domain.errors import CredentialsRejected, NotARepository, ProverError, Refused, Unavailable
from planning.text.sanitize import one_line

UNSAFE = "SOURCE_UNSAFE"


class Asked(NamedTuple):
    """Request in the user's words."""

    repo: str
    ref: str = ""
    part: str = ""  # the submodule that it is about

    @property
    def on(self) -> str:
        """The settings as they would be typed, and the submodule."""
        ref = f" BACKEND_REF={self.ref}" if self.ref else ""
        return one_line(f"BACKEND_REPO={self.repo}{ref}{f' submodule {self.part}' if self.part else ''}")


class _Kind(NamedTuple):
    pattern: str
    make: Callable[[Asked, str], ProverError]


def read(asked: Asked, complaint: str) -> ProverError:
    """Return the error for git's message; Unavailable for an unknown one, since most of those are transient."""
    said = one_line(complaint, 300)
    for kind in _KINDS:
        if re.search(kind.pattern, complaint, re.IGNORECASE):
            return kind.make(asked, said)
    return Unavailable("git could not fetch the repository", on=asked.on, evidence=said)


def unsafe(asked: Asked, why: str, *, evidence: str = "") -> Refused:
    """Return the refusal of a repository that would do more than hold files."""
    return Refused(
        why,
        on=asked.on,
        because="what is checked out must neither lead out of its directory nor run anything",
        evidence=evidence,
        do="mend the repository, or check it out yourself and set BACKEND_REPO to that directory",
        code=UNSAFE,
    )


def no_ref(asked: Asked, why: str, evidence: str = "") -> NotARepository:
    """Return the error for a ref that the repository does not have."""
    return NotARepository(
        why,
        on=asked.on,
        evidence=evidence,
        do="set BACKEND_REF to a branch, a tag or a commit that was pushed there; of a commit give all 40 digits",
    )


def disk_full(asked: Asked, said: str) -> Unavailable:
    """No room for the checkout."""
    return Unavailable(
        "there is no room for the repository on the worker's disk",
        on=asked.on,
        evidence=said,
        do="make room where the worker keeps its state (PROVER_STATE_DIR)",
        code="DISK_FULL",
    )


def _login(asked: Asked, said: str) -> CredentialsRejected:
    return CredentialsRejected(
        "the git server does not let the worker in",
        on=asked.on,
        evidence=said,
        do="give the worker's user a git credential helper that knows the host (https), or an ssh key that it accepts",
    )


def _host_key(asked: Asked, said: str) -> CredentialsRejected:
    return CredentialsRejected(
        "the git server is not one that the worker knows",
        on=asked.on,
        evidence=said,
        do="add its key to ~/.ssh/known_hosts of the worker's user, or its authority by http.sslCAInfo in ~/.gitconfig",
    )


def _nobody(asked: Asked, said: str) -> NotARepository:
    return NotARepository(
        "there is no git repository",
        on=asked.on,
        evidence=said,
        do="set BACKEND_REPO to the repository's URL, or to its directory on the worker's host",
    )


def _away(asked: Asked, said: str) -> Unavailable:
    return Unavailable(
        "the git server does not answer",
        on=asked.on,
        evidence=said,
        do="check that the worker's host reaches it (network, proxy)",
    )


# The first that fits counts: ssh says of everything that the rights may lack, so what is surer comes first.
_KINDS = (
    _Kind(r"No space left on device|Disk quota exceeded", disk_full),
    _Kind(r"transport '?[\w+.-]+'? not allowed|strange (?:hostname|pathname)", lambda asked, said: unsafe(
        asked, "the repository leads to a transport that is not allowed", evidence=said)),
    _Kind(r"fsck error|error in (?:tree|commit|tag|blob|object)|hasDot|gitmodules\w+:", lambda asked, said: unsafe(
        asked, "git refuses an object of the repository as malformed", evidence=said)),
    _Kind(r"couldn't find remote ref|not our ref|unadvertised object|no such remote ref", lambda asked, said: no_ref(
        asked, "the repository has no such commit, tag or branch", said)),
    _Kind(r"Host key verification failed|REMOTE HOST IDENTIFICATION HAS CHANGED|certificate (?:problem|verification)",
          _host_key),
    _Kind(r"Permission denied \(|could not read (?:Username|Password)|Authentication failed|terminal prompts disabled"
          r"|Access denied|returned error: 40[13]", _login),
    _Kind(r"Could not resolve host|Connection (?:refused|timed out|reset|closed)|Network is unreachable"
          r"|No route to host|Failed to connect|timed out|early EOF|unexpected disconnect|RPC failed|hung up"
          r"|returned error: (?:429|5\d\d)|too slow|gnutls_handshake|SSL_(?:connect|read|ERROR)", _away),
    _Kind(r"does not appear to be a git repository|repository .*not found|not a git repository|returned error: 404"
          r"|Repository not found|does not exist", _nobody),
)  # fmt: skip
