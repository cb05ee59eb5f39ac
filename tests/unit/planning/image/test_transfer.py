"""How an image on its way is measured and told."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.images import LayerProgress, TransferProgress
from planning.image.transfer import SHOWN, Meter, left, sentence, share

MB, GB = 10**6, 10**9
TWO = [("a", "mon.key", 1000 * MB), ("b", "7 circuit files", 500 * MB)]


def _fed(meter: Meter, key: str, seen: Iterable[tuple[float, int]]) -> None:
    for now, done in seen:
        meter.at(key, done, now)


def test_a_steady_transfer_has_its_rate_and_its_end() -> None:
    """50 MB/s for 4 s of 1,000 MB: 16 s are left of this layer, and 26 s of both."""
    meter = Meter("pushing", TWO)
    _fed(meter, "a", [(100 + second, 50 * second * MB) for second in range(5)])
    told = meter.progress(104)
    assert told == TransferProgress(
        verb="pushing",
        layers=[LayerProgress(title="mon.key", done=200 * MB, total=1000 * MB, rate=50 * MB)],
        count=2,
        settled=0,
        done=200 * MB,
        total=1500 * MB,
        rate=50 * MB,
    )
    assert (told.layers[0].seconds_left, told.seconds_left) == (16, 26)


def test_layers_in_parallel_add_up() -> None:
    """They are shown in the order of the image, whichever began first."""
    meter = Meter("pushing", TWO)
    for second in range(6):
        meter.at("b", 20 * second * MB, second)
        meter.at("a", 30 * second * MB, second)
    told = meter.progress(5)
    assert [(layer.title, layer.rate) for layer in told.layers] == [("mon.key", 30 * MB), ("7 circuit files", 20 * MB)]
    assert told.rate == 50 * MB


def test_no_rate_before_anybody_can_tell() -> None:
    """A single look, or a fraction of a second, says nothing."""
    meter = Meter("reading", TWO)
    assert meter.progress(0).rate == 0
    meter.at("a", 10 * MB, 1)
    assert meter.progress(1).rate == 0
    meter.at("a", 20 * MB, 1.9)
    told = meter.progress(1.9)
    assert (told.rate, told.seconds_left) == (0, None)
    meter.at("a", 30 * MB, 2)
    assert meter.progress(2).rate == 20 * MB


def test_a_rate_is_that_of_the_last_seconds() -> None:
    """A minute at 100 MB/s does not hide that it is 1 MB/s now."""
    meter = Meter("pushing", [("a", "k", 10 * GB)])
    _fed(meter, "a", [(second, 100 * second * MB) for second in range(61)])
    _fed(meter, "a", [(60 + second, 6000 * MB + second * MB) for second in range(1, 12)])
    assert meter.progress(71).rate == 1 * MB


def test_what_stands_still_has_no_rate_and_comes_back_at_once() -> None:
    """The pause is not averaged into what follows it."""
    meter = Meter("pushing", [("a", "k", 10 * GB)])
    _fed(meter, "a", [(second, 100 * second * MB) for second in range(11)])
    assert [meter.progress(second).rate for second in range(10, 31)][-1] == 0
    _fed(meter, "a", [(30 + second, 1000 * MB + 100 * second * MB) for second in range(1, 11)])
    assert meter.progress(40).rate == 100 * MB


def test_resumed_bytes_count_as_done_and_not_as_speed() -> None:
    """The registry had half of the one and all of the other."""
    meter = Meter("pushing", TWO)
    meter.at("a", 500 * MB, 0, resumed=True)
    meter.at("b", 500 * MB, 0, resumed=True)
    _fed(meter, "a", [(second, 500 * MB + second * MB) for second in range(1, 6)])
    told = meter.progress(5)
    assert (told.done, told.settled, told.rate) == (1005 * MB, 1, 1 * MB)
    assert [layer.rate for layer in told.layers] == [1 * MB]


def test_a_layer_that_begins_anew_goes_back_and_its_speed_stays() -> None:
    """A registry forgot the upload; bytes sent twice are sent at the same speed."""
    meter = Meter("pushing", TWO)
    _fed(meter, "a", [(second, 100 * second * MB) for second in range(6)])
    _fed(meter, "a", [(5, 0), *[(5 + second, 100 * second * MB) for second in range(1, 3)]])
    told = meter.progress(7)
    assert (told.done, told.rate) == (200 * MB, 100 * MB)


def test_empty_layers_are_done_and_unknown_sizes_have_no_end() -> None:
    """An Engine does not say beforehand how much it will give."""
    meter = Meter("reading", [("a", "empty", 0), ("b", "base image", 0)])
    assert meter.progress(0).settled == 2
    _fed(meter, "b", [(second, second * MB) for second in range(3)])
    told = meter.progress(2)
    assert (told.settled, told.done, told.total, told.seconds_left) == (1, 2 * MB, 0, None)
    assert sentence(told) == "reading 2 layers, 1 done: 2.0 MB, 1.0 MB/s"


def test_a_layer_twice_in_the_image_travels_once_and_only_a_few_are_shown() -> None:
    """Base images repeat the empty layer; a status line has room for some."""
    keys = ["a", "b", "c", "d", "e", "f", "a"]
    meter = Meter("pushing", [(key, key, 10) for key in keys])
    for key in reversed(keys):
        meter.at(key, 5, 0)
    told = meter.progress(0)
    assert (told.count, told.total) == (6, 60)
    assert [layer.title for layer in told.layers] == ["a", "b", "c", "d"]
    assert len(told.layers) == SHOWN


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]),
            st.integers(min_value=-5, max_value=2000),
            st.floats(min_value=0, max_value=30),
            st.booleans(),
        ),
        max_size=60,
    )
)
def test_whatever_it_is_fed_it_stays_within_bounds(news: list[tuple[str, int, float, bool]]) -> None:
    """Never more than all, never a negative rate or time, though times come late and counts are odd."""
    meter = Meter("pushing", [("a", "a", 1000), ("b", "b", 700), ("c", "c", 0)])
    for key, done, now, resumed in news:
        meter.at(key, done, now, resumed=resumed)
        told = meter.progress(now)
        ones: list[LayerProgress | TransferProgress] = [told, *told.layers]
        for one in ones:
            assert one.rate >= 0
            assert one.done >= 0
            assert not one.total or one.done <= one.total
            assert (one.seconds_left or 0) >= 0
        assert sentence(told)


def _told(**changes: object) -> TransferProgress:
    layers = [LayerProgress(title="mon.key", done=7 * GB, total=11 * GB), LayerProgress(title="b", done=1, total=GB)]
    told = TransferProgress(
        verb="pushing", layers=layers, count=9, settled=2, done=12_460 * MB, total=38 * GB, rate=310 * MB
    )
    return told.model_copy(update=changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "pushing 9 layers, 2 done: 12.4 of 38.0 GB, 310 MB/s, about 1 min 30 s left; mon.key 63 %, b 0 %"),
        ({"rate": 0, "settled": 0, "verb": "reading"}, "reading 9 layers: 12.4 of 38.0 GB; mon.key 63 %, b 0 %"),
        (
            {"count": 1, "settled": 0, "layers": [LayerProgress(title="mon.key", done=1, total=2)]},
            "pushing mon.key: 12.4 of 38.0 GB, 310 MB/s, about 1 min 30 s left",
        ),
        ({"count": 1, "settled": 0, "layers": [], "rate": 0, "done": 0}, "pushing 1 layer: 0.0 of 38.0 GB"),
        (
            {"settled": 9, "layers": [], "done": 38 * GB},
            "pushing 9 layers, 9 done: 38.0 of 38.0 GB, waiting for the registry",
        ),
        ({"settled": 9, "layers": [], "done": 38 * GB, "verb": "reading"}, "reading 9 layers, 9 done: 38.0 of 38.0 GB"),
    ],
)
def test_a_transfer_in_one_sentence(changes: dict[str, object], words: str) -> None:
    """Parts that nobody knows are left out."""
    assert sentence(_told(**changes)) == words


def test_a_title_is_one_line_of_plain_text() -> None:
    """It is the name of somebody's file, which may hold bytes that are no text."""
    meter = Meter("pushing", [("a", "\x1b[2Jmon\nkey" + "x" * 100, 10), ("b", "k\udcff.key", 10)])
    assert meter.progress(0).layers == []
    meter.at("a", 5, 0)
    meter.at("b", 5, 0)
    long, strange = [layer.title for layer in meter.progress(0).layers]
    assert long.startswith("mon keyx")
    assert len(long) == 40
    assert strange == "k?.key"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, ""),
        (0.2, "1 s left"),
        (7, "7 s left"),
        (11, "15 s left"),
        (56, "1 min left"),
        (82, "1 min 30 s left"),
        (3599, "1 h left"),
        (3700, "1 h 2 min left"),
    ],
)
def test_times_left_are_coarse(seconds: float, words: str) -> None:
    """So that the figure does not dance, and nobody takes it for a promise."""
    assert left(LayerProgress(title="a", done=0, total=1000, rate=1000 / seconds if seconds else 0)) == words


def test_a_share_is_never_the_whole_too_early() -> None:
    """99.99 % is 99 %."""
    assert share(LayerProgress(title="a", done=9999, total=10_000)) == "99 %"
    assert share(LayerProgress(title="a", done=9999, total=0)) == ""
