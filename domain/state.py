"""The state that ProverClusterWorkflow carries through continue-as-new."""

from domain.commands import Command, Outcome
from domain.diagnosis import Diagnosis
from domain.model import Message
from domain.spec import ClusterSpec
from domain.status import Observation, Phase, Release

MAX_OUTCOMES = 50
MAX_RELEASES = 10
MAX_ANSWERS = 20


class State(Message):
    """Everything that must survive; a new field needs a default, for older runs carry none."""

    phase: Phase = Phase.PREPARING
    since: str = ""
    release: Release | None = None  # the one being deployed or served
    serving: Release | None = None  # the last one that was seen complete
    serving_spec: ClusterSpec | None = None
    sound: Release | None = None  # the last one that served without a finding: where a failed deploy goes back to
    sound_spec: ClusterSpec | None = None
    releases: list[Release] = []
    pending: list[Command] = []
    outcomes: list[Outcome] = []
    observed: Observation = Observation()
    diagnosis: Diagnosis | None = None
    warnings: list[str] = []
    cluster_uid: str = ""  # the fence
    applied: bool = False  # anything was ever written to the namespace
    backend: str = ""  # workflow id of the backend, empty when deployed without
    simulated: bool = False
    shortfall: str = ""  # why fewer clients run than were asked for
    answers: dict[str, str] = {}  # id of the update → id of the command that it answered for, the last ones


class ClusterInput(Message):
    """Start input of ProverClusterWorkflow; `state` is set by continue-as-new and by a tear-down without a run."""

    spec: ClusterSpec
    state: State | None = None
    search_attributes: bool = True
    command_id: str = ""  # of the first deploy; its outcome is kept under this id
    by: str = ""
