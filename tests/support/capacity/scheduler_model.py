"""A small cluster in memory: scheduler, Deployment controller and quota admission, by their documented rules.

It imports nothing of ours, so that it can be the judge of planning/capacity; the real ones are compared with it in
tests/integration/capacity/test_against_scheduler.py. Cores, GiB and GPUs are whole numbers; 0 asks for nothing.
"""

import random
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Ask:
    """What a pod requests; memory is its limit, too."""

    cpu: int = 0
    memory: int = 0
    gpu: int = 0

    def __add__(self, other: "Ask") -> "Ask":
        """Both together."""
        return Ask(self.cpu + other.cpu, self.memory + other.memory, self.gpu + other.gpu)

    def fits(self, other: "Ask") -> bool:
        """Whether it fits into `other`; what is not asked for is not looked at."""
        pairs = ((self.cpu, other.cpu), (self.memory, other.memory), (self.gpu, other.gpu))
        return all(asked <= has for asked, has in pairs if asked)


@dataclass(frozen=True)
class Node:
    """One node as it is when clients are to be placed."""

    size: Ask = Ask(8, 16, 0)
    pods: int = 10
    labelled: bool = True
    tainted: bool = True  # as clients tolerate it
    repels: bool = False  # by a taint that they do not tolerate
    cordoned: bool = False
    ready: bool = True
    others: tuple[Ask, ...] = ()  # pods of other applications
    prover: bool = False  # a client of another fleet, which asks for nothing

    @property
    def admits(self) -> bool:
        """Whether any client may come here."""
        return self.labelled and self.ready and not (self.repels or self.cordoned or self.prover)

    def holds(self, ask: Ask) -> bool:
        """Whether there is room for a client beside the others."""
        taken = sum(self.others, Ask())
        free = Ask(self.size.cpu - taken.cpu, self.size.memory - taken.memory, self.size.gpu - taken.gpu)
        return ask.fits(free) and len(self.others) + self.prover < self.pods


@dataclass(frozen=True)
class Case:
    """What there is, and what is wanted."""

    nodes: tuple[Node, ...]
    replicas: int
    ask: Ask = Ask()
    unavailable: int = 1  # maxUnavailable
    old: tuple[int, ...] = ()  # indexes of the nodes on which clients run already
    old_ask: Ask = Ask()
    scaled: bool = False  # only the number changes: the old clients stay
    quota: dict[str, int] = field(default_factory=dict)  # pods, requests.cpu, requests.memory (GiB), …
    default_cpu: int = 0  # of a LimitRange
    max_memory: int = 0  # of a LimitRange, GiB

    @property
    def effective(self) -> Ask:
        """What a new client asks for once the LimitRange has had its say."""
        return Ask(self.ask.cpu or self.default_cpu, self.ask.memory or self.max_memory, self.ask.gpu)


@dataclass(eq=False)
class Pod:
    """One client."""

    ask: Ask
    node: int | None = None


@dataclass
class ReplicaSet:
    """Pods of one template."""

    ask: Ask
    wanted: int = 0
    pods: list[Pod] = field(default_factory=list)


class Model:
    """Plays a case to its end; `seed` decides what Kubernetes leaves open."""

    def __init__(self, case: Case, seed: int = 0) -> None:
        """As it stands before the change."""
        self.case = case
        self._random = random.Random(seed)  # noqa: S311 - a game, no secret
        pods = [Pod(case.old_ask, node) for node in case.old]
        self.old = ReplicaSet(case.old_ask, len(pods), pods)
        self.new = ReplicaSet(case.effective)
        if case.scaled:  # one template: what runs is of the wanted one already
            self.new, self.old = self.old, ReplicaSet(Ask())
            self.new.ask = case.effective

    def finishes(self) -> bool:
        """Whether all wanted clients, and no others, run in the end."""
        if self.case.scaled:
            self.new.wanted = self.case.replicas
        elif self.old.wanted:  # a Deployment's old ReplicaSet is brought to the new number first
            self.old.wanted = self.case.replicas
        while self._step():
            pass
        return not self.old.pods and self._available(self.new) == self.case.replicas == len(self.new.pods)

    def _step(self) -> bool:
        before = self._state()
        self._evict()
        for replica_set in (self.old, self.new):
            self._replicate(replica_set)
        self._schedule()
        if not self.case.scaled:
            self._roll()
            for replica_set in (self.old, self.new):
                self._replicate(replica_set)
            self._schedule()
        return self._state() != before

    def _state(self) -> tuple[object, ...]:
        sets = (self.old, self.new)
        return tuple((each.wanted, sorted(str(pod.node) for pod in each.pods)) for each in sets)

    def _evict(self) -> None:
        """Pods of dead nodes are given up after a while, and count no more."""
        for replica_set in (self.old, self.new):
            replica_set.pods = [pod for pod in replica_set.pods if pod.node is None or self.case.nodes[pod.node].ready]

    def _replicate(self, replica_set: ReplicaSet) -> None:
        """Act as the ReplicaSet controller: pods without a node go first."""
        self._random.shuffle(replica_set.pods)
        replica_set.pods.sort(key=lambda pod: pod.node is None)
        del replica_set.pods[replica_set.wanted :]
        while len(replica_set.pods) < replica_set.wanted and self._admitted(replica_set.ask):
            replica_set.pods.append(Pod(replica_set.ask))

    def _admitted(self, ask: Ask) -> bool:
        """LimitRange and ResourceQuota, for one more pod."""
        case = self.case
        if case.max_memory and ask.memory > case.max_memory:
            return False
        pods = [*(pod.ask for pod in self.old.pods), *(pod.ask for pod in self.new.pods), ask]
        total = sum(pods, Ask())
        used = {
            "pods": len(pods),
            "count/pods": len(pods),
            "requests.cpu": total.cpu,
            "requests.memory": total.memory,
            "limits.memory": total.memory,
            "requests.nvidia.com/gpu": total.gpu,
        }
        adds = {
            "pods": 1,
            "count/pods": 1,
            "requests.cpu": ask.cpu,
            "requests.memory": ask.memory,
            "limits.memory": ask.memory,
            "requests.nvidia.com/gpu": ask.gpu,
        }
        demanded = {"requests.cpu", "requests.memory", "limits.memory"} & case.quota.keys()
        if any(not adds[resource] for resource in demanded):
            return False
        return all(used[resource] <= hard for resource, hard in case.quota.items() if adds[resource])

    def _schedule(self) -> None:
        pending = [pod for pod in (*self.old.pods, *self.new.pods) if pod.node is None]
        self._random.shuffle(pending)
        for pod in pending:
            taken = {other.node for other in (*self.old.pods, *self.new.pods)}
            fitting = [
                index
                for index, node in enumerate(self.case.nodes)
                if index not in taken and node.admits and node.holds(pod.ask)
            ]
            if fitting:
                pod.node = self._random.choice(fitting)

    def _roll(self) -> None:
        """Act as the Deployment controller with maxSurge 0: end an old pod, then start a new one."""
        replicas, old, new = self.case.replicas, self.old, self.new
        least = replicas - self.case.unavailable
        new.wanted += max(0, replicas - old.wanted - new.wanted)
        removable = old.wanted + new.wanted - least - (new.wanted - self._available(new))
        if removable <= 0:
            return
        unhealthy = min(removable, old.wanted - self._available(old))
        old.wanted -= unhealthy
        old.wanted -= max(0, min(old.wanted, self._available(old) + self._available(new) - least))

    @staticmethod
    def _available(replica_set: ReplicaSet) -> int:
        return sum(pod.node is not None for pod in replica_set.pods)
