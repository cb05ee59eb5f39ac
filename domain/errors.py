"""The one tree of errors; clients translate their library's errors into it, activities carry it to Temporal.

ProverError
├── PermanentError          retrying cannot help
│   ├── SettingsInvalid     exit 2, all problems at once
│   ├── Refused             exit 3, a check said no and nothing was changed
│   │   ├── NotEnoughNodes
│   │   ├── OwnedByAnother
│   │   ├── DirtyTree
│   │   ├── TagTaken
│   │   └── NoEffect
│   ├── CredentialsRejected
│   ├── CredentialsMissing
│   ├── Forbidden
│   ├── NotARepository
│   ├── ObjectRejected      the API server says the object is invalid or not admitted
│   ├── ApplyConflict       another field manager owns a field
│   ├── ImageInputMissing   base image or circuit files absent
│   ├── StepFailed          a step of the backend profile
│   └── WrongCluster        the fence: not the cluster we deployed to
└── TransientError          retried, `delay` seconds from now when the peer said so
    └── Unavailable         Docker, registry, Kubernetes API or backend host does not answer
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

from domain.diagnosis import Diagnosis, Severity


class ProverError(Exception):
    """Error with what failed, on which object, why, and what to do; `code` is the stable word users search for."""

    code: ClassVar[str] = "ERROR"
    severity: ClassVar[Severity] = Severity.FATAL

    def __init__(
        self, what: str, *, on: str = "", because: str = "", do: str = "", evidence: str = "", code: str = ""
    ) -> None:
        """Take `what` as a clause without a final stop; `do` names a command or a setting."""
        self.diagnosis = Diagnosis(
            code=code or self.code,
            what=what,
            on=on,
            because=because,
            do=do,
            evidence=evidence,
            severity=self.severity,
        )
        super().__init__(str(self.diagnosis))


class PermanentError(ProverError):
    """Retrying cannot help: a person has to change something."""


class SettingsInvalid(PermanentError):
    """Error of one or more settings; `problems` are complete sentences, each naming its setting."""

    code = "SETTINGS"
    severity = Severity.INVALID

    def __init__(self, problems: list[str]) -> None:
        """Take every problem found, so that the user corrects them at once."""
        self.problems = problems
        super().__init__("; ".join(problems))


class Refused(PermanentError):
    """A check said no before anything was changed."""

    code = "REFUSED"
    severity = Severity.REFUSED


class NotEnoughNodes(Refused):
    """Fewer usable nodes than clients wanted."""

    code = "NODES"


class OwnedByAnother(Refused):
    """The namespace or an object of our name belongs to somebody else."""

    code = "OWNER"


class DirtyTree(Refused):
    """The git tree has uncommitted changes, so the commit would not name what is deployed."""

    code = "DIRTY_TREE"
    changed: Mapping[str, int] = MappingProxyType({})
    """Path → when it was last written, in nanoseconds of the epoch, 0 where it is gone; of the first changes only."""


class TagTaken(Refused):
    """The tag of a commit names another image at the registry than the one it makes now."""

    code = "TAG_TAKEN"


class NoEffect(Refused):
    """The command would change nothing that clients see."""

    code = "NO_EFFECT"


class CredentialsRejected(PermanentError):
    """A registry or API said 401, or 403 on a push or pull."""

    code = "CREDENTIALS"


class CredentialsMissing(PermanentError):
    """A secret reference cannot be resolved on this worker."""

    code = "CREDENTIALS_MISSING"


class Forbidden(PermanentError):
    """The API server denies us a verb; names verb, resource, identity and the Role snippet."""

    code = "RBAC"


class NotARepository(PermanentError):
    """BACKEND_REPO is no git work tree, or has no commit."""

    code = "NOT_A_REPOSITORY"


class ObjectRejected(PermanentError):
    """The API server refuses an object: invalid, immutable field, admission, quota."""

    code = "OBJECT_REJECTED"


class ApplyConflict(PermanentError):
    """Another field manager owns a field that we set."""

    code = "SSA_CONFLICT"


class ImageInputMissing(PermanentError):
    """The base image or a circuit file that the image needs is absent."""

    code = "IMAGE_INPUT"


class StepFailed(PermanentError):
    """A step of the backend profile failed; carries the tail of its log."""

    code = "BACKEND_STEP"


class WrongCluster(PermanentError):
    """The Kubernetes context now points at a cluster other than the one deployed to."""

    code = "WRONG_CLUSTER"


class TransientError(ProverError):
    """Worth another try; `delay` is in seconds, None leaves it to the retry policy."""

    code = "TRANSIENT"
    severity = Severity.TRANSIENT

    def __init__(
        self,
        what: str,
        *,
        on: str = "",
        because: str = "",
        do: str = "",
        evidence: str = "",
        code: str = "",
        delay: float | None = None,
    ) -> None:
        """As ProverError, and when to try again."""
        self.delay = delay
        super().__init__(what, on=on, because=because, do=do, evidence=evidence, code=code)


class Unavailable(TransientError):
    """A peer does not answer, or answers 429 or 5xx."""

    code = "UNAVAILABLE"
