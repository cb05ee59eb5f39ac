"""How a registry's challenge is answered, with a fake token realm."""

import json
from collections.abc import Mapping

import pytest

from clients.registry_auth import Authorizer, challenge
from clients.registry_connection import Answer, insecure
from domain.errors import CredentialsRejected, Unavailable

_BEARER = 'Bearer realm="https://auth.example/token?a=1",service="reg",scope="repository:x/y:pull"'


class _Login:
    user = "ann"

    def reveal(self) -> str:
        return "canary"


class _Realm:
    """Answers every request alike and remembers it."""

    def __init__(self, status: int, body: object) -> None:
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self._answer = Answer(status, {}, json.dumps(body).encode())

    def __call__(self, url: str, headers: Mapping[str, str]) -> Answer:
        self.asked.append((url, headers))
        return self._answer


def _authorizer(login: _Login | None) -> Authorizer:
    return Authorizer("reg.example", "x/y", login, plain_realm=False, settings="IMAGE_AUTH_USER")


def test_basic() -> None:
    """User and password in base64."""
    header = _authorizer(_Login()).answer(challenge('Basic realm="r"'), _Realm(200, {}))
    assert header == "Basic YW5uOmNhbmFyeQ=="


def test_bearer_asks_the_realm() -> None:
    """The token comes from the realm, for the scope that was asked for, with our credentials."""
    realm = _Realm(200, {"token": "t"})
    assert _authorizer(_Login()).answer(challenge(_BEARER), realm) == "Bearer t"
    assert realm.asked == [
        (
            "https://auth.example/token?a=1&service=reg&scope=repository%3Ax%2Fy%3Apull",
            {"Authorization": "Basic YW5uOmNhbmFyeQ=="},
        )
    ]


def test_an_anonymous_token() -> None:
    """Without credentials the realm is asked without any."""
    realm = _Realm(200, {"access_token": "t"})
    assert _authorizer(None).answer(challenge(_BEARER), realm) == "Bearer t"
    assert realm.asked[0][1] == {}


@pytest.mark.parametrize(
    ("login", "header", "status", "why"),
    [
        (None, 'Basic realm="r"', 200, "none are set"),
        (_Login(), _BEARER, 401, "token realm answers 401"),
        (_Login(), 'Bearer realm="http://auth.example/"', 200, "no TLS"),
        (_Login(), "Negotiate", 200, "unknown scheme"),
        (_Login(), "", 200, "unknown scheme"),
    ],
)
def test_refusals_name_host_and_setting_but_no_password(
    login: _Login | None, header: str, status: int, why: str
) -> None:
    """Each says why, where, and which setting to mend."""
    with pytest.raises(CredentialsRejected, match=why) as caught:
        _authorizer(login).answer(challenge(header), _Realm(status, {"token": "t"}))
    said = str(caught.value)
    assert ("reg.example" in said, "IMAGE_AUTH_USER" in said, "canary" in said) == (True, True, False)


@pytest.mark.parametrize(("status", "body"), [(503, {}), (200, {}), (200, [])])
def test_a_broken_realm_is_transient(status: int, body: object) -> None:
    """A realm that fails or answers no token is tried again."""
    with pytest.raises(Unavailable):
        _authorizer(_Login()).answer(challenge(_BEARER), _Realm(status, body))


@pytest.mark.parametrize(
    ("netloc", "expected"),
    [
        ("127.0.0.1:5000", True),
        ("localhost", True),
        ("[::1]:5000", True),
        ("10.201.0.1:5000", True),
        ("10.202.0.1:5000", False),
        ("mine.example:5000", True),
        ("docker.invalid", False),
    ],
)
def test_where_plain_http_is_allowed(netloc: str, expected: bool) -> None:
    """Docker's rule: loopback, and what the Engine lists by range or name."""
    assert insecure(netloc, ["10.201.0.0/24", "mine.example:5000"]) == expected
