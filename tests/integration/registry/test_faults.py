"""A push to a registry that refuses, breaks, hangs, dies or is full: said clearly, and after healing nothing twice."""

import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clients.image.images import PushedImages
from clients.registry import upload_supervisor
from domain.errors import CredentialsRejected, PermanentError, ProverError, Unavailable
from domain.messages.image import Image, ImageRequest
from domain.messages.source import Source
from tests.support.images import inputs
from tests.support.images.inputs import KEY_SIZE, MEBI, REPOSITORY, TAG, OneLogin, quiet
from tests.support.registry.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.support.registry.server import KINDS, PASSWORD, USER, RegistryRoom, registry_room, until
from tests.support.registry.token_server import Realm, realm

_HALF = KEY_SIZE // 2
_START, _BODY, _END = "POST .*/uploads/", "PATCH .*/uploads/", "PUT .*/uploads/.*digest="
_PAGE = b"<html>\x1b[31m502 Bad Gateway\x1b[0m</html>"


class Push:
    """One image on its way through a proxy into a registry."""

    def __init__(self, room: RegistryRoom, proxy: FaultProxy, request: ImageRequest, world: dict[str, str]) -> None:
        self.room = room
        self.proxy = proxy
        self.request = request
        self.secrets = OneLogin()
        self._world = world
        self._state = room.storage.parent / "state"

    def run(self, beat: Callable[..., None] = quiet) -> Image:
        """As the activity does it."""
        return PushedImages(self._world["DOCKER_HOST"], self.secrets, self._state).ensure(self.request, beat)

    def fails(self, kind: type[ProverError], *words: str) -> ProverError:
        """It fails so, in words that name host and repository, hide the password, and leave no tag."""
        with pytest.raises(kind) as caught:
            self.run()
        said = str(caught.value)
        assert [word for word in (self.proxy.host, REPOSITORY, *words) if not re.search(word, said)] == []
        assert caught.value.diagnosis.do
        assert PASSWORD not in said
        assert said.isprintable()
        assert self.room.dangling() == []
        assert self.room.tags() == []
        return caught.value

    def heals(self) -> int:
        """Without faults it succeeds and sends nothing again that is finished; bytes that it sent."""
        broken = self.broken()
        self.proxy.heal()
        finished = self.room.blobs()
        self.proxy.forget()
        self.run()
        lacked = sum(size for digest, size in self.room.blobs().items() if digest not in finished)
        assert self.proxy.sent() <= lacked
        sent = self.proxy.sent()
        self.sound(broken)
        return sent

    def broken(self) -> int:
        """Bodies that did not end, or whose answer was lost: 2.8 can neither resume nor end their uploads.

        It removes them itself after a week (`uploadpurging`). Distribution 3 has no such trouble.
        """
        ended = re.compile(_BODY)
        return sum(ended.search(one.line) is not None and one.status != 202 for one in self.proxy.seen)

    def sound(self, broken: int = 0) -> None:
        """The tag names a whole image; neither uploads nor files are left; the next run asks and sends nothing."""
        assert (self.room.tags().count(TAG), self.room.dangling()) == (1, [])
        assert len(self.room.uploads()) <= (broken if self.room.kind == KINDS[0] else 0)
        left = [path.name for path in self._state.rglob("*") if path.is_file()]
        assert [name for name in left if not name.endswith((".lock", ".json"))] == []
        self.proxy.forget()
        assert not self.run().built
        assert self.proxy.sent() == 0


@pytest.fixture(scope="module")
def base(world: dict[str, str]) -> Iterator[str]:
    """One base image for all."""
    with inputs.base_image(world) as name:
        yield name


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One circuit for all."""
    return inputs.circuit(tmp_path_factory.mktemp("repo"))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Both kinds of registry."""
    return str(request.param)


@pytest.fixture
def push(kind: str, world: dict[str, str], tmp_path: Path, base: str, repo: Path) -> Iterator[Push]:
    """A registry with a user and a password behind a proxy."""
    with registry_room(tmp_path / "registry", kind) as room, fault_proxy(room.host) as proxy:
        yield Push(room, proxy, inputs.request(repo, base, proxy.host), world)


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[Realm]:
    """A token server."""
    with realm(tmp_path / "realm", {USER: PASSWORD}) as found:
        yield found


