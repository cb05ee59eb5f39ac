"""Answers a registry's challenge: Basic, or a bearer token from the realm that it names, renewed before it ends."""

import base64
import datetime as dt
import http.client
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from clients.registry.tls import explained
from clients.registry.transport import Response
from domain.errors import CredentialsRejected, Unavailable
from domain.ports import TOKEN_USER, Login

_PARAMETER = re.compile(r'([A-Za-z_]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')
_OK, _TOO_MANY, _SERVER_ERROR = 200, 429, 500
_NO_POST = (404, 405)
_LIFETIME = 60.0  # seconds, of a token whose life the realm does not tell (the protocol's default)
_SLACK = 30.0  # seconds before its end in which a token is not used any more; at most a quarter of its life
_CLIENT = "proverctl"

Fetch = Callable[..., Response]
"""(url, headers) → GET of this absolute URL; (url, headers, body) → POST of a form to it."""


class Challenge(NamedTuple):
    """Challenge of a 401; `scheme` in lower case."""

    scheme: str
    parameters: dict[str, str]


class _Token(NamedTuple):
    value: str
    until: float  # seconds since the epoch
    scopes: dict[str, list[str]]


def challenge(header: str) -> Challenge:
    """Parse a WWW-Authenticate header."""
    scheme, _, rest = header.strip().partition(" ")
    found = {name.lower(): quoted or plain for name, quoted, plain in _PARAMETER.findall(rest)}
    return Challenge(scheme.lower(), found)


