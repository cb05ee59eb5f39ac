"""Connections to a Docker Engine, whose failures all become Unavailable with code DOCKER_DOWN."""

import contextlib
import socket
from collections.abc import Iterator, Mapping

import docker
import requests
from docker.errors import APIError, DockerException

from domain.errors import Unavailable

DEFAULT_HOST = "unix:///var/run/docker.sock"
_TLS = ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")


@contextlib.contextmanager
def connected(environ: Mapping[str, str], seconds: float) -> Iterator[docker.DockerClient]:
    """Connect to the Engine of DOCKER_HOST, with TLS by DOCKER_TLS_VERIFY; `seconds` for each answer."""
    shown = environ.get("DOCKER_HOST") or DEFAULT_HOST
    named = {"DOCKER_HOST": shown} | {name: environ[name] for name in _TLS if name in environ}
    try:
        _probe(shown, seconds)
        client = docker.DockerClient.from_env(
            environment=named, timeout=int(seconds), version="auto", use_ssh_client=True
        )
        try:
            yield client
        finally:
            client.close()
    except (DockerException, requests.RequestException, ConnectionError, FileNotFoundError, TimeoutError) as error:
        raise _down(shown, error) from error


def _probe(shown: str, seconds: float) -> None:
    """Probe the address first, since the docker package leaks its socket when nothing listens."""
    if shown.startswith("unix://"):
        with socket.socket(socket.AF_UNIX) as knock:
            knock.settimeout(seconds)
            knock.connect(shown.removeprefix("unix://"))


def _down(shown: str, error: Exception) -> Unavailable:
    told = error.explanation if isinstance(error, APIError) else getattr(error, "strerror", "")
    said = told or str(error)
    return Unavailable(
        "Docker does not answer",
        on=f"DOCKER_HOST={shown}",
        evidence=str(said)[:200],
        do="start it (systemctl start docker, or make up), or set DOCKER_HOST on the worker",
        code="DOCKER_DOWN",
    )
