"""The registry's HTTP API (distribution v2) as far as an image is pushed and looked up.

Layers travel uncompressed and straight from disk: `docker push` gzips on one thread, which for 512 MiB of keys took
27.6 s where this takes 3 s (measured, 2 cores, local registry).
"""

import http.client
import json
import ssl
from collections.abc import Callable, Mapping
from typing import NamedTuple, NoReturn, Protocol
from urllib.parse import urlencode, urljoin, urlsplit

from clients.registry_auth import Authorizer, challenge
from clients.registry_connection import Aborted, Answer, Breaker, Payload, Transport
from domain.errors import PermanentError, Unavailable
from domain.ports import Login

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_ACCEPTED = f"{MANIFEST_TYPE}, application/vnd.docker.distribution.manifest.v2+json"
_HUB = {"docker.io": "registry-1.docker.io", "index.docker.io": "registry-1.docker.io"}
_COMMIT_SECONDS = 600.0  # a registry may read the whole blob again before it accepts the digest
_CANCEL_SECONDS = 3.0
_MAX_DELAY = 300.0
_OK, _CREATED, _ACCEPTED_STATUS, _NO_CONTENT = 200, 201, 202, 204
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY, _SERVER_ERROR = 401, 403, 404, 429, 500


class Journal(Protocol):
    """Remembers uploads under way, so that those of a killed worker can be ended."""

    def opened(self, location: str) -> None:
        """An upload has begun at this URL."""
        ...

    def closed(self, location: str) -> None:
        """It is over."""
        ...


def _nothing() -> None:
    return


class Blob(NamedTuple):
    """Content to upload; its digest was computed from the very files that `payload` reads again."""

    digest: str
    payload: Payload
    title: str
    check: Callable[[], None] = _nothing  # raises when the payload was ended early or is not what was announced


