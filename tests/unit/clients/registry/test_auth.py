"""How a registry's challenge is answered, with a fake token realm."""

import datetime as dt
import json
from collections.abc import Mapping
from urllib.parse import parse_qs, urlsplit

import pytest

from clients.registry.auth import Authorizer, challenge
from clients.registry.transport import Response, insecure
from domain.errors import CredentialsRejected, Unavailable
from domain.ports import TOKEN_USER

_BEARER = 'Bearer realm="https://auth.example/token?a=1",service="reg",scope="repository:x/y:pull"'


_ISSUED = dt.datetime(2030, 1, 1, tzinfo=dt.UTC).timestamp()


class _Login:
    def __init__(self, user: str = "ann") -> None:
        self.user = user

    def reveal(self) -> str:
        return "canary"


class _Realm:
    """Answers every request alike, or by turns, and remembers them."""

    def __init__(self, status: int, *bodies: object) -> None:
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.forms: list[dict[str, list[str]]] = []
        self._answers = [Response(status, {}, json.dumps(body).encode()) for body in bodies]

    def __call__(self, url: str, headers: Mapping[str, str], form: bytes | None = None) -> Response:
        self.asked.append((url, headers))
        if form is not None:
            self.forms.append(parse_qs(form.decode()))
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def scopes(self) -> list[list[str]]:
        """The scopes of each request."""
        return [parse_qs(urlsplit(url).query).get("scope", []) for url, _ in self.asked]


class _Clock:
    def __init__(self) -> None:
        self.now = _ISSUED

    def __call__(self) -> float:
        return self.now


def _authorizer(login: _Login | None, clock: _Clock | None = None) -> Authorizer:
    return Authorizer(
        "reg.example", "x/y", login, plain_realm=False, settings="IMAGE_AUTH_USER", clock=clock or _Clock()
    )


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


def test_nothing_is_shown_before_it_is_asked_for() -> None:
    """The first request goes without; later ones as the registry asked."""
    authorizer, realm = _authorizer(_Login()), _Realm(200, {"token": "t"})
    assert authorizer.header(realm) == ""
    authorizer.answer(challenge(_BEARER), realm)
    assert (authorizer.header(realm), len(realm.asked)) == ("Bearer t", 1)


@pytest.mark.parametrize(
    ("body", "kept", "renewed"),
    [
        ({"expires_in": 300, "issued_at": "2030-01-01T00:00:00Z"}, 269, 271),
        ({"expires_in": 300}, 269, 271),
        ({"expires_in": 300, "issued_at": "2029-12-31T23:58:20.123456789Z"}, 170, 171),  # a token given out before
        ({"expires_in": 300, "issued_at": "2029-12-31T20:00:00Z"}, 269, 271),  # the realm's clock is behind
        ({"expires_in": 300, "issued_at": "2030-01-01T09:00:00Z"}, 269, 271),  # the realm's clock is ahead
        ({}, 44, 46),
        ({"expires_in": 0, "issued_at": "soon"}, 44, 46),
        ({"expires_in": "never"}, 44, 46),
        ({"expires_in": 8}, 5.9, 6.1),
    ],
)
def test_a_token_is_kept_until_shortly_before_its_end(body: dict[str, object], kept: float, renewed: float) -> None:
    """Its life counts from when it was issued; a realm that tells no life means a minute."""
    clock = _Clock()
    authorizer, realm = _authorizer(_Login(), clock), _Realm(200, {"token": "a", **body}, {"token": "b"})
    authorizer.answer(challenge(_BEARER), realm)
    clock.now = _ISSUED + kept
    assert authorizer.header(realm) == "Bearer a"
    clock.now = _ISSUED + renewed
    assert authorizer.header(realm) == "Bearer b"
    assert realm.scopes() == [["repository:x/y:pull"]] * 2


def test_a_refused_token_is_renewed_once() -> None:
    """A 401 in the middle gets another token, even when the one refused should still be good."""
    authorizer, realm = _authorizer(_Login()), _Realm(200, {"token": "a"}, {"token": "b"})
    first = authorizer.answer(challenge(_BEARER), realm)
    assert authorizer.answer(challenge(_BEARER), realm, refused=first) == "Bearer b"
    with pytest.raises(CredentialsRejected, match="answers 401 to these credentials"):
        authorizer.answer(challenge(_BEARER), realm, refused="Bearer b")


def test_a_token_that_another_thread_has_renewed_is_taken() -> None:
    """Of several requests with the same old token only one asks the realm."""
    authorizer, realm = _authorizer(_Login()), _Realm(200, {"token": "a"}, {"token": "b"}, {"token": "c"})
    first = authorizer.answer(challenge(_BEARER), realm)
    answers = [authorizer.answer(challenge(_BEARER), realm, refused=first) for _ in range(3)]
    assert answers == ["Bearer b"] * 3


