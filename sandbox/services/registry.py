"""Two image registries: one that wants credentials, one that wants none and holds what the world itself needs."""

import os
import secrets
from pathlib import Path

import bcrypt
import yaml

from sandbox.host.readiness import http_answers
from sandbox.services.program import Program
from sandbox.settings import Settings

PROBE_IMAGE = "probe:1"
"""In the anonymous registry: tells from a node whether an address can be reached."""

_USER = "prover"


def registries(settings: Settings) -> list[Program]:
    """Both registries; each listens on all addresses, to be pushed to by one name and pulled from by another."""
    return [
        _registry(settings, "registry", settings.ports.registry, 401),
        _registry(settings, "registry-anonymous", settings.ports.anonymous_registry, 200),
    ]


def credentials(settings: Settings) -> tuple[str, str]:
    """User and password of the registry that wants them."""
    return _USER, (settings.state / "registry.password").read_text()


def write_registry_configuration(settings: Settings) -> None:
    """Write both configurations; make the password when there is none yet."""
    password = settings.state / "registry.password"
    htpasswd = settings.state / "registry.htpasswd"
    if not htpasswd.exists():
        secret = secrets.token_urlsafe(18)
        _write_private(password, secret)
        _write_private(htpasswd, f"{_USER}:{bcrypt.hashpw(secret.encode(), bcrypt.gensalt(6)).decode()}\n")
    access = {"htpasswd": {"realm": f"prover-world {settings.name}", "path": str(htpasswd)}}
    _write_configuration(settings, "registry", settings.ports.registry, {"auth": access})
    _write_configuration(settings, "registry-anonymous", settings.ports.anonymous_registry, {})


def _registry(settings: Settings, name: str, port: int, status: int) -> Program:
    return Program(
        name=name,
        wave=1,
        command=("docker-registry", "serve", f"{settings.state}/{name}.yml"),
        environment={"OTEL_TRACES_EXPORTER": "none"},
        ready=http_answers(f"http://127.0.0.1:{port}/v2/", statuses=(status,)),
        listens=(("0.0.0.0", port),),  # noqa: S104 - the firewall keeps the neighbours out
    )


def _write_configuration(settings: Settings, name: str, port: int, more: dict[str, object]) -> None:
    configuration = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": f"{settings.state}/{name}"},
            "delete": {"enabled": True},
        },
        "http": {"addr": f":{port}", "secret": name},
        **more,
    }
    (settings.state / f"{name}.yml").write_text(yaml.safe_dump(configuration))


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