class Registry:
    """One repository of one registry host."""

    def __init__(
        self,
        host: str,
        repository: str,
        login: Login | None,
        *,
        breaker: Breaker,
        insecure: bool = False,
        patience: float = 60.0,
        settings: str = "IMAGE_AUTH_USER and IMAGE_AUTH_PASSWORD",
    ) -> None:
        """`insecure`: as Docker, try TLS without verification and then plain HTTP; `patience` in seconds."""
        self.host = host
        self.repository = f"library/{repository}" if host in _HUB and "/" not in repository else repository
        self._breaker = breaker
        self._insecure = insecure
        self._patience = patience
        self._netloc = _HUB.get(host, host)
        self._authorizer = Authorizer(host, self.repository, login, plain_realm=insecure, settings=settings)
        self._authorization = ""
        self._transport: Transport | None = None

    def blob_size(self, digest: str) -> int | None:
        """Bytes of a blob of this repository, None when it is not there."""
        answer = self.call("HEAD", f"/v2/{self.repository}/blobs/{digest}", expected=(_OK, _NOT_FOUND))
        return int(answer.headers.get("Content-Length", "0")) if answer.status == _OK else None

    def manifest_digest(self, reference: str) -> str | None:
        """Digest of the manifest under a tag or digest, None when there is none."""
        path = f"/v2/{self.repository}/manifests/{reference}"
        answer = self.call("HEAD", path, headers={"Accept": _ACCEPTED}, expected=(_OK, _NOT_FOUND))
        return answer.headers.get("Docker-Content-Digest", "") if answer.status == _OK else None

    def put_manifest(self, tag: str, manifest: bytes) -> None:
        """Put the manifest under the tag; the registry refuses one whose blobs are missing."""
        payload = Payload(lambda: [manifest], len(manifest))
        path = f"/v2/{self.repository}/manifests/{tag}"
        self.call("PUT", path, headers={"Content-Type": MANIFEST_TYPE}, payload=payload, expected=(_CREATED, _OK))

    def upload(self, blob: Blob, journal: Journal) -> None:
        """Send a blob; whatever ends it early also ends the upload on the registry's side, if that still answers."""
        path = f"/v2/{self.repository}/blobs/uploads/"
        began = self._location(self.call("POST", path, expected=(_ACCEPTED_STATUS,)))
        journal.opened(began)
        location = began
        try:
            octets = {"Content-Type": "application/octet-stream"}
            expected = (_ACCEPTED_STATUS, _NO_CONTENT)
            sent = self.call("PATCH", began, headers=octets, payload=blob.payload, expected=expected, what=blob.title)
            location = self._location(sent)
            blob.check()
            joint = "&" if urlsplit(location).query else "?"
            commit = f"{location}{joint}{urlencode({'digest': blob.digest})}"
            self.call("PUT", commit, expected=(_CREATED, _NO_CONTENT), seconds=_COMMIT_SECONDS, what=blob.title)
        except BaseException:
            if self.cancel(location):
                journal.closed(began)
            raise
        journal.closed(began)

    def try_push(self) -> bool:
        """Begin an upload and end it: CredentialsRejected unless we may push; False when it would not be ended."""
        began = self.call("POST", f"/v2/{self.repository}/blobs/uploads/", expected=(_ACCEPTED_STATUS,))
        return self.cancel(self._location(began))

    def cancel(self, location: str) -> bool:
        """End an upload; False when the registry does not say that it is gone."""
        gone = (_NO_CONTENT, _NOT_FOUND)
        try:
            if self._attempt("DELETE", location, {}, None, Breaker(), _CANCEL_SECONDS).status in gone:
                return True
            # The registry refuses a location whose offset has moved on: ask for the present one.
            present = self._attempt("GET", location, {}, None, Breaker(), _CANCEL_SECONDS)
            if present.status == _NOT_FOUND:
                return True
            last = self._attempt("DELETE", self._location(present), {}, None, Breaker(), _CANCEL_SECONDS)
        except (OSError, http.client.HTTPException, PermanentError, Unavailable):
            return False
        return last.status in gone

    def _location(self, answer: Answer) -> str:
        location = answer.headers.get("Location", "")
        absolute = urljoin(f"{self._reached.scheme}://{self._netloc}/", location)
        if urlsplit(absolute).netloc == self._netloc:  # behind a TLS proxy some answer with http://
            absolute = urlsplit(absolute)._replace(scheme=self._reached.scheme).geturl()
        return absolute

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
    ) -> Answer:
        """One request, authorized; another status than expected is raised as what it means for people."""
        try:
            answer = self._authorized(method, target, headers or {}, payload, seconds or self._patience)
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error, what) from error
        if answer.status not in expected:
            self._refuse(method, answer, what)
        return answer

    def _authorized(
        self, method: str, target: str, headers: Mapping[str, str], payload: Payload | None, seconds: float
    ) -> Answer:
        answer = self._attempt(method, target, headers, payload, self._breaker, seconds)
        if answer.status != _UNAUTHORIZED:
            return answer
        asked = challenge(answer.headers.get("WWW-Authenticate", ""))
        before, self._authorization = self._authorization, self._authorizer.answer(asked, self._fetch)
        if before == self._authorization:
            raise self._authorizer.rejected("it answers 401 to these credentials")
        again = self._attempt(method, target, headers, payload, self._breaker, seconds)
        if again.status == _UNAUTHORIZED:
            raise self._authorizer.rejected("it answers 401 to these credentials")
        return again

    def _attempt(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        payload: Payload | None,
        breaker: Breaker,
        seconds: float,
    ) -> Answer:
        parts = urlsplit(target)
        transport = self._reached
        own = not parts.netloc or parts.netloc == self._netloc
        if not own:
            transport = Transport(parts.scheme, parts.netloc)
        path = parts._replace(scheme="", netloc="", fragment="").geturl()
        # Another host, as storage back ends are, must not see our credentials.
        authorization = {"Authorization": self._authorization} if own and self._authorization else {}
        return transport.send(method, path, {**headers, **authorization}, payload, breaker, seconds)

    def _fetch(self, url: str, headers: Mapping[str, str]) -> Answer:
        parts = urlsplit(url)
        path = parts._replace(scheme="", netloc="", fragment="").geturl()
        transport = Transport(parts.scheme, parts.netloc, verify=not self._insecure)
        return transport.send("GET", path, headers, None, self._breaker)

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
            secure.send("GET", "/v2/", {}, None, self._breaker)
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

    def _refuse(self, method: str, answer: Answer, what: str) -> NoReturn:
        said = _complaint(answer)
        on = f"{self.host}/{self.repository}"
        if answer.status in {_UNAUTHORIZED, _FORBIDDEN}:
            raise self._authorizer.rejected(f"it answers {answer.status} {said}".rstrip())
        if answer.status == _TOO_MANY or answer.status >= _SERVER_ERROR:
            raise Unavailable(
                f"registry {self.host} answers {answer.status}",
                on=on,
                evidence=said,
                do="look at the registry's log",
                code="REGISTRY_DOWN",
                delay=_delay(answer.headers.get("Retry-After", "")),
            )
        raise PermanentError(
            f"registry {self.host} refuses {method} of {what or 'the image'} with {answer.status}",
            on=on,
            evidence=said,
            do="check IMAGE_REPO, and that the registry allows pushing (read-only? size limit? project exists?)",
            code="REGISTRY_REFUSED",
        )


def _complaint(answer: Answer) -> str:
    try:
        first = json.loads(answer.body)["errors"][0]
        text = f"{first.get('code', '')}: {first.get('message', '')}"
    except (ValueError, KeyError, IndexError, TypeError, AttributeError):
        text = answer.body.decode(errors="replace")
    return "".join(char for char in text if char.isprintable())[:200]


def _delay(header: str) -> float | None:
    return min(float(header), _MAX_DELAY) if header.isdecimal() else None


__all__ = ["MANIFEST_TYPE", "Aborted", "Blob", "Journal", "Registry"]