def test_basic_is_refused_once() -> None:
    """There is no other password to try."""
    authorizer, realm = _authorizer(_Login()), _Realm(200, {})
    asked = challenge('Basic realm="r"')
    first = authorizer.answer(asked, realm)
    assert authorizer.header(realm) == first
    with pytest.raises(CredentialsRejected, match="answers 401"):
        authorizer.answer(asked, realm, refused=first)


def test_one_token_for_all_that_was_asked_for() -> None:
    """Who pulls and then pushes keeps both rights; each scope is a parameter of its own."""
    authorizer, realm = _authorizer(_Login()), _Realm(200, {"token": "a"}, {"token": "b"})
    first = authorizer.answer(challenge(_BEARER), realm)
    asked = challenge('Bearer realm="https://a.example/t",scope="repository:x/y:push repository:z:pull"')
    assert authorizer.answer(asked, realm, refused=first) == "Bearer b"
    assert realm.scopes()[1] == ["repository:x/y:pull,push", "repository:z:pull"]


def test_a_mount_asks_to_read_the_other_repository_as_well() -> None:
    """The token is asked for ahead of the request, and serves the next mount from there, too."""
    authorizer, realm = _authorizer(_Login()), _Realm(200, {"token": "a"}, {"token": "b"})
    authorizer.answer(challenge(_BEARER), realm)
    headers = [authorizer.header(realm, mount_from="old/y") for _ in range(2)]
    assert headers == ["Bearer b"] * 2
    assert realm.scopes() == [["repository:x/y:pull"], ["repository:x/y:pull", "repository:old/y:pull"]]


def test_a_realm_that_refuses_the_other_repository_gives_a_token_for_ours() -> None:
    """A mount is a shortcut: that it is not allowed must not end the push."""

    def realm(url: str, _: Mapping[str, str]) -> Response:
        return Response(403, {}) if "old" in url else Response(200, {}, b'{"token": "ours"}')

    authorizer = _authorizer(_Login())
    authorizer.answer(challenge(_BEARER), realm)
    assert authorizer.header(realm, mount_from="old/y") == "Bearer ours"
    both = challenge('Bearer realm="https://a.example/t",scope="repository:x/y:push repository:old/y:pull"')
    assert authorizer.answer(both, realm, mount_from="old/y") == "Bearer ours"


def test_an_identity_token_is_exchanged() -> None:
    """By a form, never in a URL; as of the OAuth 2 refresh flow."""
    realm = _Realm(200, {"access_token": "t"})
    assert _authorizer(_Login(TOKEN_USER)).answer(challenge(_BEARER), realm) == "Bearer t"
    assert realm.asked == [
        ("https://auth.example/token?a=1", {"Content-Type": "application/x-www-form-urlencoded"}),
    ]
    expected = {
        "grant_type": ["refresh_token"],
        "service": ["reg"],
        "client_id": ["proverctl"],
        "scope": ["repository:x/y:pull"],
        "refresh_token": ["canary"],
    }
    assert realm.forms == [expected]


@pytest.mark.parametrize(
    ("header", "status", "why"),
    [
        ('Basic realm="r"', 200, "an identity token is set"),
        (_BEARER, 401, "run `docker login reg.example` again"),
        (_BEARER, 400, "run `docker login reg.example` again"),
        (_BEARER, 405, "takes no identity tokens"),
    ],
)
def test_an_identity_token_that_is_no_use(header: str, status: int, why: str) -> None:
    """Each says why, and shows nothing of the token."""
    with pytest.raises(CredentialsRejected, match=why) as caught:
        _authorizer(_Login(TOKEN_USER)).answer(challenge(header), _Realm(status, {}))
    assert "canary" not in str(caught.value)


def test_parameters_without_quotes() -> None:
    """Some registries write them so."""
    asked = challenge('Bearer realm="https://a.example/t,x",service=reg, error=invalid_token')
    assert asked.parameters == {"realm": "https://a.example/t,x", "service": "reg", "error": "invalid_token"}


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


def test_a_busy_realm_says_when_to_come_back() -> None:
    """Retry-After is kept."""
    answer = Response(429, {"Retry-After": "7"})
    with pytest.raises(Unavailable, match=r"token realm of reg\.example answers 429") as caught:
        _authorizer(_Login()).answer(challenge(_BEARER), lambda *_: answer)
    assert caught.value.delay == 7.0


def test_a_realm_that_is_away_is_named() -> None:
    """Not the registry is down: its token realm is."""

    def realm(*_: object) -> Response:
        raise ConnectionRefusedError(111, "Connection refused")

    with pytest.raises(Unavailable, match=r"token realm of reg\.example does not answer.*Connection refused"):
        _authorizer(_Login()).answer(challenge(_BEARER), realm)


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
