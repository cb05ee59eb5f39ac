"""The registry's HTTP API (distribution v2) as far as images are looked up and manifests are put.

Blobs are sent by `clients.registry.blob_upload`.
"""

import hashlib
import http.client
import json
import ssl
from collections.abc import Mapping
from typing import NoReturn
from urllib.parse import urljoin, urlsplit

from clients.registry.auth import Authorizer, challenge
from clients.registry.connection_pool import ConnectionPool
from clients.registry.tls import explained
from clients.registry.transport import Payload, Response, Transport
from domain.errors import PermanentError, Unavailable
from domain.ports import Login

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_TYPES = (
    MANIFEST_TYPE,
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
ACCEPT = {"Accept": ", ".join(_TYPES)}
"""Header of a request for a manifest."""

_HUB = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}
_MAX_DELAY = 300.0
_OK, _CREATED = 200, 201
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_LARGE, _TOO_MANY, _SERVER_ERROR = 401, 403, 404, 413, 429, 500


class Registry:
    """Repository of a registry host."""

    def __init__(
        self,
        host: str,
        repository: str,
        login: Login | None,
        *,
        connections: ConnectionPool,
        insecure: bool = False,
        answer_seconds: float = 60.0,
        settings: str = "IMAGE_AUTH_USER and IMAGE_AUTH_PASSWORD",
    ) -> None:
        """`insecure`: as Docker, try TLS without verification and then plain HTTP; `answer_seconds` in seconds."""
        self.host = host
        self.repository = f"library/{repository}" if host in _HUB and "/" not in repository else repository
        self._connections = connections
        self._insecure = insecure
        self._answer_seconds = answer_seconds
        self._netloc = _HUB.get(host, host)
        self._authorizer = Authorizer(host, self.repository, login, plain_realm=insecure, settings=settings)
        self._transport: Transport | None = None

    def blob_size(self, digest: str) -> int | None:
        """Bytes of a blob of this repository, None when it is not there.

        One about which the registry stumbles (500) is as good as not there: a full disk leaves distribution an empty
        link, which it never mends, and which goes when the blob is sent again.
        """
        expected = (_OK, _NOT_FOUND, _SERVER_ERROR)
        answer = self.call("HEAD", f"/v2/{self.repository}/blobs/{digest}", expected=expected)
        return int(answer.headers.get("Content-Length", "0")) if answer.status == _OK else None

    def manifest_digest(self, reference: str) -> str | None:
        """Digest of the manifest under a tag or digest, None when there is none."""
        path = f"/v2/{self.repository}/manifests/{reference}"
        answer = self.call("HEAD", path, headers=ACCEPT, expected=(_OK, _NOT_FOUND))
        if answer.status == _OK and "Docker-Content-Digest" not in answer.headers:  # some tell it by the content alone
            answer = self.call("GET", path, headers=ACCEPT, expected=(_OK, _NOT_FOUND))
        if answer.status != _OK:
            return None
        return answer.headers.get("Docker-Content-Digest") or f"sha256:{hashlib.sha256(answer.body).hexdigest()}"

    def put_manifest(self, reference: str, manifest: bytes) -> None:
        """Put the manifest under a tag or digest; the registry refuses one whose blobs are missing."""
        payload = Payload(lambda: [manifest], len(manifest))
        path = f"/v2/{self.repository}/manifests/{reference}"
        self.call("PUT", path, headers={"Content-Type": MANIFEST_TYPE}, payload=payload, expected=(_CREATED, _OK))

    def call(
        self,
        method: str,
        target: str,
        *,
        expected: tuple[int, ...],
        headers: Mapping[str, str] | None = None,
        payload: Payload | None = None,
        seconds: float | None = None,
        what: str = "",
        mount_from: str = "",
    ) -> Response:
        """Send an authorized request; raise the domain error of an unexpected status.

        `mount_from` is another repository that the request reads.
        """
        try:
            answer = self._authorized(
                method, target, headers or {}, payload, seconds or self._answer_seconds, mount_from
            )
        except (OSError, http.client.HTTPException) as error:
            raise explained(self._netloc, error) or self._unreachable(error, what) from error
        if answer.status not in expected:
            self._refuse(method, answer, what)
        return answer

    def location(self, answer: Response) -> str:
        """Where to go on, as an absolute URL."""
        absolute = urljoin(f"{self._reached.scheme}://{self._netloc}/", answer.headers.get("Location", ""))
        if urlsplit(absolute).netloc == self._netloc:  # behind a TLS proxy some answer with http://
            absolute = urlsplit(absolute)._replace(scheme=self._reached.scheme).geturl()
        return absolute

    def _authorized(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        payload: Payload | None,
        seconds: float,
        mount_from: str,
    ) -> Response:
        known = self._authorizer.header(self._fetch, mount_from=mount_from)
        answer = self._attempt(method, target, headers, payload, seconds, known)
        if answer.status != _UNAUTHORIZED:
            return answer
        asked = challenge(answer.headers.get("WWW-Authenticate", ""))
        fresh = self._authorizer.answer(asked, self._fetch, refused=known, mount_from=mount_from)
        again = self._attempt(method, target, headers, payload, seconds, fresh)
        if again.status == _UNAUTHORIZED:
            raise self._authorizer.rejected("it answers 401 to these credentials")
        return again

    def _attempt(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        payload: Payload | None,
        seconds: float,
        authorization: str,
    ) -> Response:
        parts = urlsplit(target)
        transport = self._reached
        own = not parts.netloc or parts.netloc == self._netloc
        if not own:
            transport = Transport(parts.scheme, parts.netloc)
        path = parts._replace(scheme="", netloc="", fragment="").geturl()
        # Another host, as storage back ends are, must not see our credentials.
        shown = {"Authorization": authorization} if own and authorization else {}
        return transport.send(method, path, {**headers, **shown}, payload, self._connections, seconds)

    def _fetch(self, url: str, headers: Mapping[str, str], body: bytes | None = None) -> Response:
        parts = urlsplit(url)
        path = parts._replace(scheme="", netloc="", fragment="").geturl()
        transport = Transport(parts.scheme, parts.netloc, verify=not self._insecure)
        payload = None if body is None else Payload(lambda: [body], len(body))
        return transport.send("GET" if body is None else "POST", path, headers, payload, self._connections)

    @property
    def _reached(self) -> Transport:
        if self._transport is None:
            self._transport = self._reach()
        return self._transport

    def _reach(self) -> Transport:
        secure = Transport("https", self._netloc, verify=not self._insecure)
        if not self._insecure:
            return secure
        try:
            secure.send("GET", "/v2/", {}, None, self._connections)
        except (ssl.SSLError, ConnectionError, http.client.HTTPException):
            return Transport("http", self._netloc)
        return secure

    def _unreachable(self, error: Exception, what: str) -> Unavailable:
        return Unavailable(
            f"registry {self.host} does not answer" + (f" while it gets {what}" if what else ""),
            on=f"{self.host}/{self.repository}",
            evidence=f"{type(error).__name__}: {error}"[:200],
            do=f"check that {self.host} is up and reachable from the worker",
            code="REGISTRY_DOWN",
        )

    def _refuse(self, method: str, answer: Response, what: str) -> NoReturn:
        said = _complaint(answer)
        on = f"{self.host}/{self.repository}"
        if answer.status in {_UNAUTHORIZED, _FORBIDDEN}:
            raise self._authorizer.rejected(f"it answers {answer.status} {said}".rstrip())
        if answer.status == _TOO_MANY or answer.status >= _SERVER_ERROR:
            raise Unavailable(
                f"registry {self.host} answers {answer.status}" + (f" while it gets {what}" if what else ""),
                on=on,
                evidence=said,
                do="look at the registry's log, and whether its storage is full",
                code="REGISTRY_DOWN",
                delay=_delay(answer.headers.get("Retry-After", "")),
            )
        raise PermanentError(
            f"registry {self.host} refuses {method} of {what or 'the image'} with {answer.status}",
            on=on,
            evidence=said,
            do=_remedy(answer.status),
            code="REGISTRY_REFUSED",
        )


def _remedy(status: int) -> str:
    if status == _TOO_LARGE:
        return (
            "lift the limit on request bodies at the registry or at the proxy before it (nginx: client_max_body_size 0)"
        )
    return "check IMAGE_REPO, and that the registry allows pushing (read-only? project exists?)"


def _complaint(answer: Response) -> str:
    try:
        first = json.loads(answer.body)["errors"][0]
        text = f"{first.get('code', '')}: {first.get('message', '')}"
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        text = answer.body.decode(errors="replace")
    return "".join(char for char in text if char.isprintable())[:200]


def _delay(header: str) -> float | None:
    return min(float(header), _MAX_DELAY) if header.isdecimal() else None
