"""Nodes in words: a line for each, what would mend the others, and the sum."""

from domain.messages.nodes import NodesReport, NodeVerdict
from starter.cli import terminal

SHOWN = 20  # commands; all of them are in the JSON


def page(report: NodesReport) -> str:
    """The table, the commands that would make more nodes usable, and how many clients can run."""
    rows = [["NODE", "VERDICT", "WHY"], *(_row(node) for node in report.nodes)]
    return "\n".join([terminal.table(rows), *_mends(report), _sum(report)])


def _row(node: NodeVerdict) -> list[str]:
    why = [
        *([f"runs {node.ours}"] if node.ours else []),
        *node.reasons,
        *([f"booked by {node.booked_by}"] if node.booked_by else []),
        *node.warnings,
        *(f"unknown: {what}" for what in node.unknown),
    ]
    return [node.name, "usable" if node.usable else "no", ", ".join(why) or "-"]


def _mends(report: NodesReport) -> list[str]:
    lines = [node.fix for node in report.nodes if node.fix and not node.usable]
    if not lines:
        return []
    more = [f"  … and {len(lines) - SHOWN} more (see --output json)"] if len(lines) > SHOWN else []
    return ["to make more of them usable:", *(f"  {line}" for line in lines[:SHOWN]), *more]


def _sum(report: NodesReport) -> str:
    total = report.total or len(report.nodes)
    text = f"{report.usable} of {total} nodes usable, {report.wanted} wanted"
    return text + (f", {report.possible} clients can run" if report.total and report.possible != report.usable else "")
