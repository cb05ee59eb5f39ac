"""The rhythm of everything that waits here: looks that grow rarer, and a sign of life every second."""

import time
from collections.abc import Callable

from domain.ports import Beat

_GROWTH = 1.5
_BEAT_SECONDS = 1.0


class PollingInterval:
    """Interval between two polls of one wait."""

    def __init__(self, beat: Beat, first: float = 0.02, last: float = 0.5) -> None:
        """Seconds of the first and of the longest pause."""
        self._beat = beat
        self._pause = first
        self._last = last
        self._next = 0.0

    def rest(self, text: Callable[[], str]) -> float:
        """Pause before the next look, for so many seconds; at times `text` is told first, which may end the wait."""
        self.beat(text)
        pause = self._pause
        time.sleep(pause)
        self._pause = min(pause * _GROWTH, self._last)
        return pause

    def beat(self, text: Callable[[], str]) -> None:
        """Tell `text` when it is time to."""
        if time.monotonic() >= self._next:
            self._beat(text())
            self._next = time.monotonic() + _BEAT_SECONDS
