"""An image on its way as bars for a terminal: one for all of it and one for each layer under way. Pure."""

from domain.images import LayerProgress, TransferProgress
from planning.image import transfer
from planning.text import sizes
from starter.cli.terminal import fitted, joined, width

FINE, PLAIN = "━─", "#."  # what is done, what is not
LEAST, MOST = 10, 40  # columns of a bar
TITLE, LONG = 16, 40  # columns of a title: in USUAL columns, and at most
USUAL = 79  # columns that everything fits into
_FIGURES = {"share": 5, "amount": 15, "speed": 8, "left": 16}  # columns that each may need, lest all of it dances
_DISPENSABLE = ("speed", "amount", "bar", "left")  # in this order, where a terminal is narrow
_INDENT = "  "


def bars(told: TransferProgress, columns: int, glyphs: str) -> list[str]:
    """Lines of at most so many columns; `glyphs` are two characters, for what is done and what is not."""
    layers = told.layers if told.count > 1 else []
    room = min(TITLE + max(columns - USUAL, 0) // 2, LONG)
    heads = [fitted(joined(head), room) for head in (_head(told), *(layer.title for layer in layers))]
    shown = dict(_FIGURES, head=max(width(head) for head in heads), bar=LEAST)
    for name in _DISPENSABLE:
        if _taken(shown) > columns:
            del shown[name]
    if "bar" in shown:
        shown["bar"] = min(LEAST + columns - _taken(shown), MOST)
    rows: list[LayerProgress | TransferProgress] = [told, *layers]
    return [fitted(_line(head, one, shown, glyphs), columns) for head, one in zip(heads, rows, strict=True)]


def _taken(shown: dict[str, int]) -> int:
    return len(_INDENT) + sum(shown.values()) + len(shown) - 1


def _head(told: TransferProgress) -> str:
    if told.count == 1 and told.layers:
        return f"{told.verb} {told.layers[0].title}"
    return f"{told.verb} {told.settled} of {told.count}"


def _line(head: str, one: LayerProgress | TransferProgress, shown: dict[str, int], glyphs: str) -> str:
    cells = {
        "head": head + " " * (shown["head"] - width(head)),
        "bar": _bar(one, shown.get("bar", 0), glyphs),
        "share": transfer.share(one),
        "amount": sizes.amount(one.done, one.total),
        "speed": sizes.speed(one.rate),
        "left": transfer.left(one),
    }
    line = [text.rjust(_FIGURES.get(name, 0)) for name, text in cells.items() if name in shown]
    return (_INDENT + " ".join(line)).rstrip()


def _bar(one: LayerProgress | TransferProgress, columns: int, glyphs: str) -> str:
    done = one.done * columns // one.total if one.total else 0
    return glyphs[0] * done + glyphs[1] * (columns - done)
