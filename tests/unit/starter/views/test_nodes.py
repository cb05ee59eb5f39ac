"""Nodes in words."""

from domain.messages.nodes import NodesReport, NodeVerdict
from starter.views.nodes import page

USABLE = NodeVerdict(name="n1", usable=True, ours="prover-cli-t-x", unknown=["who else is here"])
CORDONED = NodeVerdict(name="n2", usable=False, reasons=["cordoned"], fix="kubectl uncordon n2")
BOOKED = NodeVerdict(name="n3", usable=False, booked_by="other/prover-cli-t-y")


def test_every_node_says_why_and_the_others_how() -> None:
    """The page has reasons, unknowns, the commands below, and the totals."""
    report = NodesReport(wanted=2, usable=1, total=3, possible=1, nodes=[USABLE, CORDONED, BOOKED])
    assert page(report).splitlines() == [
        "NODE  VERDICT  WHY",
        "n1    usable   runs prover-cli-t-x, unknown: who else is here",
        "n2    no       cordoned",
        "n3    no       booked by other/prover-cli-t-y",
        "to make more of them usable:",
        "  kubectl uncordon n2",
        "1 of 3 nodes usable, 2 wanted",
    ]


def test_a_quota_below_the_nodes_shows_in_the_sum() -> None:
    """Nodes are not all that counts."""
    assert page(NodesReport(wanted=9, usable=8, total=8, possible=4)).endswith(
        "8 of 8 nodes usable, 9 wanted, 4 clients can run"
    )


def test_hundreds_of_commands_are_cut_short() -> None:
    """The JSON has them all."""
    nodes = [CORDONED.model_copy(update={"name": f"n{number}"}) for number in range(30)]
    lines = page(NodesReport(wanted=1, usable=0, total=30, nodes=nodes)).splitlines()
    assert lines[-2] == "  … and 10 more (see --output json)"
