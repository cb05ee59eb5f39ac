"""Answers a registry's challenge: Basic, or a bearer token from the realm that it names."""

import base64
import json
import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from clients.registry_connection import Answer
from domain.errors import CredentialsRejected, Unavailable
from domain.ports import Login

_PARAMETER = re.compile(r'([A-Za-z_]+)="((?:[^"\\]|\\.)*)"')
_OK, _SERVER_ERROR = 200, 500

Fetch = Callable[[str, Mapping[str, str]], Answer]  # GET this absolute URL with these headers


class Challenge(NamedTuple):
    """What a 401 asks for; `scheme` in lower case."""

    scheme: str
    parameters: dict[str, str]


def challenge(header: str) -> Challenge:
    """Parse a WWW-Authenticate header."""
    scheme, _, rest = header.strip().partition(" ")
    return Challenge(scheme.lower(), {name.lower(): value for name, value in _PARAMETER.findall(rest)})


class Authorizer:
    """Makes Authorization headers for one repository on one host."""

    def __init__(self, host: str, repository: str, login: Login | None, *, plain_realm: bool, settings: str) -> None:
        """`plain_realm` allows a token realm without TLS; `settings` names what the user has to mend."""
        self._host = host
        self._repository = repository
        self._login = login
        self._plain_realm = plain_realm
        self._settings = settings

    def answer(self, asked: Challenge, fetch: Fetch) -> str:
        """The header's value; CredentialsRejected when we have none or the realm refuses them."""
        if asked.scheme == "basic":
            return self._basic()
        if asked.scheme == "bearer":
            return f"Bearer {self._token(asked.parameters, fetch)}"
        raise self.rejected(f"it asks for the unknown scheme {asked.scheme or 'none'}")

    def rejected(self, because: str) -> CredentialsRejected:
        """The error that names the host and the settings, never the password."""
        user = f"as user {self._login.user}" if self._login else "without credentials"
        return CredentialsRejected(
            f"registry {self._host} refuses us {user}",
            on=f"{self._host}/{self._repository}",
            because=because,
            do=f"check {self._settings} on the worker, and that they may use {self._repository}",
        )

    def _basic(self) -> str:
        if self._login is None:
            raise self.rejected("it wants a user and a password, and none are set")
        pair = f"{self._login.user}:{self._login.reveal()}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    def _token(self, parameters: Mapping[str, str], fetch: Fetch) -> str:
        realm = parameters.get("realm", "")
        if urlsplit(realm).scheme != "https" and not self._plain_realm:
            raise self.rejected(f"its token realm {realm!r} has no TLS, so we keep the password")
        query = {"service": parameters.get("service", ""), "scope": self._scope(parameters)}
        joint = "&" if urlsplit(realm).query else "?"
        headers = {"Authorization": self._basic()} if self._login else {}
        answer = fetch(f"{realm}{joint}{urlencode(query)}", headers)
        if answer.status >= _SERVER_ERROR:
            raise Unavailable(
                f"the token realm of {self._host} answers {answer.status}", on=realm, code="REGISTRY_DOWN"
            )
        if answer.status != _OK:
            raise self.rejected(f"its token realm answers {answer.status}")
        try:
            body = json.loads(answer.body)
            return str(body.get("token") or body["access_token"])
        except (ValueError, KeyError, AttributeError) as error:
            raise Unavailable(
                f"the token realm of {self._host} answers no token", on=realm, code="REGISTRY_DOWN"
            ) from error

    def _scope(self, parameters: Mapping[str, str]) -> str:
        return parameters.get("scope") or f"repository:{self._repository}:pull,push"
