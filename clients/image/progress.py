"""Progress of an image build, read from another thread."""

import time
from collections.abc import Callable, Sequence

from domain.images import TransferProgress
from planning.image import transfer
from planning.text.sanitize import one_line
from planning.text.sizes import size

_MAX_TROUBLE = 120  # characters


class ImageProgress:
    """A sentence or, while bytes of known number move, their measure as well."""

    def __init__(self, check: Callable[[], None]) -> None:
        """`check` raises when the build shall end."""
        self._check = check
        self._text = ""
        self._trouble = ""
        self._meter: transfer.Meter | None = None

    def now(self) -> tuple[str] | tuple[str, TransferProgress]:
        """Return the details of a heartbeat."""
        meter, text, trouble = self._meter, self._text, self._trouble
        if meter is None:
            return (text,)
        progress = meter.progress(time.monotonic())
        return (transfer.sentence(progress) + (f" ({trouble})" if trouble else ""), progress)

    def say(self, text: str) -> None:
        """Nothing moves now."""
        self._meter, self._text = None, text

    def counter(self, text: str) -> Callable[[int], None]:
        """Return a counter of bytes whose total is unknown."""

        def count(done: int) -> None:
            self._check()
            self.say(f"{text}: {size(done)}")

        return count

    def read(self, order: Sequence[tuple[str, str, int]]) -> None:
        """Key, title and bytes of the layers that are read from now on."""
        self._trouble, self._meter = "", transfer.Meter(transfer.READING, order)

    def push(self, order: Sequence[tuple[str, str, int]]) -> None:
        """Digest, title and bytes of the layers that are sent from now on."""
        self._trouble, self._meter = "", transfer.Meter(transfer.PUSHING, order)

    def moved(self, key: str, done: int, *, resumed: bool = False) -> None:
        """So much of this layer is done; `resumed`: without any byte having moved now."""
        self._check()
        if self._meter is not None:
            self._meter.at(key, done, time.monotonic(), resumed=resumed)
        if not resumed:
            self._trouble = ""

    def troubled(self, _key: str, trouble: str) -> None:
        """Another try is made."""
        self._trouble = f"trying again: {one_line(trouble, _MAX_TROUBLE)}"
