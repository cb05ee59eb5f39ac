"""An admission webhook that answers 503 for a while, for each namespace anew, and then admits every pod."""

import base64
import contextlib
import json
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from bench.world.embedded import World
from sandbox.settings import Settings

LABEL = "bench-webhook"
"""Namespaces with it are asked about; they are named `<word>-<bad seconds>-…`."""


@contextlib.contextmanager
def bad_webhook(world: World, settings: Settings) -> Iterator[None]:
    """Serve it with the world's own certificate and tell the API server about it."""
    server = ThreadingHTTPServer((settings.host, 0), _Handler)
    server.daemon_threads = True
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trust.load_cert_chain(settings.pki / "serving.crt", settings.pki / "serving.key")
    server.socket = trust.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    configuration = _configuration(settings, server.server_port)
    world.kube("apply", "--server-side", "--filename=-", stdin=json.dumps(configuration).encode())
    try:
        yield
    finally:
        world.kube("delete", "validatingwebhookconfiguration", configuration["metadata"]["name"])
        server.shutdown()
        server.server_close()


def _configuration(settings: Settings, port: int) -> dict[str, Any]:
    authority = base64.b64encode((settings.pki / "ca.crt").read_bytes()).decode()
    hook = {
        "name": "bench.prover-world.local",
        "clientConfig": {"url": f"https://{settings.host}:{port}/", "caBundle": authority},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
        "namespaceSelector": {"matchExpressions": [{"key": LABEL, "operator": "Exists"}]},
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "timeoutSeconds": 5,
    }
    head = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration"}
    return head | {"metadata": {"name": f"bench-{port}"}, "webhooks": [hook]}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    first: ClassVar[dict[str, float]] = {}  # namespace → when it was asked about first

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        namespace = review["request"]["namespace"]
        seconds = float(namespace.split("-")[1])
        bad = time.monotonic() < self.first.setdefault(namespace, time.monotonic()) + seconds
        answer = review | {"response": {"uid": review["request"]["uid"], "allowed": True}}
        body = b"busy" if bad else json.dumps(answer).encode()
        self.send_response(503 if bad else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing: the figures are the output."""
