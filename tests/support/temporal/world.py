"""State that the fake activities read and change, and the faults that a test wants of them."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from temporalio import activity

from domain.images import PrePulled, StoredImage
from domain.messages.release import ApplyRequest
from domain.profile import Profile, Step, StepStatus
from domain.spec import ConfigSchema
from domain.status import Observation

Fault = Exception | Callable[[Any], Any]


class World:
    """The state that the activities read and change; `faults` by activity name are raised, or called, one a call."""

    def __init__(self) -> None:
        """Two usable nodes, nothing deployed."""
        self.nodes = 2
        self.commit = "a" * 40
        self.schema: ConfigSchema | None = None  # of the client at its pin
        self.dirty = False  # the tree that a stage is made from
        self.image: dict[str, Any] = {}  # what else is said of an image that was made
        self.applied: ApplyRequest | None = None
        self.calls: list[tuple[str, Any]] = []
        self.faults: defaultdict[str, list[Fault]] = defaultdict(list)
        self.rollouts: list[Observation] = []  # answers other than success, in order
        self.live: Observation | None = None  # what the watch sees; None: as known
        self.stuck = False  # the rollout that was applied last is one of those
        self.pre_pulled: PrePulled | None = None  # None: all well
        self.settle = 0.0  # seconds that nodes need after an apply of the Service
        self.cleared: Observation | None = None  # how a patient wait for it ends; None: not yet
        self.held = asyncio.Event()  # set: a held activity goes on
        self.processes: list[str] = []
        self.images: list[StoredImage] = []
        self.left_out: dict[str, str] = {}
        self.observed: dict[str, StepStatus] = {}  # what the watch of the backend sees of a step; else it runs
        self.clients_circuit = ""  # that the clients of a diagnosis ask for
        self.circuits: dict[str, list[str]] = {}  # that the backend's programs are configured for
        self.profile = Profile(
            name="example",
            circuit="block",
            circuit_dir="circuit",
            steps=[
                Step(name="setup", command=["make"]),
                Step(name="coordinator", process=["./coordinator"], needs=["setup"]),
                Step(name="ticker", process=["./ticker"], needs=["coordinator"], simulated=True),
            ],
        )

    def names(self) -> list[str]:
        """Return the activities called so far, without the watches and the keeping of evidence."""
        return [name for name, _ in self.calls if name not in {"watch_release", "watch_backend", "capture_evidence"}]

    def steps(self, name: str = "run_step") -> list[str]:
        """Return the steps that this activity was called with."""
        return [request.step.name for called, request in self.calls if called == name]

    async def hold(self, _request: Any) -> None:
        """Return a fault that waits until `held` is set, or until it is cancelled."""
        while not self.held.is_set():
            activity.heartbeat("held")
            await asyncio.sleep(0.02)

    async def called(self, request: Any) -> None:
        """Record the call, and go wrong as told."""
        name = activity.info().activity_type
        self.calls.append((name, request))
        if not self.faults[name]:
            return
        fault = self.faults[name].pop(0)
        if isinstance(fault, Exception):
            raise fault
        happened = fault(request)
        if isinstance(happened, Awaitable):
            await happened
