"""Messages about the backend and its steps."""

from domain.diagnosis import Diagnosis
from domain.model import Message
from domain.profile import Functions, Profile, Step, StepStatus
from domain.spec import Backend, BackendMode, ClusterSpec


class BackendReport(Message):
    """State of the backend after a change, and its finding."""

    workflow_id: str
    profile: str
    circuit_dir: str = ""
    ok: bool = True
    mode: BackendMode = BackendMode.NONE  # the desired one
    repo: str = ""  # absolute, on the backend host
    steps: list[StepStatus] = []
    diagnosis: Diagnosis | None = None
    purged: list[str] = []  # paths and volumes
    busy: bool = False  # a change is under way: another one begins after it, but a stop ends it
    warnings: list[str] = []  # optional steps that failed: name, reason and what to type


class ProgramSearch(Message):
    """For which steps the programs that they call are looked for: those that a set-up would run."""

    simulated: bool = False
    again: list[str] = []  # steps that are done again, whatever is recorded
    every: bool = False  # also those that are done already


class ProfileRequest(Message):
    """Read and validate the profile on the backend host.

    With `profile` only that backend's records are used, so that it can be stopped when its profile is gone.
    """

    backend: Backend
    profile: str = ""  # name
    variables: dict[str, str] = {}
    programs: ProgramSearch | None = None  # None: nothing is to be run


class ProfileQuestion(ClusterSpec):
    """The spec whose profile is asked for, and which programs are looked for; a spec alone is one."""

    programs: ProgramSearch | None = None


class LoadedProfile(Message):
    """The profile, and the repository it belongs to."""

    profile: Profile  # with `circuit` and `circuit_dir` expanded
    repo: str  # absolute
    left_out: dict[str, str] = {}  # step → why its `when` does not hold, judged once for a whole set-up


class ProfileFacts(Message):
    """Parts of a profile that a deploy of the clients uses; all empty where there is none."""

    name: str = ""
    data: list[str] = []  # patterns of paths in the repository that are no sources
    circuit: str = ""  # its name, with variables filled in
    circuits: dict[str, list[str]] = {}  # file of `circuit_in` that is there → the circuits that it names


class BackendInput(Message):
    """Start input of BackendWorkflow and argument of its update `converge`."""

    backend: Backend
    spec: ClusterSpec
    mode: BackendMode
    profile_name: str = ""
    request_id: str = ""  # of the asking command: a repeated `converge` under it joins the first one
    force: bool = False  # stop everything first, then bring it up
    restart: list[str] = []  # names of steps to stop and do again, whatever their inputs
    redo: list[str] = []  # names of steps to do again, whatever their inputs; others by their own inputs only
    purge: bool = False  # with mode NONE: delete the data, too
    known: BackendReport | None = None  # carried into the next run of the workflow
    loaded: LoadedProfile | None = None  # as well: the profile as it was brought up, for cures


class StepRequest(Message):
    """Run, start, await or stop one step."""

    backend: Backend
    profile: str
    repo: str
    step: Step
    variables: dict[str, str] = {}  # built in: COORDINATOR_EP, COORDINATOR_PORT, CIRCUIT, …; never secrets
    declared: dict[str, str | None] = {}  # the profile's own: name → default
    functions: Functions | None = None
    secrets: dict[str, str] = {}  # name → reference
    again: bool = False  # do it even if nothing changed


class PurgeRequest(Message):
    """Delete a stopped backend's data: what its steps and its profile declare, compose volumes, records and logs."""

    backend: Backend
    profile: Profile
    repo: str
    variables: dict[str, str] = {}


class BackendWatch(Message):
    """Return when a step that stays is in another state than the known one."""

    profile: str  # name
    known: list[StepStatus] = []


class LogRequest(Message):
    """A piece of a step's log."""

    backend: Backend
    profile: str
    step: str
    offset: int = -1  # bytes; negative: the last `limit` bytes
    limit: int = 32768
    wait: float = 0.0  # seconds to await more when there is none


class LogChunk(Message):
    """Clean text of `[offset, next)` of the log; a log that was begun anew is read from its beginning."""

    text: str = ""
    offset: int = 0
    next: int = 0
    exists: bool = True
