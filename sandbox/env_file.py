"""Files with the settings of a world: world.env, from which proverctl, the worker and the tests find the world."""

import os
from collections.abc import Mapping
from pathlib import Path

from sandbox.services.engine import engine_socket
from sandbox.services.registry import PROBE_IMAGE, credentials
from sandbox.settings import Settings


def environment(settings: Settings) -> dict[str, str]:
    """Return the product's settings, then WORLD_* for tests."""
    ports = settings.ports
    user, password = credentials(settings)
    return {
        "KUBECONFIG": f"{settings.pki}/admin.kubeconfig",
        "DOCKER_HOST": f"unix://{engine_socket(settings)}",
        "TEMPORAL_ADDRESS": f"127.0.0.1:{ports.temporal}",
        "TEMPORAL_NAMESPACE": "default",
        "IMAGE_HOST": f"127.0.0.1:{ports.registry}",
        "IMAGE_HOST_ALIAS": f"{settings.host}:{ports.registry}",
        "IMAGE_AUTH_USER": user,
        "IMAGE_AUTH_PASSWORD": password,
        "PROBE_IMAGE": f"{settings.host}:{ports.anonymous_registry}/{PROBE_IMAGE}",
        "COORDINATOR_EP": settings.host,
        "COORDINATOR_PORT": str(ports.coordinator),
        "PROVER_STATE_DIR": f"{settings.state}/prover",
        "EXAMPLE_DB_PORT": str(ports.database),
        "TEMPORAL_UI_ADDRESS": f"http://127.0.0.1:{ports.temporal_ui}",
        "WORLD_NAME": settings.name,
        "WORLD_STATE": str(settings.state),
        "WORLD_BIN": str(settings.bin),
        "WORLD_KUBECTL": f"{settings.bin}/kubectl",
        "WORLD_SUPERVISOR_CONF": f"{settings.state}/supervisord.conf",
        "WORLD_ANONYMOUS_REGISTRY": f"127.0.0.1:{ports.anonymous_registry}",
        "WORLD_ANONYMOUS_REGISTRY_ALIAS": f"{settings.host}:{ports.anonymous_registry}",
        "WORLD_TEMPORAL_UI": f"http://127.0.0.1:{ports.temporal_ui}",
    }


def write_env_file(settings: Settings) -> None:
    """Write world.env for its owner alone: it holds the registry's password."""
    write_settings(settings.env_file, environment(settings))


def write_settings(path: Path, values: Mapping[str, str]) -> None:
    """Write NAME=value lines to a file of mode 0600, replaced in one step; no value needs quoting."""
    text = "".join(f"{key}={value}\n" for key, value in values.items())
    unfinished = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
    unfinished.replace(path)
