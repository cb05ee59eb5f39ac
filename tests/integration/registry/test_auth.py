"""Who we are to a registry and whom we trust, against real ones: TLS, client certificates, tokens, two credentials."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from clients.image.images import PushedImages
from clients.registry.blob_upload import send
from clients.registry.client import Registry
from clients.registry.connection_pool import ConnectionPool
from clients.registry.credentials import RegistryLogin, WorkerSecrets
from clients.registry.transport import Payload
from clients.registry.upload_journal import UploadJournal
from domain.errors import PermanentError, Unavailable
from domain.spec import SecretRef
from tests.support.images import inputs
from tests.support.registry.certificate_authority import Authority
from tests.support.registry.fault_proxy import fault_proxy
from tests.support.registry.server import KINDS, PASSWORD, USER, RegistryRoom, registry_room
from tests.support.registry.token_server import Realm, realm

_LOGIN = RegistryLogin(USER, PASSWORD)
_OLD, _NEW = "old/prover", "new/prover"
_BLOB = b"a blob that is in the old repository"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Both kinds of registry."""
    return str(request.param)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority that no system knows."""
    return Authority(tmp_path / "authority")


@pytest.fixture
def secure(tmp_path: Path, authority: Authority) -> Iterator[RegistryRoom]:
    """A registry with a certificate of that authority, started by the test."""
    room = RegistryRoom(tmp_path / "registry")
    room.use_tls(*authority.issue("server"))
    yield room
    room.stop()


@pytest.fixture(autouse=True)
def own_certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`certs.d` of this test's user alone."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "config" / "docker" / "certs.d"


def _registry(host: str, repository: str = _NEW, *, login: RegistryLogin = _LOGIN, insecure: bool = False) -> Registry:
    return Registry(host, repository, login, connections=ConnectionPool(), insecure=insecure, answer_seconds=10)


def _put(path: Path, source: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(source.read_bytes())
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 1))


def _asked(room: RegistryRoom, *, insecure: bool = False) -> None:
    """A question that is answered only to those who are let in."""
    assert _registry(room.host, insecure=insecure).manifest_digest("none") is None


def _refused(room: RegistryRoom, *words: str) -> None:
    """It is a matter for a person, told with the host and what to do, and never tried again."""
    with pytest.raises(PermanentError) as caught:
        _asked(room)
    said = str(caught.value)
    assert caught.value.diagnosis.code == "REGISTRY_TLS"
    assert [word for word in (room.host, *words) if word not in said] == []


def test_an_authority_for_one_host(secure: RegistryRoom, authority: Authority, own_certificates: Path) -> None:
    """Unknown, the place for it is named; once it is there, the same process goes on."""
    secure.start()
    _refused(secure, "is not trusted", f"/etc/docker/certs.d/{secure.host}/ca.crt", "SSL_CERT_FILE")
    _put(own_certificates / "127.0.0.1:1" / "ca.crt", authority.file)
    _refused(secure, "is not trusted")
    _put(own_certificates / secure.host / "ca.crt", authority.file)
    _asked(secure)


def test_an_authority_that_is_replaced(
    secure: RegistryRoom, authority: Authority, own_certificates: Path, tmp_path: Path
) -> None:
    """A renewed file is read again."""
    secure.start()
    _put(own_certificates / secure.host / "ca.crt", Authority(tmp_path / "another").file)
    _refused(secure, "is not trusted")
    _put(own_certificates / secure.host / "ca.crt", authority.file)
    _asked(secure)


def test_an_authority_of_the_whole_system(
    secure: RegistryRoom, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE is honoured; one that is not there is named."""
    secure.start()
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/ca.pem")
    _refused(secure, "SSL_CERT_FILE=/nowhere/ca.pem is not there")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    _asked(secure)


def test_a_host_that_the_engine_lists(secure: RegistryRoom) -> None:
    """As with Docker: TLS whoever signed, and plain HTTP."""
    secure.start()
    _asked(secure, insecure=True)


@pytest.mark.parametrize(
    ("address", "expired", "remedy"),
    [("127.0.0.2", False, "use a name that its certificate is for"), ("127.0.0.1", True, "renew")],
)
def test_a_certificate_that_does_not_fit(
    tmp_path: Path, authority: Authority, own_certificates: Path, *, address: str, expired: bool, remedy: str
) -> None:
    """Another name and an end in the past have other remedies than an unknown authority."""
    room = RegistryRoom(tmp_path / "registry")
    room.use_tls(*authority.issue("server", address=address, expired=expired))
    _put(own_certificates / room.host / "ca.crt", authority.file)
    try:
        room.start()
        _refused(room, remedy)
    finally:
        room.stop()


