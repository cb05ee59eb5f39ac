"""Nodes as text: a line for each, commands that make others usable, and the totals."""

from domain.messages.nodes import NodesReport, NodeVerdict
from planning.text.listing import listed
from starter.cli import terminal

COMMANDS_SHOWN = 20  # all of them are in the JSON
NEW_LINE = "\n  "


def page(report: NodesReport) -> str:
    """Return the table, the commands that would make more nodes usable, and how many clients can run."""
    rows = [["NODE", "VERDICT", "WHY"], *(_row(node) for node in report.nodes)]
    return "\n".join([terminal.table(rows), *_remedies(report), _totals(report)])


def _row(node: NodeVerdict) -> list[str]:
    why = [
        *([f"runs {node.ours}"] if node.ours else []),
        *node.reasons,
        *([f"booked by {node.booked_by}"] if node.booked_by else []),
        *node.warnings,
        *(f"unknown: {what}" for what in node.unknown),
    ]
    return [node.name, "usable" if node.usable else "no", ", ".join(why) or "-"]


def _remedies(report: NodesReport) -> list[str]:
    lines = [node.fix for node in report.nodes if node.fix and not node.usable]
    if not lines:
        return []
    hint = " (see --output json)" if len(lines) > COMMANDS_SHOWN else ""
    return ["to make more of them usable:", f"  {listed(lines, COMMANDS_SHOWN, NEW_LINE)}{hint}"]


def _totals(report: NodesReport) -> str:
    total = report.total or len(report.nodes)
    text = f"{report.usable} of {total} nodes usable, {report.wanted} wanted"
    return text + (f", {report.possible} clients can run" if report.total and report.possible != report.usable else "")
