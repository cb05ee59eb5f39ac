"""Keeps count of the nodes that pull an image before a rollout: whose turn it is, how it goes, how it ended. Pure."""

from domain.diagnosis import Diagnosis
from domain.images import PrePulled
from planning.capacity import shortage
from planning.image.pre_pull import Chosen, NodePull, Pull
from planning.text.listing import listed

AT_ONCE = 16  # nodes that pull at the same time: a registry has other callers, too
TRIES = 3  # pods for one node, when somebody removes them
UNSEEN = 30.0  # seconds until a pod that was made must have been seen
_NAMED = 3  # nodes that progress names
_REASONS = 5  # warnings at most, and one for the rest


class Tally:
    """The nodes of one pre-pull; those of `having` need no pod. Times are in seconds of any clock."""

    def __init__(self, chosen: Chosen) -> None:
        self.todo = list(chosen.lacking)
        self.running: dict[str, Pull] = {}
        self._pulled = list(chosen.having)
        self._asked = len(chosen.lacking) + len(chosen.having) + len(chosen.left_out)
        self._left_out = {
            why: [one for one, of in chosen.left_out.items() if of == why] for why in chosen.left_out.values()
        }
        self._slowest = 0.0
        self._tries: dict[str, int] = {}
        self._unseen: dict[str, float] = {}
        self.failure: Diagnosis | None = None  # no client would get this image: nothing else matters

    @property
    def over(self) -> bool:
        """Whether nothing is left to be awaited."""
        return not self.todo and not self.running

    @property
    def turn(self) -> str:
        """The node whose pod is to be made now; empty while enough of them pull, and when all had their turn."""
        return self.todo[0] if self.todo and len(self.running) < AT_ONCE else ""

    def begin(self, node: str, now: float) -> None:
        """Note that the pod of a node was created."""
        self.todo.remove(node)
        self.running[node] = Pull(node, NodePull.PULLING)
        self._unseen[node] = now

    def saw(self, pull: Pull) -> bool:
        """Note the state of a node's pod and return whether the pod is done."""
        node = pull.node
        self._unseen.pop(node, None)
        if node in self.todo:
            self.todo.remove(node)
        self.running[node] = pull
        if pull.state is NodePull.PULLING:
            return False
        if pull.state is NodePull.FAILED or (pull.state is NodePull.STUCK and not self._works_elsewhere()):
            self.failure = self._told_of(pull)
            return False
        del self.running[node]
        if pull.state is NodePull.PULLED:
            self._pulled.append(node)
            self._slowest = max(self._slowest, pull.seconds)
        else:
            self._leave_out([node], _sentence(pull.trouble))
        return True

    def missed(self, node: str, now: float) -> None:
        """There is no pod for a node that had one: not yet seen, or somebody removed it, and then it is made again."""
        if node not in self.running or now - self._unseen.get(node, float("-inf")) < UNSEEN:
            return
        del self.running[node]
        self._unseen.pop(node, None)
        self._tries[node] = self._tries.get(node, 0) + 1
        if self._tries[node] < TRIES:
            self.todo.append(node)
        else:
            self._leave_out([node], "somebody removes the pods that are to pull it")

    def give_up(self, why: str) -> None:
        """No pod can be made for those that had no turn yet."""
        self._leave_out(self.todo, why)
        self.todo = []

    def progress(self) -> str:
        """Return one line for the heartbeat, e.g. `image on 3 of 8 nodes; node-4 pulls for 42 s`."""
        parts = [f"image on {len(self._pulled)} of {self._asked} nodes"]
        pulling = sorted(self.running.values(), key=lambda pull: (-pull.seconds, pull.node))
        if len(pulling) > _NAMED:
            parts.append(f"{len(pulling)} pull, the longest {pulling[0].node} for {pulling[0].seconds:.0f} s")
        elif pulling:
            parts.append(", ".join(f"{pull.node} pulls for {pull.seconds:.0f} s" for pull in pulling))
        if self._slowest:
            parts.append(f"it took up to {self._slowest:.0f} s")
        troubled = next((pull for pull in pulling if pull.trouble), None)
        if troubled and troubled.trouble:
            parts.append(f"{troubled.node}: {troubled.trouble.code}: {troubled.trouble.what}")
        return "; ".join(parts)

    def result(self, warnings: list[str]) -> PrePulled:
        """How it ended."""
        if self.failure:
            return PrePulled(nodes=self._asked, pulled=len(self._pulled), diagnosis=self.failure, warnings=warnings)
        reasons = sorted(self._left_out.items(), key=lambda reason: -len(reason[1]))
        told = [
            f"The image was not pulled beforehand on {listed(sorted(nodes), shortage.SHOWN_NODES)}: {why.rstrip('. ')}."
            for why, nodes in reasons[:_REASONS]
        ]
        if reasons[_REASONS:]:
            told.append(
                f"For other reasons it was not on {sum(len(nodes) for _, nodes in reasons[_REASONS:])} more nodes."
            )
        return PrePulled(nodes=self._asked, pulled=len(self._pulled), warnings=[*told, *warnings])

    def _leave_out(self, nodes: list[str], why: str) -> None:
        if nodes:
            self._left_out.setdefault(why, []).extend(nodes)

    def _works_elsewhere(self) -> bool:
        return bool(self._pulled) or any(pull.trouble is None for pull in self.running.values())

    def _told_of(self, pull: Pull) -> Diagnosis | None:
        if pull.trouble is None:
            return None
        alike = [one for one in self.running.values() if one.trouble and one.trouble.code == pull.trouble.code]
        on = f"node {pull.node} ({len(alike)} of {self._asked} nodes), pulled before any client is replaced"
        return pull.trouble.model_copy(update={"on": on})


def _sentence(trouble: Diagnosis | None) -> str:
    return str(trouble.model_copy(update={"on": "", "since": ""})) if trouble else "nobody says why"
