"""Record of one deployment while its workflow runs, and its three external forms."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from domain.commands import Answer
from domain.diagnosis import Diagnosis
from domain.spec import BackendMode, ClusterSpec
from domain.state import MAX_ANSWERS, MAX_RELEASES, ClusterInput, State
from domain.status import Observation, Phase, Question, Release, Retry, Status
from planning.plan import intent
from planning.settings import endpoint
from planning.status import soundness
from workflows.deployment.inbox import Inbox

SETTLED = {Phase.SERVING, Phase.DEGRADED}
MAX_WARNINGS = 20
DIRTY = "was made from a tree with uncommitted changes"


def stamp(moment: datetime) -> str:
    """ISO 8601 in UTC, to the second."""
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


class Deployment:
    """Mutable, and the only thing that the stories of one workflow share; `State` is its frozen form."""

    def __init__(self, request: ClusterInput, clock: Callable[[], datetime], changed: Callable[[], None]) -> None:
        """`clock` is workflow time; `changed` is called after each change that people should see."""
        state = request.state or State(since=stamp(clock()))
        self._clock = clock
        self._changed = changed
        self.spec = request.spec
        self.search_attributes = request.search_attributes
        self.phase = state.phase
        self.since = state.since
        self.release = state.release
        self.serving = state.serving
        self.serving_spec = state.serving_spec
        self.sound, self.sound_spec = state.sound, state.sound_spec
        self.releases = list(state.releases)
        self.observed = state.observed
        self.diagnosis = state.diagnosis
        self.warnings = [one for one in state.warnings if not one.endswith(DIRTY)]  # older runs kept it
        self.told: list[str] = []  # warnings since the deploy at hand began
        self.cluster_uid = state.cluster_uid
        self.applied = state.applied
        self.backend = state.backend
        self.simulated = state.simulated
        self.shortfall = state.shortfall
        self.answers = dict(state.answers)
        self.question: Question | None = None  # open: a command stands still
        self.reply: Answer | None = None
        self.inbox = Inbox(list(state.pending), list(state.outcomes))
        self.over = False  # the workflow ends when nothing more is asked

    @property
    def now(self) -> str:
        """Workflow time as people read it."""
        return stamp(self._clock())

    @property
    def unconfirmed(self) -> bool:
        """Whether something was written since the last release that was seen to be complete."""
        return self.applied and self.release != self.serving

    def begin(self) -> None:
        """Begin a command: the finding that stopped the one before is cleared."""
        self.diagnosis = None

    def enter(self, phase: Phase) -> None:
        """Enter a phase; entering the present one again is no change."""
        if phase is not self.phase:
            self.phase, self.since = phase, self.now
        self._changed()

    def warn(self, warnings: list[str]) -> None:
        """Keep each distinct warning once, the latest ones."""
        self.told += warnings
        fresh = [one for one in dict.fromkeys(warnings) if one not in self.warnings]
        self.warnings = [*self.warnings, *fresh][-MAX_WARNINGS:]

    def outdate_warnings(self) -> None:
        """Another release took the place of the one that the older warnings were about."""
        self.warnings = []
        self.warn(self.told)

    def record(self, release: Release) -> None:
        """`release` is the one being deployed; a release of the same revision is replaced in the history."""
        self.release = release
        known = {one.revision: one for one in self.releases} | {release.revision: release}
        self.releases = [known[revision] for revision in sorted(known)][-MAX_RELEASES:]

    def end_release(self, outcome: str) -> None:
        """Record how the present release ended."""
        if self.release is not None:
            self.record(self.release.model_copy(update={"outcome": outcome}))

    def next_revision(self) -> int:
        """Return the number after that of every revision that was tried."""
        return max((one.revision for one in self.releases), default=0) + 1

    def forget(self) -> None:
        """Clear what no longer exists after a removal; outcomes stay."""
        self.release = self.serving = self.serving_spec = self.diagnosis = None
        self.sound = self.sound_spec = None
        self.shortfall = ""
        self.observed = Observation()
        self.applied = False
        self.enter(Phase.REMOVED)

    def confirm(self, spec: ClusterSpec, release: Release, seen: Observation) -> None:
        """`release` serves: it is the one to come back to."""
        self.record(release.model_copy(update={"outcome": "done"}))
        self.spec, self.serving_spec, self.serving = spec, spec, self.release
        self.diagnosis = None
        self.observe(seen)
        self.settle()

    def keep_sound(self) -> None:
        """Before another release is applied: what serves without a finding is what a failed deploy goes back to."""
        if self.serving and not self.unconfirmed and soundness.blame(self.observed) is None:
            self.sound, self.sound_spec = self.serving, self.serving_spec

    def way_back(self, *, deploy: bool) -> tuple[ClusterSpec, Release] | None:
        """Where a failed command goes back to: what served, and after a deploy the last that did without a finding.

        The number of clients and the endpoint stay those of now.
        """
        serving, serving_spec = self.serving, self.serving_spec
        if serving is None or serving_spec is None:
            return None
        if not deploy or self.sound is None or self.sound_spec is None or self.sound.revision == serving.revision:
            return serving_spec, serving
        present = {"replicas": serving_spec.replicas, "coordinator": serving_spec.coordinator}
        return self.sound_spec.model_copy(update=present), intent.carried(self.sound, serving)

    def replace_clients(self) -> None:
        """Clear the findings about the clients that an apply is about to replace."""
        self.observed = self.observed.model_copy(update={"diagnosis": None})

    def observe(self, seen: Observation) -> None:
        """Keep what the watch or the rollout saw last."""
        self.observed = seen

    def settle(self) -> None:
        """Enter serving or degraded, as observed: the phases without a running command."""
        wanted = self.serving.replicas if self.serving else self.observed.wanted
        short = self.observed.available < wanted * self.spec.min_ready
        self.diagnosis = self.observed.diagnosis if short else None
        self.enter(Phase.DEGRADED if short else Phase.SERVING)

    def park(self, diagnosis: Diagnosis) -> None:
        """Enter the phase in which a person must choose what is next."""
        self.diagnosis = diagnosis
        self.enter(Phase.PARKED)

    @contextmanager
    def waiting(self, diagnosis: Diagnosis) -> Iterator[None]:
        """Enter a wait for something outside, with its reason, and restore the phase afterwards."""
        phase, since = self.phase, self.since
        self.diagnosis = diagnosis
        self.enter(Phase.WAITING)
        try:
            yield
        finally:
            self.phase, self.since, self.diagnosis = phase, since, None

    def ask(self, question: Question) -> None:
        """Ask a person how the present command continues."""
        self.question, self.reply = question, None
        self.park(question.diagnosis)

    def answer(self, update_id: str, answer: Answer) -> str:
        """Take the answer, once; the id of the command that goes on."""
        if self.question is not None:
            known = self.answers | {update_id: self.question.command_id}
            self.answers = dict([*known.items()][-MAX_ANSWERS:])
            self.question, self.reply = None, answer
            self._changed()
        return self.answers[update_id]

    def state(self) -> State:
        """Return the state that survives continue-as-new."""
        return State(
            phase=self.phase,
            since=self.since,
            release=self.release,
            serving=self.serving,
            serving_spec=self.serving_spec,
            sound=self.sound,
            sound_spec=self.sound_spec,
            releases=self.releases,
            pending=self.inbox.pending,
            outcomes=self.inbox.outcomes,
            observed=self.observed,
            diagnosis=self.diagnosis,
            warnings=self.warnings,
            cluster_uid=self.cluster_uid,
            applied=self.applied,
            backend=self.backend,
            simulated=self.simulated,
            shortfall=self.shortfall,
            answers=self.answers,
        )

    def status(self, deployment: str, step: str, retry: Retry | None) -> Status:
        """Return the answer to the query `status`; `deployment` is the workflow id."""
        return Status(
            deployment=deployment,
            cluster=self.spec.cluster,
            namespace=self.spec.namespace,
            phase=self.phase,
            since=self.since,
            step=step,
            release=self.release,
            serving=self.serving,
            endpoint=self.release.endpoint if self.release and self.release.endpoint else str(self.spec.coordinator),
            upstream_override=self.spec.coordinator_serv if endpoint.overridden(self.spec) else "",
            backend=self.backend,
            simulated=self.simulated,
            observed=self.observed,
            retry=retry,
            diagnosis=self.diagnosis,
            question=self.question,
            warnings=[*self._dirty(), *self.warnings, *([self.shortfall] if self.shortfall else [])],
            pending=[one.title for one in self.inbox.pending],
            outcomes=self.inbox.outcomes,
            releases=self.releases,
        )

    def _dirty(self) -> list[str]:
        """Of the release at hand, for as long as it is."""
        return [f"stage {self.release.stage} {DIRTY}"] if self.release and self.release.dirty else []

    def note_backend(self, workflow_id: str, mode: BackendMode) -> None:
        """Note which backend serves this deployment, and whether its data is simulated."""
        self.backend, self.simulated = workflow_id, mode is BackendMode.SIMULATED
