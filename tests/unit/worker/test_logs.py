"""The worker's log is one JSON object a line, that of the SDK's native core too."""

import logging
from typing import Any

import pytest
from temporalio.runtime import TelemetryConfig

from worker import logs, main


class Runtimes:
    """In place of temporalio's Runtime: remembers how the default one was made."""

    made: list["Runtimes"]

    def __init__(self, telemetry: TelemetryConfig) -> None:
        """Made, and not yet the default."""
        self.telemetry = telemetry

    @classmethod
    def set_default(cls, runtime: "Runtimes", **_: Any) -> None:
        """The one that connections use from now on."""
        cls.made.append(runtime)


async def test_the_core_logs_through_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """From before the first connection on: by itself it would write coloured lines to stdout."""
    Runtimes.made = []
    monkeypatch.setattr(logs, "Runtime", Runtimes)
    monkeypatch.setattr(logs, "to_stderr", lambda: None)

    async def connect(*_: object, **__: object) -> None:
        assert len(Runtimes.made) == 1
        raise ConnectionError

    monkeypatch.setattr(main, "connect", connect)
    with pytest.raises(ConnectionError):
        await main.run({})
    config = Runtimes.made[0].telemetry.logging
    assert config is not None
    assert config.forwarding is not None
    assert config.forwarding.logger is logging.getLogger("temporalio.core")
