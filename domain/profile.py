"""The backend profile `proverctl.yaml`: how a backend is set up, run, stopped and purged, described by data.

Every text may hold `${NAME}` of a declared or built-in variable, or of a value that an earlier step hands on; `$$` is
a dollar sign. Relative paths start at the step's directory, except where said otherwise.
"""

from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from domain.model import Document, Message

NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
KINDS = ("function", "command", "file", "submodules", "compose", "process", "wait")


class Functions(Document):
    """A bash file that can be sourced; its functions become steps, each in a shell of its own."""

    file: str  # relative to the repository
    env: dict[str, str] = {}  # set before it is sourced, for every function


class LogLine(Document):
    """A line in the log of a step, or in a file, that a regular expression finds."""

    match: str
    step: str = ""  # whose log; empty with `file` empty: the step's own
    file: str = ""


class Sql(Document):
    """A PostgreSQL query; it holds once at least one row comes back. Passwords by PGPASSFILE or the step's secrets."""

    url: str
    query: str = "select 1"


class Wait(Document):
    """A condition to await; exactly one."""

    tcp: str = ""  # host:port that accepts connections
    http: str = ""  # URL that answers 2xx or 3xx
    grpc: str = ""  # host:port, or host:port/service, that the health service calls SERVING
    log: LogLine | None = None
    file: str = ""  # path that exists
    command: list[str] = []  # argv that exits 0
    sql: Sql | None = None

    @model_validator(mode="after")
    def _one(self) -> "Wait":
        if len(given(self, tuple(Wait.model_fields))) != 1:
            raise ValueError(f"wait needs exactly one of {', '.join(Wait.model_fields)}")
        return self

    @property
    def kind(self) -> str:
        """Name of the condition."""
        return given(self, tuple(Wait.model_fields))[0]


class Compose(Document):
    """A compose project."""

    project: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    file: str  # relative to the step's directory
    build: bool = False  # build its images first


class Rendered(Document):
    """A file made from a template, in which only `${NAME}` is replaced."""

    template: str = ""  # path; or
    text: str = ""  # the template itself
    to: str
    mode: str = Field(default="0644", pattern=r"^0[0-7]{3}$")

    @model_validator(mode="after")
    def _one(self) -> "Rendered":
        if len(given(self, ("template", "text"))) != 1:
            raise ValueError("file needs exactly one of template, text")
        return self


class Submodules(Document):
    """The repository's submodules, at the commits that it pins."""

    paths: list[str] = []  # empty: all of them, and theirs


class BackgroundProcess(Document):
    """A process or a compose project that a function leaves behind.

    A process is known by its executable and working directory; an interpreter's also by its arguments.
    """

    program: str = ""  # path relative to the repository, or the bare name of an interpreter
    arguments: str = ""  # regular expression found in the joined command line
    dir: str = ""  # working directory, relative to the repository; empty: anywhere within it
    compose: Compose | None = None  # its file is relative to the repository

    @model_validator(mode="after")
    def _one(self) -> "BackgroundProcess":
        if len(given(self, ("program", "compose"))) != 1:
            raise ValueError("what a step leaves is exactly one of program, compose")
        if self.program and "/" not in self.program and not self.arguments:
            raise ValueError(f"program {self.program} is a bare name: say by `arguments` which one is meant")
        return self


class Value(Document):
    """Where a value that a step hands on is found once the step is done; exactly one of variable, log, file."""

    variable: str = ""  # of the function's shell
    log: str = ""  # regular expression with one group, in the step's log (its last match)
    file: str = ""  # path; the whole content without white space around it, or
    match: str = ""  # with `file`: regular expression with one group

    @model_validator(mode="after")
    def _one(self) -> "Value":
        if len(given(self, ("variable", "log", "file"))) != 1 or (self.match and not self.file):
            raise ValueError("a value needs exactly one of variable, log, file; match goes with file")
        return self


class When(Document):
    """A step is left out unless this holds when the set-up begins; exactly one. Paths start at the repository."""

    all_exist: list[str] = []
    any_missing: list[str] = []
    equal: list[str] = Field(default=[], max_length=2)  # two texts

    @model_validator(mode="after")
    def _one(self) -> "When":
        if len(given(self, tuple(When.model_fields))) != 1 or len(self.equal) == 1:
            raise ValueError("when needs exactly one of all_exist, any_missing, equal; equal takes two texts")
        return self


class Counterpart(Document):
    """Action that undoes a step when the backend is stopped, before its processes are ended; exactly one."""

    command: list[str] = []
    function: str = ""

    @model_validator(mode="after")
    def _one(self) -> "Counterpart":
        if len(given(self, ("command", "function"))) != 1:
            raise ValueError("stop needs exactly one of command, function")
        return self


