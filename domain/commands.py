"""Requests to a running deployment, and their outcomes."""

from enum import StrEnum

from pydantic import Field

from domain.diagnosis import Choice, Diagnosis
from domain.model import Message
from domain.spec import ClusterSpec, Shortage

MAX_REPLICAS = 5000


class Scale(Message):
    """Change the number of clients (R11)."""

    replicas: int = Field(ge=0, le=MAX_REPLICAS)
    by: str = ""  # who asks: user@host of the CLI
    shortage: Shortage = Shortage.REFUSE
    wait_for_nodes: int = 0  # seconds; with Shortage.WAIT


class ResetEndpoint(Message):
    """Point the clients at another coordinator (R10); a missing part stays as it is."""

    ip: str = ""
    port: int | None = Field(default=None, ge=1, le=65535)
    by: str = ""


class Given(Message):
    """Where a setting of a deploy comes from: `flag` when by a flag; value and origin are those below the flags."""

    value: str = ""  # empty: not set
    origin: str = ""  # such as `.env` or `the environment`; empty: the default
    flag: bool = False


class Upgrade(Message):
    """Converge to this spec: the same release means no change, another one a rollout."""

    spec: ClusterSpec
    given: dict[str, Given] = {}  # CLIENT_REPLICAS, COORDINATOR_EP, COORDINATOR_PORT; empty: the spec counts as it is
    by: str = ""


class TearDown(Message):
    """Remove the clients (R12); `stop_backend` also stops the whole backend, `purge` then deletes its data."""

    now: bool = True
    stop_backend: bool = False
    purge: bool = False  # with stop_backend only
    by: str = ""


class Answer(Message):
    """The answer to the question at hand; an empty `question` means whichever is asked now."""

    choice: Choice
    question: str = ""  # id
    by: str = ""


class Kind(StrEnum):
    """The kinds of command, by the name of their signal and update."""

    SCALE = "scale"
    RESET_ENDPOINT = "reset_endpoint"
    UPGRADE = "upgrade"
    TEAR_DOWN = "tear_down"


class Command(Message):
    """Accepted command in the inbox; exactly one of the four payloads is set, as `kind` says."""

    id: str
    kind: Kind
    by: str = ""  # who asked: user@host of the CLI
    scale: Scale | None = None
    reset_endpoint: ResetEndpoint | None = None
    upgrade: Upgrade | None = None
    tear_down: TearDown | None = None

    @property
    def title(self) -> str:
        """The command as people say it, e.g. `scale to 3`."""
        if self.scale:
            return f"scale to {self.scale.replicas}"
        if self.reset_endpoint:
            port = "" if self.reset_endpoint.port is None else f":{self.reset_endpoint.port}"
            return f"reset endpoint to {self.reset_endpoint.ip}{port}"
        return "tear down" if self.tear_down else "deploy"


class Receipt(Message):
    """An update's answer: the command was accepted under this id; follow it by query `status`."""

    command_id: str
    phase: str
    message: str = ""
    warning: str = ""  # what to know before it is done


class Verdict(StrEnum):
    """How a command ended."""

    DONE = "done"
    UNCHANGED = "unchanged"
    REFUSED = "refused"  # exit 3
    FAILED = "failed"  # exit 1
    SUPERSEDED = "superseded"


class Outcome(Message):
    """Outcome of one command; kept by command id across continue-as-new."""

    command_id: str
    kind: Kind
    title: str
    verdict: Verdict
    message: str = ""
    diagnosis: Diagnosis | None = None
    at: str = ""  # ISO 8601, UTC, workflow time