@pytest.fixture
def token_push(
    kind: str, world: dict[str, str], tmp_path: Path, base: str, repo: Path, tokens: Realm
) -> Iterator[Push]:
    """A registry that takes tokens behind a proxy."""
    with (
        registry_room(tmp_path / "registry", kind, auth=tokens.access()) as room,
        fault_proxy(room.host) as proxy,
    ):
        yield Push(room, proxy, inputs.request(repo, base, proxy.host), world)


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (Fault(_START, status=403), CredentialsRejected, ["403", "IMAGE_AUTH_USER and IMAGE_AUTH_PASSWORD"]),
        (Fault(_END, status=403), CredentialsRejected, ["403", "IMAGE_AUTH_USER and IMAGE_AUTH_PASSWORD"]),
        (
            Fault(_START, status=404, body=b'{"errors":[{"code":"NAME_UNKNOWN","message":"no such project"}]}'),
            PermanentError,
            ["404", "NAME_UNKNOWN: no such project", "IMAGE_REPO"],
        ),
        (Fault(_BODY, status=413, after=_HALF), PermanentError, ["413", "limit"]),
        (Fault(_BODY, status=429, headers={"Retry-After": "7"}), Unavailable, ["429"]),
        (Fault(_START, status=503, headers={"Retry-After": "7"}), Unavailable, ["503"]),
        (Fault(_END, status=500, headers={"Retry-After": "7"}, body=_PAGE), Unavailable, ["500", "log"]),
        (Fault(_BODY, status=502, after=_HALF, headers={"Retry-After": "7"}, body=_PAGE), Unavailable, ["502"]),
        (Fault("PUT .*/manifests/", status=503, headers={"Retry-After": "7"}), Unavailable, ["503"]),
    ],
    ids=lambda value: f"{value.status} {value.pattern}" if isinstance(value, Fault) else "",
)
def test_a_status_that_says_no(push: Push, fault: Fault, error: type[ProverError], words: list[str]) -> None:
    """Each is one kind of error with its remedy; when to come back is kept; healed, only the rest is sent."""
    push.proxy.add(Fault(**{**vars(fault), "hits": 0}))
    caught = push.fails(error, *words)
    if "Retry-After" in fault.headers:
        assert isinstance(caught, Unavailable)
        assert caught.delay == 7.0
    push.heals()


@pytest.mark.parametrize(
    "fault",
    [
        Fault(_START, status=503, times=1),
        Fault(_BODY, status=502, after=_HALF, times=1),
        Fault(_BODY, reset=True, after=_HALF, times=1),
        Fault(_BODY, lost=True, times=1),
        Fault(_END, reset=True, times=1),
        Fault(_END, lost=True, times=2),
    ],
    ids=lambda fault: f"{fault.pattern} {fault.status or ('reset' if fault.reset else 'lost')}",
)
def test_a_passing_fault_is_outlasted(push: Push, fault: Fault) -> None:
    """A broken connection or a single refusal ends no push; a blob is sent twice at most, and no other."""
    push.proxy.add(Fault(**{**vars(fault), "hits": 0}))
    push.run()
    whole = sum(push.room.blobs().values())
    assert push.proxy.sent() <= whole + (_HALF if fault.after else KEY_SIZE) + MEBI
    push.sound(push.broken())


def test_an_answer_that_was_lost_sends_nothing_again(push: Push) -> None:
    """The registry had accepted the blob: it is asked for it before anything is sent."""
    push.proxy.add(Fault(_END, lost=True, times=3))
    push.run()
    assert push.proxy.sent() <= sum(push.room.blobs().values())
    push.sound(push.broken())


def test_an_answer_that_is_cut_short(push: Push) -> None:
    """It names the registry, and is outlasted by the next attempt."""
    push.proxy.add(Fault("PUT .*/manifests/", lost=True, times=1))
    push.proxy.add(Fault("(GET|HEAD) .*/manifests/", reset=True, skip=2, times=1))
    with pytest.raises(Unavailable, match=f"registry {push.proxy.host} does not answer"):
        push.run()
    push.heals()


