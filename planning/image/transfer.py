"""How an image on its way is measured and told: smoothed rates, times left, and the sentence of a heartbeat. Pure."""

from collections import deque
from collections.abc import Sequence
from math import ceil
from threading import Lock

from domain.images import LayerProgress, TransferProgress
from planning.text.durations import duration
from planning.text.sanitize import one_line
from planning.text.sizes import amount, speed

READING, PUSHING = "reading", "pushing"
WINDOW = 10.0  # seconds that a rate is averaged over
KNOWN_AFTER = 1.0  # seconds before a rate means anything
SHOWN = 4  # layers
TITLE = 40  # characters of a layer's title
_MARK_EVERY = 0.5  # seconds; a fast disk reports a thousand times a second
_MINUTE, _HOUR = 60, 3600
_FEW = 10  # seconds; below it each one is told


class Meter:
    """Bytes of several layers that move at once; the caller says what time it is, from any thread.

    A rate counts bytes that moved, so neither what a resumed upload found at the registry nor a layer that begins
    anew distorts it.
    """

    def __init__(self, verb: str, order: Sequence[tuple[str, str, int]]) -> None:
        """`order` has key, title and bytes of each layer, as in the image; 0 bytes: empty, or of unknown size."""
        self._verb = verb
        self._layers: dict[str, _Layer] = {}
        for key, title, total in order:
            self._layers.setdefault(key, _Layer(_legible(title), total))
        self._flow = _Flow()
        self._lock = Lock()

    def at(self, key: str, done: int, now: float, *, resumed: bool = False) -> None:
        """Note that a layer is at byte `done`; `resumed`: those bytes were there before.

        KeyError for a layer that the meter was not told of.
        """
        with self._lock:
            layer = self._layers[key]
            moved = 0 if resumed else max(done - layer.done, 0)
            layer.started, layer.done = True, max(done, 0)
            layer.flow.moved(moved, now)
            self._flow.moved(moved, now)

    def progress(self, now: float) -> TransferProgress:
        """All layers as they stand; the rate of a transfer that stands still goes to 0."""
        with self._lock:
            layers = list(self._layers.values())
            unknown = any(layer.unknown for layer in layers)
            return TransferProgress(
                verb=self._verb,
                layers=[layer.progress(now) for layer in layers if layer.under_way][:SHOWN],
                count=len(layers),
                settled=sum(layer.settled for layer in layers),
                done=sum(layer.counted for layer in layers),
                total=0 if unknown else sum(layer.total for layer in layers),
                rate=self._flow.rate(now),
            )


class _Flow:
    """Bytes that moved, remembered for as long as they count."""

    def __init__(self) -> None:
        self._moved = 0
        self._marks: deque[tuple[float, int]] = deque()

    def moved(self, count: int, now: float) -> None:
        self._moved += count
        self._mark(now)

    def rate(self, now: float) -> float:
        """Bytes a second; 0 before anybody can tell."""
        if not self._marks:
            return 0.0
        self._mark(now)  # also while nothing moves, so that what follows is not averaged with the pause
        since, before = self._marks[0]
        return (self._moved - before) / (now - since) if now - since >= KNOWN_AFTER else 0.0

    def _mark(self, now: float) -> None:
        if not self._marks or now - self._marks[-1][0] >= _MARK_EVERY:
            self._marks.append((now, self._moved))
        while len(self._marks) > 1 and self._marks[1][0] <= now - WINDOW:
            self._marks.popleft()


class _Layer:
    """State of one layer."""

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total, self.done = title, total, 0
        self.started = False
        self.flow = _Flow()

    @property
    def unknown(self) -> bool:
        return self.total == 0 and self.done > 0

    @property
    def settled(self) -> bool:
        return self.done >= self.total and not self.unknown

    @property
    def under_way(self) -> bool:
        return self.started and not self.settled

    @property
    def counted(self) -> int:
        return self.done if self.unknown else min(self.done, self.total)

    def progress(self, now: float) -> LayerProgress:
        return LayerProgress(title=self.title, done=self.counted, total=self.total, rate=self.flow.rate(now))


def sentence(progress: TransferProgress) -> str:
    """Return the sentence of a heartbeat.

    Such as `pushing 9 layers, 2 done: 12.4 of 38.0 GB, 310 MB/s, about 1 min 20 s left; mon.key 61 %`.
    """
    whole = progress.settled == progress.count
    last = ["waiting for the registry"] if progress.verb == PUSHING else []  # it may read all of it again
    time = left(progress)
    going = [speed(progress.rate), f"about {time}" if time else ""]
    facts = [amount(progress.done, progress.total), *(last if whole else going)]
    told = f"{_head(progress)}: {', '.join(fact for fact in facts if fact)}"
    shares = [f"{layer.title} {share(layer)}" for layer in progress.layers if progress.count > 1 and layer.total]
    return "; ".join([told, *([", ".join(shares)] if shares else [])])


def share(progress: LayerProgress | TransferProgress) -> str:
    """In percent and rounded down, such as `61 %`; empty as long as the whole is not known."""
    return f"{progress.done * 100 // progress.total} %" if progress.total else ""


def left(progress: LayerProgress | TransferProgress) -> str:
    """Such as `1 min 20 s left`, rounded up and coarse, for it is a guess; empty where nobody can tell."""
    seconds = progress.seconds_left
    if not seconds:
        return ""
    step = 1 if seconds <= _FEW else 5 if seconds <= _MINUTE else 10 if seconds <= _HOUR else _MINUTE
    return f"{duration(ceil(seconds / step) * step)} left"


def _legible(title: str) -> str:
    """Return a file name as valid text, which a heartbeat must be."""
    return one_line(title.encode("utf-8", "replace").decode(), TITLE)


def _head(progress: TransferProgress) -> str:
    if progress.count == 1 and progress.layers:
        return f"{progress.verb} {progress.layers[0].title}"
    done = f", {progress.settled} done" if progress.settled else ""
    return f"{progress.verb} {progress.count} layer{'' if progress.count == 1 else 's'}{done}"
