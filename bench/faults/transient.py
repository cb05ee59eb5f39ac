"""False alarms: rollouts that are hindered for a while and then finish must never be called fatal before they do.

Every run has a namespace of its own and is followed as the product follows it, from the apply until it is complete.
The transient suite: a registry that answers 503 or resets connections, an admission webhook that answers 503, an image
that is slow to pull, a node that flaps, a node that arrives late, watches that are closed every 5 s, an API server that
is restarted. The figures count runs that were called fatal; what else was said is among the settings.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from bench.faults.api import closing_api, restart_api
from bench.faults.case import Case
from bench.faults.registry import bad_registry, image
from bench.faults.webhook import LABEL, bad_webhook
from bench.result import Figures, Result
from bench.world.embedded import World
from clients.kubernetes.cluster import KubernetesCluster, connect
from domain.diagnosis import Severity
from domain.status import Observation
from sandbox.kubernetes.fleet import Fleet
from sandbox.settings import Settings

_AT_ONCE = 10
_ENOUGH = 240.0  # seconds in which every run is to complete
_LEAST_RUNS = 50
_ORDER = [Severity.PROGRESS, Severity.TRANSIENT, Severity.NEEDS_HUMAN, Severity.FATAL]


@dataclass
class _Run:
    """Hindered rollout and its diagnoses."""

    kind: str
    seconds: float = _ENOUGH
    complete: bool = False
    said: dict[str, Severity] = field(default_factory=dict)  # code → the worst it was called
    example: str = ""

    @property
    def false_fatal(self) -> bool:
        """The alarm that must not be."""
        return Severity.FATAL in self.said.values()


class _Suite:
    """Values that the runs share."""

    def __init__(self, world: World, registry: str, closing: str) -> None:
        self.world = world
        self.settings = Settings.from_environment()
        self.registry = registry
        self.closing = closing

    def busy_registry(self, number: int) -> _Run:
        return self._pulled("registry 503", "busy", 5 + 5 * (number % 4))

    def reset_registry(self, number: int) -> _Run:
        return self._pulled("registry resets", "reset", 5 + 5 * (number % 4))

    def slow_pull(self, number: int) -> _Run:
        return self._pulled("slow image pull", "slow", 10 + 5 * (number % 4))

    def webhook(self, number: int) -> _Run:
        with Fleet(self.settings, "webhook") as fleet:
            fleet.create(2)
            name = f"webhook-{5 + 5 * (number % 4)}"
            case = Case(self.world, name, key_value=fleet.key_value, labels={LABEL: ""})
            return self._follow(_Run("webhook 503"), case)

    def flapping_node(self, number: int) -> _Run:
        with Fleet(self.settings, "flap") as fleet:
            first, _ = fleet.create(2)
            fleet.not_ready(first)

            def flap() -> None:
                for turn in range(2):
                    time.sleep(3 + number % 4)
                    fleet.ready(first)
                    if not turn:
                        time.sleep(1)
                        fleet.not_ready(first)

            return self._follow(_Run("node flaps"), Case(self.world, "flap", key_value=fleet.key_value), flap)

    def late_node(self, number: int) -> _Run:
        return self._late("node arrives late", 5 + 5 * (number % 5))

    def closed_watches(self, number: int) -> _Run:
        return self._late("watches closed every 5 s", 12 + 3 * (number % 4), kubeconfig=self.closing)

    def restarted_api(self, number: int) -> _Run:
        def restart() -> None:
            time.sleep(1 + number)
            restart_api(self.settings)

        return self._late("API server restarted", 20, meanwhile=restart)

    def _late(
        self, kind: str, seconds: int, *, kubeconfig: str = "", meanwhile: Callable[[], None] = lambda: None
    ) -> _Run:
        with Fleet(self.settings, "late") as fleet:
            fleet.create(1)

            def arrive() -> None:
                start = time.monotonic()
                meanwhile()
                time.sleep(max(0.0, start + seconds - time.monotonic()))
                fleet.create(1)

            case = Case(self.world, "late", key_value=fleet.key_value)
            return self._follow(_Run(kind), case, arrive, kubeconfig=kubeconfig)

    def _pulled(self, kind: str, manner: str, seconds: int) -> _Run:
        case = Case(self.world, "pull")
        named = case.release.model_copy(update={"image": image(self.registry, manner, seconds, case.namespace[5:])})
        case.release = named
        return self._follow(_Run(kind), case)

    def _follow(
        self, run: _Run, case: Case, meanwhile: Callable[[], None] = lambda: None, *, kubeconfig: str = ""
    ) -> _Run:
        with self._cluster("") as own, self._cluster(kubeconfig) as watched:
            case.prepare(own)
            try:
                case.apply(own)
                disturbance = threading.Thread(target=meanwhile)
                disturbance.start()
                _judge(run, case, watched)
                disturbance.join()
            finally:
                case.remove(own)
        return run

    @contextlib.contextmanager
    def _cluster(self, kubeconfig: str) -> Iterator[KubernetesCluster]:
        cluster = connect("default", {}, kubeconfig or self.world.env["KUBECONFIG"])
        try:
            yield cluster
        finally:
            cluster.close()


def run(world: World) -> Result:
    """Return one sample a run: 1 when it was called fatal and then completed, else 0."""
    settings = Settings.from_environment()
    start = time.monotonic()
    with (
        bad_registry(settings) as registry,
        bad_webhook(world, settings),
        closing_api(settings, world.env["KUBECONFIG"], 5.0) as closing,
    ):
        runs = _all_runs(_Suite(world, registry, closing))
    false = [float(run.false_fatal) for run in runs]
    late = [run for run in runs if not run.complete]
    return Result(
        metric="verdict-transient",
        unit="false fatals a run",
        n=len(runs),
        ours=Figures.of(false),
        peers={},
        ratio=0.0,
        goal=f"no false fatal in >= {_LEAST_RUNS} runs, all of which complete",
        holds=not any(false) and not late and len(runs) >= _LEAST_RUNS,
        settings=world.versions() | {"took": f"{time.monotonic() - start:.0f} s"} | _told(runs),
    )


def _all_runs(suite: _Suite) -> list[_Run]:
    plan = (
        (suite.busy_registry, 7),
        (suite.reset_registry, 6),
        (suite.slow_pull, 7),
        (suite.webhook, 8),
        (suite.flapping_node, 8),
        (suite.late_node, 8),
        (suite.closed_watches, 8),
    )
    # Kinds in turn, so that nothing is only ever tried beside its like.
    jobs = [(kind, number) for number in range(8) for kind, count in plan if number < count]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        runs = list(pool.map(lambda job: job[0](job[1]), jobs))
    # Alone: for all others this would be one more fault.
    return runs + [suite.restarted_api(number) for number in range(3)]


def _judge(run: _Run, case: Case, cluster: KubernetesCluster) -> None:
    """Until it is complete: what ends the product's wait before that is what it should not have said."""

    def hear(seen: Observation) -> None:
        found = seen.diagnosis
        if found is None or seen.complete:
            return
        run.said[found.code] = max(run.said.get(found.code, found.severity), found.severity, key=_ORDER.index)
        if found.severity is Severity.FATAL:
            run.example = run.example or str(found)

    start = time.monotonic()
    while not run.complete and (left := start + _ENOUGH - time.monotonic()) > 0:
        seen = case.await_rollout(cluster, hear, left)
        if seen and seen.complete:
            run.complete, run.seconds = True, time.monotonic() - start


def _told(runs: list[_Run]) -> dict[str, str]:
    told = {}
    for kind in dict.fromkeys(run.kind for run in runs):
        ours = [run for run in runs if run.kind == kind]
        said: dict[str, Severity] = {}
        for run in ours:
            for code, severity in run.said.items():
                said[code] = max(said.get(code, severity), severity, key=_ORDER.index)
        words = ", ".join(f"{code} {severity}" for code, severity in said.items()) or "nothing said"
        text = f"{len(ours)} runs, {sum(run.complete for run in ours)} complete after at most"
        text += f" {max(run.seconds for run in ours):.0f} s; {words}"
        example = next((run.example for run in ours if run.example), "")
        told[kind] = f"{text}; FALSE FATAL: {example}" if example else text
    return told