def test_a_certificate_of_ours(secure: RegistryRoom, authority: Authority, own_certificates: Path) -> None:
    """A registry that wants one is told apart; with the pair in the host's folder we are let in."""
    certificate, key = authority.issue("client")
    secure.use_tls(*authority.issue("server"), client_authority=authority.file)
    secure.start()
    folder = own_certificates / secure.host
    _put(folder / "ca.crt", authority.file)
    _refused(secure, "does not accept the certificate", "client.cert and client.key")
    _put(folder / "client.cert", certificate)
    _refused(secure, f"{folder}/client.cert has no client.key beside it")
    _put(folder / "client.key", key)
    _asked(secure)


def test_a_file_that_is_no_certificate(secure: RegistryRoom, own_certificates: Path) -> None:
    """It is named, and not quoted."""
    secure.start()
    file = own_certificates / secure.host / "ca.crt"
    file.parent.mkdir(parents=True)
    file.write_text("canary")
    _refused(secure, str(file), "not PEM")


def test_a_registry_without_tls(tmp_path: Path) -> None:
    """Plain HTTP is for hosts that the Engine lists: never spoken unasked, and the password stays here."""
    with registry_room(tmp_path / "registry") as room:
        _refused(room, "does not speak TLS", "insecure-registries")


def test_push_and_pull_with_credentials_of_their_own(kind: str, world: dict[str, str], tmp_path: Path) -> None:
    """Each host sees its own user only."""
    files = {"ann": PASSWORD, "bob": "canary of bob"}
    for user, password in files.items():
        (tmp_path / user).write_text(f"{user}:{password}")
    with (
        registry_room(tmp_path / "registry", kind) as room,
        fault_proxy(room.host) as push,
        fault_proxy(room.host) as pull,
        inputs.base_image(world) as base,
    ):
        room.set_password(files["bob"], "bob")
        request = inputs.request(inputs.circuit(tmp_path / "repo"), base, push.host, pull_host=pull.host)
        refs = {
            f"{way}_auth": SecretRef(ref=f"file:{tmp_path / user}") for way, user in (("push", "ann"), ("pull", "bob"))
        }
        request = request.model_copy(update={"target": request.target.model_copy(update=refs)})
        image = PushedImages(world["DOCKER_HOST"], WorkerSecrets({}), tmp_path / "state").ensure(request, inputs.quiet)
    assert (image.built, image.warnings) == (True, [])
    assert image.reference.startswith(f"{pull.host}/")
    assert {one.user for one in push.seen if one.user} == {"ann"}
    assert {one.user for one in pull.seen if one.user} == {"bob"}


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[Realm]:
    """A token server."""
    with realm(tmp_path / "realm", {USER: PASSWORD}) as found:
        yield found


@pytest.fixture
def guarded(kind: str, tmp_path: Path, tokens: Realm) -> Iterator[RegistryRoom]:
    """A registry that takes its tokens."""
    with registry_room(tmp_path / "registry", kind, auth=tokens.access()) as room:
        yield room


class _Blob:
    """Content in memory that another repository may have."""

    digest = f"sha256:{hashlib.sha256(_BLOB).hexdigest()}"
    title = "a blob"
    size = len(_BLOB)

    def __init__(self, source: str = "") -> None:
        self.source = source
        self.sent = 0

    def payload(self, offset: int) -> Payload:
        self.sent += self.size - offset
        return Payload(lambda: [_BLOB[offset:]], self.size - offset)

    def complete(self) -> bool:
        return True

    def at(self, offset: int) -> None:
        assert offset <= self.size

    def wait(self, error: Unavailable, troubles: int) -> None:
        raise AssertionError(troubles) from error


@pytest.mark.parametrize("allowed", [True, False])
def test_a_blob_of_another_repository(guarded: RegistryRoom, tokens: Realm, tmp_path: Path, *, allowed: bool) -> None:
    """It is mounted with a token that may read there as well; where that is not allowed it is sent."""
    journal = UploadJournal(tmp_path / "journal")
    assert send(_registry(guarded.host, _OLD, insecure=True), _Blob(), journal)
    if not allowed:
        tokens.denied.add(_OLD)
    blob = _Blob(_OLD)
    registry = _registry(guarded.host, insecure=True)
    assert send(registry, blob, journal)
    assert registry.blob_size(blob.digest) == blob.size
    assert blob.sent == (0 if allowed else blob.size)
    asked = [grant.scopes for grant in tokens.granted if f"repository:{_OLD}:pull" in grant.scopes]
    assert [scope for scopes in asked for scope in scopes if scope.startswith(f"repository:{_NEW}:")] != []
    assert guarded.uploads() == []