class Restart(StrEnum):
    """When a process that ended is started again."""

    ALWAYS = "always"
    ON_FAILURE = "on-failure"
    NEVER = "never"


class Step(Document):
    """Step; exactly one of the fields of KINDS says what it does."""

    name: str = Field(pattern=NAME)
    needs: list[str] = []
    function: str = ""  # of the profile's `functions`
    command: list[str] | str = []  # argv; a string for bash only with `shell: true`
    shell: bool = False
    file: Rendered | None = None
    submodules: Submodules | None = None
    compose: Compose | None = None
    process: list[str] = []  # argv of a program that stays
    wait: Wait | None = None
    when: When | None = None
    env: dict[str, str] = {}
    secrets: list[str] = []  # names of the profile's `secrets`, given to the program as variables
    programs: list[str] = []  # that must be on PATH beside the step's own
    dir: str = ""  # relative to the repository
    timeout: int = Field(default=3600, ge=1)  # seconds, readiness included
    retries: int = Field(default=0, ge=0, le=20)  # after a failure, with growing pauses
    inputs: list[str] = []  # globs; unchanged content means the step is skipped
    outputs: list[str] = []  # paths that must exist for a skip, and after a success
    values: dict[str, Value] = {}  # handed on to later steps
    ports: list[str] = []  # TCP ports it listens on: nobody else may hold them
    ready: Wait | None = None  # a process, compose project or function is done only then
    restart: Restart = Restart.ALWAYS  # processes
    leaves: list[BackgroundProcess] = []  # functions: what goes on after they returned
    stop: Counterpart | None = None
    grace: int = Field(default=10, ge=0, le=3600)  # seconds between TERM and KILL
    purge: list[str] = []  # data: paths or globs, relative to the repository, or under ${BACKEND_DATA}
    simulated: bool = False  # run-all only
    optional: bool = False  # its failure is a warning and stops nothing

    @model_validator(mode="after")
    def _one(self) -> "Step":
        if len(given(self, KINDS)) != 1:
            raise ValueError(f"step {self.name} needs exactly one of {', '.join(KINDS)}")
        if self.shell != isinstance(self.command, str):
            raise ValueError(f"step {self.name}: command is a list of arguments, or a string with `shell: true`")
        allowed = {
            "leaves": ("function",),
            "ready": ("function", "process", "compose"),
            "restart": ("process",),
            "ports": ("function", "process", "compose"),
            "stop": ("function", "command", "process"),
        }
        for field, kinds in allowed.items():
            # Not by what was written: a payload names every field.
            if getattr(self, field) != type(self).model_fields[field].default and self.kind not in kinds:
                raise ValueError(f"step {self.name}: {field} goes with {', '.join(kinds)}, not with {self.kind}")
        return self

    @property
    def kind(self) -> str:
        """Kind of the step, one of KINDS."""
        return given(self, KINDS)[0]

    @property
    def stays(self) -> bool:
        """Whether something of it runs on once it is done."""
        return bool(self.process or self.compose or self.leaves)


class Profile(Document):
    """A whole profile; `variables` maps a name to its default, null means required.

    `secrets` maps a name to a reference, `env:NAME` or `file:PATH`, which the worker resolves where it is used.
    """

    version: Literal[1] = 1
    name: str = Field(pattern=NAME)
    circuit: str = ""
    circuit_dir: str = ""  # relative to the repository
    circuit_in: list[str] = []  # YAML files of its programs, relative to the repository, whose circuit it has to be
    functions: Functions | None = None
    variables: dict[str, str | None] = {}
    secrets: dict[str, str] = {}
    purge: list[str] = []  # data that belongs to no one step
    data: list[str] = []  # paths or globs, relative to the repository, that are no sources; purge leaves them
    steps: list[Step] = []


class StepState(StrEnum):
    """Where a step stands."""

    PENDING = "pending"  # waits for what it needs
    WORKING = "working"
    RUNNING = "running"  # done, and what it started runs
    DONE = "done"
    SKIPPED = "skipped"  # nothing had to be done
    FAILED = "failed"
    STOPPED = "stopped"


class StepStatus(Message):
    """Row of the backend's status."""

    name: str
    kind: str
    state: StepState = StepState.PENDING
    detail: str = ""  # why skipped, last output line, or the failure
    seconds: float = 0.0


def given(model: Document, fields: tuple[str, ...]) -> list[str]:
    """Return the fields that are set; an empty mapping of a nested document is."""
    found = []
    for field in fields:
        value = getattr(model, field)
        if value or isinstance(value, Document):
            found.append(field)
    return found
