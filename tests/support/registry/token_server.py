"""A token server of one test: it gives signed tokens of a short life to users and for refresh tokens."""

import base64
import datetime as dt
import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.support.registry.certificate_authority import Authority

SERVICE, ISSUER = "registry of a test", "realm of a test"
_LEEWAY = 60  # seconds for which distribution takes a token after its end


class Grant(NamedTuple):
    """One request for a token, and what it ended with."""

    method: str
    scopes: list[str]
    who: str  # a user, `refresh` or nobody
    status: int


class Realm:
    """Answers on `url`; a test may change users, refresh tokens and the life of tokens at any time."""

    def __init__(self, folder: Path, users: dict[str, str]) -> None:
        authority = Authority(folder)
        certificate, key = authority.issue("signer")
        self.bundle = authority.file
        self.users = users
        self.refresh_tokens: set[str] = set()
        self.lifetime = 300.0  # seconds
        self.announced: float | None = None  # what `expires_in` says, if not the truth
        self.denied: set[str] = set()  # repositories that nobody may use
        self.granted: list[Grant] = []
        self.url = ""
        loaded = serialization.load_pem_private_key(key.read_bytes(), None)
        assert isinstance(loaded, rsa.RSAPrivateKey)
        self._key = loaded
        der = x509.load_pem_x509_certificate(certificate.read_bytes()).public_bytes(serialization.Encoding.DER)
        self._chain = [base64.b64encode(der).decode()]

    def access(self) -> dict[str, object]:
        """The `auth` section of a registry that trusts this realm."""
        rule = {"realm": self.url, "service": SERVICE, "issuer": ISSUER, "rootcertbundle": str(self.bundle)}
        return {"token": rule}

    def grant(self, method: str, fields: dict[str, list[str]], authorization: str) -> tuple[int, dict[str, Any]]:
        """The answer to one request."""
        scopes = [scope for text in fields.get("scope", []) for scope in text.split()]
        who = self._who(method, fields, authorization)
        status = 401 if who is None else 200
        self.granted.append(Grant(method, scopes, who or "", status))
        if who is None:
            return 401, {"error": "invalid_grant"}
        life = self.lifetime if self.announced is None else self.announced
        token = self._token(who, scopes if who else [])
        issued = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return 200, {"token": token, "access_token": token, "expires_in": int(life), "issued_at": issued}

    def _who(self, method: str, fields: dict[str, list[str]], authorization: str) -> str | None:
        if method == "POST":
            known = fields.get("grant_type") == ["refresh_token"] and fields.get("service") == [SERVICE]
            return "refresh" if known and fields["refresh_token"][0] in self.refresh_tokens else None
        if not authorization:
            return ""
        user, _, password = base64.b64decode(authorization.removeprefix("Basic ")).decode().partition(":")
        return user if self.users.get(user) == password else None

    def _token(self, who: str, scopes: list[str]) -> str:
        now = int(time.time())
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":")
            if name not in self.denied:
                access.append({"type": kind, "name": name, "actions": actions.split(",")})
        # The registry adds a leeway to the end: what is to end in time is dated back by it.
        end = time.time() + self.lifetime - _LEEWAY
        claims = {"iss": ISSUER, "sub": who, "aud": SERVICE, "exp": int(end), "nbf": now - 600, "iat": now}
        head = {"alg": "RS256", "typ": "JWT", "x5c": self._chain}
        text = f"{_encoded(head)}.{_encoded({**claims, 'jti': uuid.uuid4().hex, 'access': access})}"
        signature = self._key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{text}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def _encoded(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


@contextmanager
def realm(folder: Path, users: dict[str, str]) -> Iterator[Realm]:
    """A token server on loopback."""
    made = Realm(folder, users)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(parse_qs(urlsplit(self.path).query))

        def do_POST(self) -> None:
            self._answer(parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode()))

        def _answer(self, fields: dict[str, list[str]]) -> None:
            status, content = made.grant(self.command, fields, self.headers.get("Authorization", ""))
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.url = f"http://127.0.0.1:{server.server_address[1]}/token"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield made
        finally:
            server.shutdown()
            thread.join()
