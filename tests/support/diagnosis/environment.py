"""What the plays of test_diagnosis need around them: images of the actor, a webhook that says no, a silent registry."""

import base64
import contextlib
import io
import json
import os
import socket
import ssl
import subprocess
import tarfile
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker

from clients.kubernetes.cluster import KubernetesCluster
from sandbox.go import go_command
from sandbox.kubernetes.api import Api
from sandbox.kubernetes.fleet import Fleet
from sandbox.settings import REPOSITORY, Settings
from tests.support.diagnosis.case import Scene

_ACTOR = REPOSITORY / "tests" / "support" / "images" / "failing_client"
_RUNTIME = "dx-broken"


@contextlib.contextmanager
def scene(world: dict[str, str], cluster: KubernetesCluster, place: Path) -> Iterator[Scene]:
    """All of it, gone afterwards."""
    settings = Settings.from_environment()
    api = Api(settings)
    with _webhook(settings) as url, _silence(settings) as silent, _runtime_class(api):
        yield Scene(
            world=world,
            cluster=cluster,
            api=api,
            fleet=lambda: Fleet(settings, "dx"),
            actor=_image(world, _build(settings, place, "amd64"), "actor"),
            alien=_image(world, _build(settings, place, "arm64"), "alien"),
            silent=silent,
            broken_runtime=_RUNTIME,
            webhook=url,
            authority=base64.b64encode((settings.pki / "ca.crt").read_bytes()).decode(),
        )
    api.close()


def _build(settings: Settings, place: Path, architecture: str) -> Path:
    target = place / architecture / "actor"
    command = [go_command(settings), "build", "-trimpath", "-ldflags=-s -w", "-o", str(target), "."]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOARCH": architecture}
    subprocess.run(command, cwd=_ACTOR, env=environment, check=True)
    return target


def _image(world: Mapping[str, str], binary: Path, name: str) -> str:
    """Push an image of just the binary to the anonymous registry; return its name as nodes pull it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("actor")
        entry.size, entry.mode = binary.stat().st_size, 0o755
        archive.addfile(entry, io.BytesIO(binary.read_bytes()))
    client = docker.DockerClient(base_url=world["DOCKER_HOST"])
    repository = f"{world['WORLD_ANONYMOUS_REGISTRY']}/dx-{name}"
    client.api.import_image_from_data(
        buffer.getvalue(), repository=repository, tag="1", changes=['ENTRYPOINT ["/actor"]', "USER 65535"]
    )
    for line in client.api.push(repository, tag="1", stream=True, decode=True):
        assert "error" not in line, line
    client.close()
    return f"{world['WORLD_ANONYMOUS_REGISTRY_ALIAS']}/dx-{name}:1"


@contextlib.contextmanager
def _webhook(settings: Settings) -> Iterator[str]:
    server = ThreadingHTTPServer((settings.host, 0), _No)
    server.daemon_threads = True
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(settings.pki / "serving.crt", settings.pki / "serving.key")
    server.socket = trust.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"https://{settings.host}:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


class _No(BaseHTTPRequestHandler):
    """Denies everything."""

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        response = {"uid": review["request"]["uid"], "allowed": False, "status": {"message": "not today"}}
        body = json.dumps(review | {"response": response}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@contextlib.contextmanager
def _silence(settings: Settings) -> Iterator[str]:
    """Open a port that takes connections and never answers."""
    with socket.create_server((settings.host, 0), backlog=16) as server:
        yield f"{settings.host}:{server.getsockname()[1]}"


@contextlib.contextmanager
def _runtime_class(api: Api) -> Iterator[None]:
    path = "/apis/node.k8s.io/v1/runtimeclasses"
    api.delete(f"{path}/{_RUNTIME}")
    body = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": _RUNTIME}, "handler": "nope"}
    api.post(path, body)
    try:
        yield
    finally:
        api.delete(f"{path}/{_RUNTIME}")
