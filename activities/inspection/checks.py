"""Collects the checks of a preflight: one that raises becomes what it raised, and the next one is looked at."""

from collections.abc import Callable

from temporalio.exceptions import CancelledError

from domain.errors import ProverError
from domain.messages.inspection import Check, CheckVerdict
from domain.ports import Beat
from planning.preflight import checks


class Checks:
    """The checks so far, in their order; each beats before it begins."""

    def __init__(self, beat: Beat) -> None:
        self.found: list[Check] = []
        self._beat = beat
        self._end: Exception | None = None

    def beat(self, text: str) -> None:
        """For the checks themselves: what this raises ends them all."""
        try:
            self._beat(text)
        except Exception as error:
            self._end = error
            raise

    def look(self, name: str, check: Callable[[], Check]) -> Check:
        """Add one check; only a cancellation passes through."""
        self.beat(f"checking {name}")
        try:
            found = check()
        except CancelledError:
            raise
        except ProverError as error:
            found = checks.from_error(name, error)
        except Exception as error:
            if error is self._end:
                raise
            # a fault of ours must not hide what the other checks find
            found = checks.unknown(name, f"the check itself failed: {type(error).__name__}: {error}")
        self.found.append(found)
        return found

    def failed(self, *names: str) -> bool:
        """Whether one of these checks failed already."""
        return any(one.verdict is CheckVerdict.FAILED for one in self.found if one.name in names)
