"""Bars of an image on its way, column by column."""

import pytest

from domain.images import LayerProgress, TransferProgress
from starter.cli.progress_bars import ASCII_GLYPHS, LINE_GLYPHS, bars
from starter.cli.terminal import fitted, width

MB, GB = 10**6, 10**9
LAYERS = [
    LayerProgress(title="mon.key", done=7 * GB, total=11 * GB, rate=120 * MB),
    LayerProgress(title="a-key-with-a-very-long-name.key", done=1, total=GB, rate=9.5 * MB),
    LayerProgress(title="base image", done=5, total=0),
]
TOLD = TransferProgress(
    verb="pushing", layers=LAYERS, count=9, settled=2, done=12_460 * MB, total=38 * GB, rate=310 * MB
)


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        (
            94,
            [
                "  pushing 2 of 9          ━━━━━━──────────────  32 % 12.4 of 38.0 GB 310 MB/s  1 min 30 s left",
                "  mon.key                 ━━━━━━━━━━━━────────  63 %  7.0 of 11.0 GB 120 MB/s        35 s left",
                "  a-key-with-a-very-long- ────────────────────   0 %   0.0 of 1.0 GB 9.5 MB/s  1 min 50 s left",
                "  base image              ────────────────────                   5 B",
            ],
        ),
        (
            79,
            [
                "  pushing 2 of 9   ━━━─────────  32 % 12.4 of 38.0 GB 310 MB/s  1 min 30 s left",
                "  mon.key          ━━━━━━━─────  63 %  7.0 of 11.0 GB 120 MB/s        35 s left",
                "  a-key-with-a-ver ────────────   0 %   0.0 of 1.0 GB 9.5 MB/s  1 min 50 s left",
                "  base image       ────────────                   5 B",
            ],
        ),
        (
            60,
            [
                "  pushing 2 of 9   ━━━━━─────────────  32 %  1 min 30 s left",
                "  mon.key          ━━━━━━━━━━━───────  63 %        35 s left",
                "  a-key-with-a-ver ──────────────────   0 %  1 min 50 s left",
                "  base image       ──────────────────",
            ],
        ),
        (24, ["  pushing 2 of 9    32 %", "  mon.key           63 %", "  a-key-with-a-ver   0 %", "  base image"]),
        (6, ["  push", "  mon.", "  a-ke", "  base"]),
    ],
)
def test_bars_fit(columns: int, lines: list[str]) -> None:
    """A narrow terminal leaves out columns, the share last of all."""
    found = bars(TOLD, columns, LINE_GLYPHS)
    assert found == lines
    assert max(width(line) for line in found) <= columns


@pytest.mark.parametrize("size", [10**power * digit for power in range(12) for digit in (1, 9)])
@pytest.mark.parametrize("columns", [79, 100])
def test_figures_of_every_size_have_room(size: int, columns: int) -> None:
    """A figure that is wider than its column would push the last one out."""
    layer = LayerProgress(title="mon.key", done=size // 3, total=size, rate=size / 3599)
    progress = TransferProgress(verb="pushing", layers=[layer], count=2, done=size // 3, total=size, rate=size / 3599)
    for line in bars(progress, columns, LINE_GLYPHS):
        assert width(line) <= columns
        assert line.endswith(" left")


def test_a_single_layer_is_one_bar_in_plain_letters() -> None:
    """There is nothing to compare it with."""
    progress = TOLD.model_copy(update={"count": 1, "settled": 0, "layers": LAYERS[:1]})
    assert bars(progress, 79, ASCII_GLYPHS) == [
        "  pushing mon.key ####.........  32 % 12.4 of 38.0 GB 310 MB/s  1 min 30 s left"
    ]


def test_a_whole_bar_is_full_and_all_zero_is_empty() -> None:
    """A layer without bytes has no share."""
    whole = TransferProgress(verb="pushing", count=2, settled=2, done=GB, total=GB)
    assert bars(whole, 60, ASCII_GLYPHS) == ["  pushing 2 of 2 #################### 100 %"]
    none = TransferProgress(verb="reading", count=2)
    assert bars(none, 60, ASCII_GLYPHS) == ["  reading 0 of 2 ...................."]


def test_titles_cannot_command_the_terminal() -> None:
    """Titles come from heartbeats, and so from anywhere."""
    layers = [LayerProgress(title="\x1b[2Jmon\n.key\tx", done=1, total=2)] * 2
    assert bars(TOLD.model_copy(update={"layers": layers}), 40, ASCII_GLYPHS)[1].startswith("  mon .key x")


@pytest.mark.parametrize(
    ("text", "columns", "kept"),
    [("mon.key", 7, "mon.key"), ("mon.key", 3, "mon"), ("密钥.key", 5, "密钥."), ("密钥.key", 3, "密"), ("x", 0, "")],
)
def test_what_fits_is_counted_in_columns(text: str, columns: int, kept: str) -> None:
    """Some letters take two of them."""
    assert fitted(text, columns) == kept
