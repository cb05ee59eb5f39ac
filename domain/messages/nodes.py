"""Messages about the nodes that clients can run on."""

from domain.diagnosis import Diagnosis
from domain.model import Message
from domain.spec import ClusterSpec


class NodesRequest(Message):
    """How many clients are to be placed, and where."""

    spec: ClusterSpec
    replicas: int
    keep: bool = False  # the clients that run stay where they are, as when only their number changes


class NodeVerdict(Message):
    """Whether one node can take a client, and why not."""

    name: str
    usable: bool
    reasons: list[str] = []  # e.g. "label fluidexnode=computation missing", "cordoned", "NotReady since …"
    booked_by: str = ""  # namespace/pod of a prover of another namespace on it
    fix: str = ""  # the kubectl line that makes it usable; empty when there is none
    warnings: list[str] = []  # usable, and yet, e.g. labelled but untainted
    unknown: list[str] = []  # what we may not read and so could not judge
    ours: str = ""  # the client of this very deployment that runs on it


class NodesReport(Message):
    """Verdict per node and in sum."""

    wanted: int
    usable: int  # nodes that can hold a client of this deployment, those that hold one now included
    total: int = 0  # all nodes, listed or not
    possible: int = 0  # clients that can run at once: usable nodes, less what a quota forbids
    nodes: list[NodeVerdict] = []
    diagnosis: Diagnosis | None = None  # set when usable < wanted
    warnings: list[str] = []
