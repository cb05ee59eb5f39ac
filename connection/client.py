"""The one way to reach Temporal, for worker and starter alike."""

import asyncio
import re
from collections.abc import Mapping
from typing import Any

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.envconfig import ClientConfigProfile
from temporalio.service import RPCError

from connection.errors import TemporalUnreachable
from domain.errors import SettingsInvalid

DEFAULT_ADDRESS = "localhost:7233"


async def connect(
    environ: Mapping[str, str],
    *,
    identity: str = "",
    timeout: float = 8.0,  # noqa: ASYNC109 - the library's own connect has none, and hangs on a silent address
) -> Client:
    """Connect by TEMPORAL_ADDRESS, _NAMESPACE, _API_KEY, _TLS…, or a profile of Temporal's own file.

    `timeout` in seconds; TemporalUnreachable after it, SettingsInvalid when the settings make no sense.
    """
    config = _config(environ)
    address = config.setdefault("target_host", DEFAULT_ADDRESS)
    try:
        async with asyncio.timeout(timeout):
            return await Client.connect(
                **config, identity=identity or None, data_converter=pydantic_data_converter, lazy=False
            )
    except TimeoutError:
        raise _unreachable(address, f"no answer within {timeout:g} s") from None
    except (RuntimeError, RPCError, OSError) as error:
        raise _unreachable(address, _reason(str(error))) from error
    except ValueError as error:
        raise SettingsInvalid([f"TEMPORAL_ADDRESS={address}: {error}. Give host:port."]) from error


def _config(environ: Mapping[str, str]) -> dict[str, Any]:
    given = {name: value for name, value in environ.items() if value}  # an empty value means unset
    try:
        profile = ClientConfigProfile.load(override_env_vars=given)
        return dict(profile.to_client_connect_config())
    except Exception as error:  # the library's ConfigError is private
        raise SettingsInvalid([f"Temporal's settings (TEMPORAL_…) cannot be read: {error}. Correct them."]) from error


def _reason(message: str) -> str:
    """Return the system's message out of the library's nested debug text, e.g. `Connection refused`."""
    told = re.findall(r'(?:message|error): "([^"]+)"', message)
    return str(told[-1]) if told else message[:500]


def _unreachable(address: str, evidence: str) -> TemporalUnreachable:
    return TemporalUnreachable(
        "Temporal does not answer",
        on=f"TEMPORAL_ADDRESS={address}",
        evidence=evidence,
        do="start it (`make up`, `docker compose up -d`), or correct TEMPORAL_ADDRESS, TEMPORAL_TLS, TEMPORAL_API_KEY",
    )
