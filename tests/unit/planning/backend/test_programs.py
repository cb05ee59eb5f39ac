"""Of which steps programs are looked for."""

import pytest

from domain.messages.backend import ProgramSearch
from domain.profile import Profile, Step
from planning.backend.programs import searched

_PROFILE = Profile(
    name="b",
    steps=[
        Step(name="sources", command=["git"]),
        Step(name="keys", command=["snarkit2"], outputs=["key"], needs=["sources"]),
        Step(name="contracts", command=["yarn"], inputs=["key"], needs=["keys"]),
        Step(name="server", process=["cargo"], needs=["contracts"]),
        Step(name="ticker", process=["npx"], simulated=True),
        Step(name="explorer", process=["mix"], optional=True),
        Step(name="other", command=["x"]),
    ],
)
_ALL = ["sources", "keys", "contracts", "server"]


@pytest.mark.parametrize(
    ("search", "settled", "expected"),
    [
        (ProgramSearch(), [], _ALL),
        (ProgramSearch(simulated=True), [], [*_ALL, "ticker"]),
        (ProgramSearch(), ["keys", "contracts"], ["sources", "server"]),
        (ProgramSearch(), ["contracts", "server"], _ALL),
        (ProgramSearch(), ["keys", "contracts", "server"], ["sources"]),
        (ProgramSearch(again=["keys"]), ["keys", "contracts", "server"], _ALL),
        (ProgramSearch(again=["server"]), ["keys", "contracts", "server"], ["sources", "server"]),
        (ProgramSearch(every=True), ["keys"], _ALL),
    ],
)
def test_only_those_that_will_run(search: ProgramSearch, settled: list[str], expected: list[str]) -> None:
    """Not those that are done, left out or optional; what needs a step that makes something may run with it."""
    assert searched(_PROFILE, search, ["other"], settled) == expected