def test_a_registry_that_takes_no_more_bytes(push: Push, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up after a while, and its upload is resumed or begun anew when it is back."""
    push.proxy.add(Fault(_BODY, hang=True, after=_HALF))
    with monkeypatch.context() as patched:  # not for the push that heals: a busy machine may take a second over a chunk
        patched.setattr(upload_supervisor, "_STALL_SECONDS", 1.0)
        push.fails(Unavailable, "REGISTRY_DOWN", "takes no bytes for 1 s")
    push.heals()


def _meanwhile(push: Push, act: Callable[[], None]) -> threading.Thread:
    """Act once half of the key has arrived; it goes on slowly enough for that."""
    push.proxy.add(Fault(_BODY, rate=KEY_SIZE / 0.7))

    def work() -> None:
        until(lambda: push.room.received() > _HALF, "half of the key has arrived")
        act()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_registry_that_is_killed_while_it_gets_a_key(push: Push) -> None:
    """It is back at once, and the push with it."""
    thread = _meanwhile(push, push.room.restart)
    push.run()
    thread.join()
    assert push.proxy.sent() <= sum(push.room.blobs().values()) + KEY_SIZE
    push.sound(push.broken())


def test_a_password_that_is_wrong(push: Push) -> None:
    """It is named, with the settings to mend, before anything is sent; set right, the push goes on."""
    push.secrets.password = "canary of yesterday"
    push.fails(CredentialsRejected, "CREDENTIALS", f"as user {USER}", "IMAGE_AUTH_USER and IMAGE_AUTH_PASSWORD")
    assert push.proxy.sent() == 0
    push.secrets.password = PASSWORD
    push.heals()


def test_a_password_that_changes_while_a_key_is_sent(push: Push) -> None:
    """The old one is refused from then on; with the new one only what lacks is sent."""
    thread = _meanwhile(push, lambda: push.room.set_password("canary of tomorrow"))
    push.fails(CredentialsRejected, "CREDENTIALS", f"as user {USER}")
    thread.join()
    push.secrets.password = "canary of tomorrow"
    push.heals()


def test_a_read_only_registry(push: Push) -> None:
    """It is said so; back in service it takes the image."""
    push.room.restart(readonly=True)
    push.fails(PermanentError, "REGISTRY_REFUSED", "405", "read-only")
    push.room.restart()
    push.heals()


def test_a_storage_that_is_full(kind: str, world: dict[str, str], tmp_path: Path, base: str, repo: Path) -> None:
    """It is named as what it may be; no tag points at what is half there; with room, the rest is sent."""
    with (
        registry_room(tmp_path / "registry", kind, disk=_HALF) as room,
        fault_proxy(room.host) as proxy,
    ):
        push = Push(room, proxy, inputs.request(repo, base, proxy.host), world)
        push.fails(Unavailable, "REGISTRY_DOWN", "500", "storage is full")
        assert room.tags() == []
        enough = f"remount,size={4 * KEY_SIZE}"
        subprocess.run(["mount", "-o", enough, str(room.storage)], check=True)
        # The registry may have blobs without what leads to them: those are sent again, nothing else tells them apart.
        push.run()
        assert (room.tags().count(TAG), room.dangling()) == (1, [])
        assert not push.run().built


def test_a_link_that_a_full_disk_left_empty(push: Push) -> None:
    """The registry stumbles over such a blob for good: it is sent again, which mends it."""
    push.run()
    folders = push.room.storage.glob("**/_layers/sha256/*/link")
    link = next(path for path in folders if push.room.blobs()[f"sha256:{path.parent.name}"] > KEY_SIZE)
    link.write_bytes(b"")
    push.room.restart()  # it knows sizes from memory
    push.request = push.request.model_copy(update={"source": Source(commit="2" * 40, stage="2222222")})
    assert push.run().built
    assert link.read_text() == f"sha256:{link.parent.name}"
    assert push.room.dangling() == []


def test_a_token_that_ends_while_a_key_is_sent(token_push: Push, tokens: Realm) -> None:
    """Another is fetched before the next request; nothing is refused and nothing sent twice."""
    tokens.lifetime = 2.0
    token_push.proxy.add(Fault(_BODY, rate=KEY_SIZE / 2.5))
    token_push.run()
    assert {grant.status for grant in tokens.granted} == {200}
    assert [one.line for one in token_push.proxy.seen if one.status == 401 and "digest=" in one.line] == []
    assert token_push.proxy.sent() <= sum(token_push.room.blobs().values())


def test_a_token_that_is_revoked_while_a_key_is_sent(token_push: Push, tokens: Realm) -> None:
    """The realm promised more: the 401 at the end of the key gets another token, and the key is not sent again."""
    tokens.lifetime, tokens.announced = 1.5, 300.0
    token_push.proxy.add(Fault(_BODY, rate=KEY_SIZE / 2.8))
    token_push.run()
    assert [one.status for one in token_push.proxy.seen if re.search(_END, one.line)].count(401) >= 1
    assert token_push.proxy.sent() <= sum(token_push.room.blobs().values())


def test_a_token_server_that_refuses(token_push: Push, tokens: Realm) -> None:
    """It is the realm that says no, and the user who is named; let in again, the push goes on."""
    tokens.users.clear()
    token_push.fails(CredentialsRejected, "token realm answers 401", f"as user {USER}")
    tokens.users[USER] = PASSWORD
    token_push.heals()


def test_an_identity_token_pushes(token_push: Push, tokens: Realm) -> None:
    """As credential helpers keep them: exchanged by form, and good for pull and push."""
    token_push.secrets = OneLogin("<token>", "canary-refresh")
    tokens.refresh_tokens = {"canary-refresh"}
    token_push.run()
    assert {(grant.method, grant.who) for grant in tokens.granted} == {("POST", "refresh")}
    token_push.sound()
