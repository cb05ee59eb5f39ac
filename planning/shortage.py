"""Explains a lack of nodes by the cause that is worth mending, with numbers and a command that can be pasted."""

from collections import Counter
from typing import NamedTuple

from domain.diagnosis import Diagnosis, Severity
from domain.spec import ClusterSpec

SHOWN = 5  # nodes in one sentence


class Reason(NamedTuple):
    """Why a node cannot take a client: the code that counts, and the sentence that is shown."""

    code: str
    text: str


class Judged(NamedTuple):
    """One node with everything that is against it; the first reason is the main one."""

    name: str
    reasons: list[Reason]
    booked_by: str

    @property
    def labelled(self) -> bool:
        """Whether the node was meant for clients."""
        return all(reason.code != "SCHED_NO_LABEL" for reason in self.reasons)

    @property
    def code(self) -> str:
        """The main cause; empty for a usable node."""
        if self.reasons:
            return self.reasons[0].code
        return "SCHED_ANTIAFFINITY_FULL" if self.booked_by else ""


def explain(judged: list[Judged], spec: ClusterSpec, usable: int, replicas: int) -> Diagnosis:
    """The refusal by the cause whose cure would suffice, with the command that helps; nodes for clients come first."""
    cause = _cause(judged, usable, replicas)
    held = [node for node in judged if node.code == cause]
    return Diagnosis(
        code=cause,
        what=f"{usable} of {len(judged)} nodes are usable, {replicas} clients are wanted (one a node)",
        on=f"cluster {spec.cluster}",
        because=_because(cause, held, replicas - usable),
        evidence="; ".join(_line(node) for node in judged[:SHOWN] if node.code),
        do=_remedy(cause, held, spec, usable, replicas - usable),
        severity=Severity.REFUSED,
    )


def _cause(judged: list[Judged], usable: int, replicas: int) -> str:
    """The largest cause among the nodes meant for clients when mending those is enough, else the missing label."""
    meant = Counter(node.code for node in judged if node.code and node.labelled)
    if meant and usable + meant.total() >= replicas:
        return meant.most_common(1)[0][0]
    if any(not node.labelled for node in judged):
        return "SCHED_NO_LABEL"
    return meant.most_common(1)[0][0] if meant else "SCHED_ANTIAFFINITY_FULL"


def _because(cause: str, held: list[Judged], lacking: int) -> str:
    shown = ", ".join(node.name for node in held[:SHOWN]) + (", …" if len(held) > SHOWN else "")
    words = {
        "SCHED_NO_LABEL": f"{len(held)} nodes do not carry the label for clients ({shown})",
        "SCHED_TAINT": f"{len(held)} nodes have a taint that clients do not tolerate ({shown})",
        "SCHED_CORDON": f"{len(held)} nodes are cordoned ({shown})",
        "NODE_NOT_READY": f"{len(held)} nodes are not ready ({shown})",
        "SCHED_RESOURCES": f"{len(held)} nodes are too small ({shown})",
        "SCHED_ANTIAFFINITY_FULL": f"{len(held)} nodes run another fleet's client ({shown})",
    }
    return words[cause] if held else f"there are {lacking} nodes too few"


def _line(node: Judged) -> str:
    texts = [reason.text for reason in node.reasons] + ([f"booked by {node.booked_by}"] if node.booked_by else [])
    return f"{node.name}: {', '.join(texts)}"


def _remedy(cause: str, held: list[Judged], spec: ClusterSpec, usable: int, lacking: int) -> str:
    chosen = " ".join(node.name for node in held[:lacking]) or "NODE"
    ways = {
        "SCHED_NO_LABEL": f"kubectl label node {chosen} {spec.node_label}",
        "SCHED_TAINT": "remove the taint, or name it with NODE_TAINT",
        "SCHED_CORDON": f"kubectl uncordon {chosen}",
        "NODE_NOT_READY": f"kubectl describe node {chosen}",
        "SCHED_RESOURCES": "lower CLIENT_CPU and CLIENT_MEMORY, or add larger nodes",
        "SCHED_ANTIAFFINITY_FULL": f"add {lacking} nodes with the label {spec.node_label}",
    }
    return f"{ways[cause]}; or ask for at most {usable} clients"