class Authorizer:
    """Makes Authorization headers for one repository on one host; threads may share it."""

    def __init__(
        self,
        host: str,
        repository: str,
        login: Login | None,
        *,
        plain_realm: bool,
        settings: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`plain_realm` allows a token realm without TLS; `settings` names what the user has to mend."""
        self._host = host
        self._repository = repository
        self._login = login
        self._plain_realm = plain_realm
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._asked: Challenge | None = None
        self._token: _Token | None = None

    def header(self, fetch: Fetch, *, mount_from: str = "") -> str:
        """Return the value for the next request; empty until the registry asks for one.

        Renews a token that is about to end. With `mount_from`, a repository, the token may also pull from there,
        if the realm lets us.
        """
        with self._lock:
            if self._asked is None:
                return ""
            if self._asked.scheme == "basic":
                return self._basic()
            return self._bearer(self._asked, {}, fetch, mount_from)

    def answer(self, asked: Challenge, fetch: Fetch, *, refused: str = "", mount_from: str = "") -> str:
        """Return the value after a 401 that `refused` got; CredentialsRejected when there is no other, Unavailable."""
        with self._lock:
            self._asked = asked
            if asked.scheme == "basic":
                found = self._basic()
            elif asked.scheme == "bearer":
                if self._token and f"Bearer {self._token.value}" == refused:
                    self._token = self._token._replace(until=0)
                found = self._bearer(asked, _scopes(asked.parameters.get("scope", "")), fetch, mount_from)
            else:
                self._asked = None
                raise self.rejected(f"it asks for the unknown scheme {asked.scheme or 'none'}")
            if refused and found == refused:
                raise self.rejected("it answers 401 to these credentials")
            return found

    def rejected(self, because: str) -> CredentialsRejected:
        """Return the error that names the host and the settings, never the password."""
        user = "without credentials"
        if self._login:
            user = "with an identity token" if self._login.user == TOKEN_USER else f"as user {self._login.user}"
        return CredentialsRejected(
            f"registry {self._host} refuses us {user}",
            on=f"{self._host}/{self._repository}",
            because=because,
            do=f"check {self._settings} on the worker, and that they may use {self._repository}",
        )

    def _basic(self) -> str:
        if self._login is None:
            raise self.rejected("it wants a user and a password, and none are set")
        if self._login.user == TOKEN_USER:
            raise self.rejected("it wants a user and a password, and an identity token is set")
        pair = f"{self._login.user}:{self._login.reveal()}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    def _bearer(self, asked: Challenge, wanted: dict[str, list[str]], fetch: Fetch, mount_from: str) -> str:
        kept = self._token
        if mount_from:  # the registry asks for it, too, and yet we can do without
            wanted.pop(f"repository:{mount_from}", None)
        needed = _merged(kept.scopes if kept else {}, wanted)
        more = _merged(needed, {f"repository:{mount_from}": ["pull"]}) if mount_from else needed
        if kept is None or kept.scopes != more or self._clock() >= kept.until:
            try:
                kept = self._fresh(asked.parameters, more, fetch)
            except CredentialsRejected:
                if more == needed:
                    raise
                # The other repository is not ours to read: the registry will say so, and nothing is mounted.
                kept = self._fresh(asked.parameters, needed, fetch)
            self._token = kept
        return f"Bearer {kept.value}"

    def _fresh(self, parameters: Mapping[str, str], scopes: dict[str, list[str]], fetch: Fetch) -> _Token:
        realm = parameters.get("realm", "")
        if urlsplit(realm).scheme != "https" and not self._plain_realm:
            raise self.rejected(f"its token realm {realm!r} has no TLS, so we keep the password")
        asked = scopes or {f"repository:{self._repository}": ["pull", "push"]}
        texts = [f"{resource}:{','.join(actions)}" for resource, actions in asked.items()]
        answer = self._fetched(realm, parameters.get("service", ""), texts, fetch)
        if answer.status == _TOO_MANY or answer.status >= _SERVER_ERROR:
            after = answer.headers.get("Retry-After", "")
            raise self._realm_down(realm, f"answers {answer.status}", float(after) if after.isdecimal() else None)
        if answer.status != _OK:
            raise self._realm_refuses(answer.status)
        try:
            body = json.loads(answer.body)
            value = str(body.get("token") or body["access_token"])
        except (ValueError, KeyError, AttributeError) as error:
            raise self._realm_down(realm, "answers no token") from error
        return _Token(value, self._end(body), asked)

    def _fetched(self, realm: str, service: str, scopes: list[str], fetch: Fetch) -> Response:
        try:
            if self._login and self._login.user == TOKEN_USER:
                form = {
                    "grant_type": "refresh_token",
                    "service": service,
                    "client_id": _CLIENT,
                    "scope": " ".join(scopes),
                    "refresh_token": self._login.reveal(),
                }
                headers = {"Content-Type": "application/x-www-form-urlencoded"}
                return fetch(realm, headers, urlencode(form).encode())
            query = [("service", service), *(("scope", scope) for scope in scopes)]
            joint = "&" if urlsplit(realm).query else "?"
            return fetch(f"{realm}{joint}{urlencode(query)}", {"Authorization": self._basic()} if self._login else {})
        except (OSError, http.client.HTTPException) as error:
            if trouble := explained(urlsplit(realm).netloc, error):
                raise trouble from error
            raise self._realm_down(realm, f"does not answer ({type(error).__name__}: {error})"[:200]) from error

    def _realm_refuses(self, status: int) -> CredentialsRejected:
        because = f"its token realm answers {status}"
        if self._login and self._login.user == TOKEN_USER:
            if status in _NO_POST:
                return self.rejected(f"{because}, so it takes no identity tokens")
            return self.rejected(f"{because}: the identity token has ended, run `docker login {self._host}` again")
        return self.rejected(because)

    def _realm_down(self, realm: str, what: str, delay: float | None = None) -> Unavailable:
        return Unavailable(
            f"the token realm of {self._host} {what}",
            on=realm,
            do=f"check that {urlsplit(realm).netloc} is up and reachable from the worker",
            code="REGISTRY_DOWN",
            delay=delay,
        )

    def _end(self, body: Mapping[str, Any]) -> float:
        """When the token is not to be used any more, by our clock."""
        try:
            life = float(body["expires_in"])
        except (KeyError, TypeError, ValueError):
            life = 0.0
        life = life if life > 0 else _LIFETIME
        now = self._clock()
        try:
            age = now - dt.datetime.fromisoformat(str(body["issued_at"])).timestamp()
        except (KeyError, ValueError):
            age = 0.0
        if not 0 <= age < life:
            age = 0.0  # clocks differ: no realm gives out a token that is over
        return now + life - age - min(_SLACK, life / 4)


def _scopes(text: str) -> dict[str, list[str]]:
    """Actions by resource, as in `repository:a/b:pull,push`."""
    found: dict[str, list[str]] = {}
    for scope in text.split():
        resource, _, actions = scope.rpartition(":")
        found = _merged(found, {resource: actions.split(",")})
    return found


def _merged(some: dict[str, list[str]], others: dict[str, list[str]]) -> dict[str, list[str]]:
    return {
        resource: list(dict.fromkeys([*some.get(resource, []), *others.get(resource, [])]))
        for resource in [*some, *(other for other in others if other not in some)]
    }
