"""Bars of a transfer for a terminal: one for all of it and one for each layer under way. Pure."""

from domain.images import LayerProgress, TransferProgress
from planning.image import transfer
from planning.text import sizes
from starter.cli.terminal import fitted, joined, width

LINE_GLYPHS, ASCII_GLYPHS = "━─", "#."  # what is done, what is not
LEAST_BAR_COLUMNS, MOST_BAR_COLUMNS = 10, 40
TITLE_COLUMNS, MOST_TITLE_COLUMNS = 16, 40  # in USUAL_COLUMNS columns, and at most
USUAL_COLUMNS = 79  # into which everything fits
# Fixed, so that nothing moves sideways.
_FIGURE_COLUMNS = {"share": 5, "amount": 15, "speed": 8, "left": 16}
_DISPENSABLE = ("speed", "amount", "bar", "left")  # in this order, where a terminal is narrow
_INDENT = "  "


def bars(progress: TransferProgress, columns: int, glyphs: str) -> list[str]:
    """Return lines of at most so many columns; `glyphs` are two characters, for what is done and what is not."""
    layers = progress.layers if progress.count > 1 else []
    room = min(TITLE_COLUMNS + max(columns - USUAL_COLUMNS, 0) // 2, MOST_TITLE_COLUMNS)
    heads = [fitted(joined(head), room) for head in (_title(progress), *(layer.title for layer in layers))]
    shown = dict(_FIGURE_COLUMNS, head=max(width(head) for head in heads), bar=LEAST_BAR_COLUMNS)
    for name in _DISPENSABLE:
        if _taken(shown) > columns:
            del shown[name]
    if "bar" in shown:
        shown["bar"] = min(LEAST_BAR_COLUMNS + columns - _taken(shown), MOST_BAR_COLUMNS)
    rows: list[LayerProgress | TransferProgress] = [progress, *layers]
    return [fitted(_line(head, one, shown, glyphs), columns) for head, one in zip(heads, rows, strict=True)]


def _taken(shown: dict[str, int]) -> int:
    return len(_INDENT) + sum(shown.values()) + len(shown) - 1


def _title(progress: TransferProgress) -> str:
    if progress.count == 1 and progress.layers:
        return f"{progress.verb} {progress.layers[0].title}"
    return f"{progress.verb} {progress.settled} of {progress.count}"


def _line(head: str, one: LayerProgress | TransferProgress, shown: dict[str, int], glyphs: str) -> str:
    cells = {
        "head": head + " " * (shown["head"] - width(head)),
        "bar": _bar(one, shown.get("bar", 0), glyphs),
        "share": transfer.share(one),
        "amount": sizes.amount(one.done, one.total),
        "speed": sizes.speed(one.rate),
        "left": transfer.left(one),
    }
    line = [text.rjust(_FIGURE_COLUMNS.get(name, 0)) for name, text in cells.items() if name in shown]
    return (_INDENT + " ".join(line)).rstrip()


def _bar(one: LayerProgress | TransferProgress, columns: int, glyphs: str) -> str:
    done = one.done * columns // one.total if one.total else 0
    return glyphs[0] * done + glyphs[1] * (columns - done)
