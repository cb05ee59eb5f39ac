"""Reaching Temporal, or saying within seconds why not."""

import asyncio
import socket
from pathlib import Path

import pytest

from connection.client import connect
from connection.errors import TemporalUnreachable
from domain.errors import SettingsInvalid


def silent_port() -> socket.socket:
    """Accepts connections and never answers."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


async def test_nobody_there_is_named_with_the_setting() -> None:
    """The address and the remedy are in the error."""
    with pytest.raises(TemporalUnreachable) as raised:
        await connect({"TEMPORAL_ADDRESS": "127.0.0.1:1"})
    assert "TEMPORAL_ADDRESS=127.0.0.1:1" in str(raised.value)
    assert raised.value.diagnosis.evidence == "Connection refused"


async def test_a_silent_server_is_given_up_in_time() -> None:
    """A silent one would be waited for without end."""
    with silent_port() as listener, pytest.raises(TemporalUnreachable, match="no answer within 1 s"):
        await connect({"TEMPORAL_ADDRESS": f"127.0.0.1:{listener.getsockname()[1]}"}, timeout=1)


@pytest.mark.parametrize(
    "environ",
    [
        {"TEMPORAL_PROFILE": "nope"},
        {"TEMPORAL_TLS": "true", "TEMPORAL_TLS_CLIENT_CERT_PATH": "/does/not/exist"},
    ],
)
async def test_settings_that_cannot_be_read_are_invalid(environ: dict[str, str], tmp_path: Path) -> None:
    """Before anything is contacted."""
    file = tmp_path / "temporal.toml"
    file.write_text("")
    with pytest.raises(SettingsInvalid):
        await connect({**environ, "TEMPORAL_CONFIG_FILE": str(file)})


async def test_an_empty_value_means_unset() -> None:
    """As everywhere; the default address is tried."""
    with pytest.raises(TemporalUnreachable) as raised:
        async with asyncio.timeout(9):
            await connect({"TEMPORAL_ADDRESS": "127.0.0.1:1", "TEMPORAL_API_KEY": "", "TEMPORAL_TLS": ""}, timeout=3)
    assert "127.0.0.1:1" in str(raised.value)
