"""The image pipeline against the world's Docker Engine and real registries."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import bcrypt
import docker
import pytest
import yaml

from clients.image import PushedImages
from domain.errors import CredentialsRejected, ImageInputMissing, Unavailable
from domain.spec import Backend, ImageTarget, SecretRef
from domain.steps import Image, ImageRequest, Source

_PASSWORD = "canary-of-the-registry"
_KEY_SIZE = 20 << 20  # large enough for a layer of its own


class _Login:
    def __init__(self, user: str, password: str) -> None:
        self.user = user
        self._password = password

    def reveal(self) -> str:
        return self._password


class _Secrets:
    """One login for every reference."""

    def __init__(self, user: str, password: str) -> None:
        self._login = _Login(user, password)

    def login(self, ref: SecretRef | None, host: str) -> _Login | None:
        assert host
        return self._login if ref else None


class _Registry(NamedTuple):
    host: str
    storage: Path
    process: subprocess.Popen[bytes]

    def uploads(self) -> list[str]:
        """Uploads that are open in the storage.

        A cancelled one may leave `hashstates` behind: distribution 2.8 writes it after removing the rest.
        """
        return [str(path) for path in self.storage.glob("**/_uploads/*/startedat")]


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[_Registry]:
    """A registry with credentials that a test may stop and kill."""
    folder = tmp_path / "registry"
    folder.mkdir()
    password = bcrypt.hashpw(_PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    (folder / "htpasswd").write_text(f"ann:{password}\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    configuration = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "http": {"addr": host},
        "auth": {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}},
    }
    (folder / "config.yml").write_text(yaml.safe_dump(configuration))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(folder / "config.yml")], stdout=log, stderr=log)
    try:
        _until(lambda: _answers(host), "the registry answers")
        yield _Registry(host, folder / "data", process)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def base_image(world: dict[str, str]) -> Iterator[str]:
    """A FROM scratch image with a client and a user, in the world's Docker Engine."""
    name = f"prover-base-{uuid.uuid4().hex[:8]}"
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        head = tarfile.TarInfo("usr/bin/client")
        head.size, head.mode = 9, 0o755
        archive.addfile(head, io.BytesIO(b"#!client\n"))
    with contextlib.closing(docker.DockerClient(base_url=world["DOCKER_HOST"])) as client:
        changes = ["USER 65532", 'CMD ["/usr/bin/client"]', "ENV A=1"]
        client.api.import_image_from_data(content.getvalue(), repository=name, tag="latest", changes=changes)
        yield name
        client.images.remove(name, force=True)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A backend with a circuit directory."""
    circuit = tmp_path / "repo" / "circuit"
    circuit.mkdir(parents=True)
    for name in ("circuit.r1cs", "vk.bin"):
        (circuit / name).write_text(name)
    (circuit / "mon.key").write_bytes(os.urandom(1 << 20) * (_KEY_SIZE >> 20))
    return tmp_path / "repo"


def _answers(host: str) -> bool:
    try:
        with socket.create_connection(host.split(":"), timeout=1):  # type: ignore[arg-type]
            return True
    except OSError:
        return False


def _until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def _request(repo: Path, base_image: str, host: str, *, commit: str = "1" * 40, pull_host: str = "") -> ImageRequest:
    auth = SecretRef(ref="env:IMAGE_AUTH")
    return ImageRequest(
        backend=Backend(repo=str(repo), base_image=base_image),
        circuit_dir="circuit",
        source=Source(commit=commit, stage=commit[:7]),
        target=ImageTarget(
            repository="fluidex/prover",
            push_host=host,
            pull_host=pull_host or host,
            push_auth=auth,
            pull_auth=auth,
        ),
    )


def _images(world: dict[str, str], tmp_path: Path, password: str = _PASSWORD) -> PushedImages:
    return PushedImages(world["DOCKER_HOST"], _Secrets("ann", password), tmp_path / "state")


def _quiet(_: str) -> None:
    return


def _manifest(image: Image, host: str) -> dict[str, list[dict[str, str]]]:
    return _fetch(host, f"manifests/{image.digest}")


def _fetch(host: str, path: str) -> dict[str, list[dict[str, str]]]:
    url = f"http://{host}/v2/fluidex/prover/{path}"
    manager = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    manager.add_password(None, url, "ann", _PASSWORD)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(manager))
    request = urllib.request.Request(url, headers={"Accept": "application/vnd.oci.image.manifest.v1+json"})
    with opener.open(request) as answer:
        found: dict[str, list[dict[str, str]]] = json.load(answer)
        return found


def test_an_image_is_pushed_once(
    world: dict[str, str], tmp_path: Path, registry: _Registry, base_image: str, repo: Path
) -> None:
    """The first time builds, the second finds it, another host of the same inputs gets the same digest."""
    told: list[str] = []
    request = _request(repo, base_image, registry.host)
    first = _images(world, tmp_path).ensure(request, told.append)
    again = _images(world, tmp_path).ensure(request, _quiet)
    elsewhere = PushedImages(world["DOCKER_HOST"], _Secrets("ann", _PASSWORD), tmp_path / "other")
    assert first.reference == f"{registry.host}/fluidex/prover:client-1111111@{first.digest}"
    assert (first.built, first.user, first.warnings, registry.uploads()) == (True, "65532", [], [])
    assert again == first.model_copy(update={"built": False})
    assert elsewhere.ensure(request, _quiet) == again


def test_what_the_image_says_about_itself(
    world: dict[str, str], tmp_path: Path, registry: _Registry, base_image: str, repo: Path
) -> None:
    """Commit, stage and inputs are labels; the base's configuration is kept; nothing names the credentials."""
    image = _images(world, tmp_path).ensure(_request(repo, base_image, registry.host), _quiet)
    manifest = _manifest(image, registry.host)
    described = _fetch(registry.host, f"blobs/{manifest['config']['digest']}")  # type: ignore[call-overload]
    config: dict[str, object] = described["config"]  # type: ignore[assignment]
    labels: dict[str, str] = config["Labels"]  # type: ignore[assignment]
    assert (config["User"], config["Cmd"], config["Env"]) == ("65532", ["/usr/bin/client"], ["A=1"])
    assert labels["org.opencontainers.image.revision"] == "1" * 40
    assert labels["org.opencontainers.image.version"] == "1111111"
    assert len(labels["prover-cluster/inputs"]) == 64
    assert len(manifest["layers"]) == 3
    kept = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert _PASSWORD.encode() not in kept


def test_a_new_commit_sends_no_key(
    world: dict[str, str], tmp_path: Path, registry: _Registry, base_image: str, repo: Path
) -> None:
    """Layers are the same blobs; only configuration and manifest are new."""
    images = _images(world, tmp_path)
    first = images.ensure(_request(repo, base_image, registry.host), _quiet)
    blobs = set(registry.storage.glob("**/blobs/sha256/*/*/data"))
    second = images.ensure(_request(repo, base_image, registry.host, commit="2" * 40), _quiet)
    assert first.digest != second.digest
    assert len(set(registry.storage.glob("**/blobs/sha256/*/*/data")) - blobs) == 2
    assert _manifest(first, registry.host)["layers"] == _manifest(second, registry.host)["layers"]


def test_docker_runs_what_was_pushed(
    world: dict[str, str], tmp_path: Path, registry: _Registry, base_image: str, repo: Path
) -> None:
    """The Engine pulls it by digest, and finds the keys in both places, with modes."""
    image = _images(world, tmp_path).ensure(_request(repo, base_image, registry.host), _quiet)
    with contextlib.closing(docker.DockerClient(base_url=world["DOCKER_HOST"])) as client:
        login = {"username": "ann", "password": _PASSWORD}
        reference = f"{registry.host}/fluidex/prover@{image.digest}"
        client.images.pull(reference, auth_config=login)
        container = client.containers.create(reference)
        try:
            stream, _ = container.get_archive("/opt")
            content = io.BytesIO(b"".join(stream))
            with tarfile.open(fileobj=content) as archive:
                sizes = {member.name: member.mode & 0o777 for member in archive}
                key = archive.extractfile("opt/mon.key")
                assert key is not None
                assert key.read() == (repo / "circuit" / "mon.key").read_bytes()
        finally:
            container.remove()
            client.images.remove(reference, force=True)
    assert sizes["opt/circuit/mon.key"] == 0o644
    assert {"opt/circuit/circuit.r1cs", "opt/circuit/vk.bin"} <= set(sizes)


def test_wrong_credentials(
    world: dict[str, str], tmp_path: Path, registry: _Registry, base_image: str, repo: Path
) -> None:
    """The push host and the settings are named, the password is not, and nothing was written."""
    with pytest.raises(CredentialsRejected) as caught:
        _images(world, tmp_path, "wrong-canary").ensure(_request(repo, base_image, registry.host), _quiet)
    said = str(caught.value)
    assert [word for word in (registry.host, "IMAGE_AUTH_USER", "IMAGE_AUTH_PASSWORD") if word not in said] == []
    assert "canary" not in said
    assert not registry.storage.exists()


def test_the_world_registry_by_both_hosts(world: dict[str, str], tmp_path: Path, base_image: str, repo: Path) -> None:
    """Pushed through one entry, the image is found through the other; an unreachable one is a warning."""
    (repo / "circuit" / "mon.key").write_text("small, since the world keeps it")
    secrets = _Secrets(world["IMAGE_AUTH_USER"], world["IMAGE_AUTH_PASSWORD"])
    images = PushedImages(world["DOCKER_HOST"], secrets, tmp_path / "state")
    alias = world["IMAGE_HOST_ALIAS"]
    image = images.ensure(_request(repo, base_image, world["IMAGE_HOST"], pull_host=alias), _quiet)
    assert image.reference.startswith(f"{alias}/fluidex/prover:client-1111111@sha256:")
    assert image.warnings == []
    away = images.ensure(_request(repo, base_image, world["IMAGE_HOST"], pull_host="127.0.0.1:9"), _quiet)
    assert (away.built, away.digest, len(away.warnings)) == (False, image.digest, 1)
    assert "127.0.0.1:9" in away.warnings[0]


def test_a_pull_host_without_the_image(
    world: dict[str, str], tmp_path: Path, registry: _Registry, base_image: str, repo: Path
) -> None:
    """A pull host that answers but does not have the digest is waited for, not deployed from."""
    request = _request(repo, base_image, registry.host, pull_host=world["WORLD_ANONYMOUS_REGISTRY"])
    with pytest.raises(Unavailable, match=r"IMAGE_NOT_FOUND.*IMAGE_HOST_ALIAS"):
        _images(world, tmp_path).ensure(request, _quiet)


def test_faults_before_anything_is_sent(
    world: dict[str, str], tmp_path: Path, registry: _Registry, base_image: str, repo: Path
) -> None:
    """Engine down, base image absent, circuit absent and registry down each have their own code and remedy."""
    request = _request(repo, base_image, registry.host)
    secrets = _Secrets("ann", _PASSWORD)
    nowhere = PushedImages(f"unix://{tmp_path}/none.sock", secrets, tmp_path / "state")
    with pytest.raises(
        Unavailable, match=f"DOCKER_DOWN: Docker does not answer on DOCKER_HOST=unix://{tmp_path}/none.sock"
    ):
        nowhere.ensure(request, _quiet)
    absent = request.model_copy(update={"backend": Backend(repo=str(repo), base_image="no-such-image")})
    with pytest.raises(ImageInputMissing, match="PROVER_BASE_IMAGE=no-such-image"):
        _images(world, tmp_path).ensure(absent, _quiet)
    with pytest.raises(ImageInputMissing, match="CIRCUIT_DIR=elsewhere"):
        _images(world, tmp_path).ensure(request.model_copy(update={"circuit_dir": "elsewhere"}), _quiet)
    registry.process.kill()
    registry.process.wait()
    with pytest.raises(Unavailable, match=f"REGISTRY_DOWN: registry {registry.host} does not answer"):
        _images(world, tmp_path).ensure(request, _quiet)


class _Cancelled(Exception):
    pass


def test_a_push_that_hangs_can_be_cancelled(
    world: dict[str, str], tmp_path: Path, registry: _Registry, base_image: str, repo: Path
) -> None:
    """With the registry stopped mid-push, beats go on; cancelling ends it; the next attempt leaves no upload open."""
    seen: list[str] = []

    def beat(text: str) -> None:
        seen.append(text)
        if registry.uploads() and "mon.key" in text:
            if seen.count(text) == 1:
                registry.process.send_signal(signal.SIGSTOP)
            elif seen.count(text) > 2:
                raise _Cancelled

    (repo / "circuit" / "mon.key").write_bytes(os.urandom(1 << 20) * 512)
    images = _images(world, tmp_path)
    request = _request(repo, base_image, registry.host)
    began = time.monotonic()
    with pytest.raises(_Cancelled):
        images.ensure(request, beat)
    assert time.monotonic() - began < 30
    registry.process.send_signal(signal.SIGCONT)
    image = images.ensure(request, _quiet)
    assert (image.built, registry.uploads()) == (True, [])


_PUSH = """
import sys
from pathlib import Path
from clients.image import PushedImages
from domain.steps import ImageRequest
sys.path.insert(0, sys.argv[4])
from test_image import _Secrets
images = PushedImages(sys.argv[1], _Secrets("ann", sys.argv[3]), Path(sys.argv[2]))
images.ensure(ImageRequest.model_validate_json(sys.stdin.read()), lambda text: print(text, flush=True))
"""


def test_a_killed_push_leaves_no_upload(
    world: dict[str, str], tmp_path: Path, registry: _Registry, base_image: str, repo: Path
) -> None:
    """SIGKILL of the worker mid-push: the next attempt ends the orphaned upload and gives one manifest."""
    (repo / "circuit" / "mon.key").write_bytes(os.urandom(1 << 20) * 512)
    request = _request(repo, base_image, registry.host)
    arguments = [world["DOCKER_HOST"], str(tmp_path / "state"), _PASSWORD, str(Path(__file__).parent)]
    with subprocess.Popen([sys.executable, "-c", _PUSH, *arguments], stdin=subprocess.PIPE) as worker:
        assert worker.stdin is not None
        worker.stdin.write(request.model_dump_json().encode())
        worker.stdin.close()
        _until(lambda: _received(registry) > 20 << 20, "the push of mon.key is under way", 60)
        registry.process.send_signal(signal.SIGSTOP)
        assert (worker.poll(), len(registry.uploads())) == (None, 1)
        worker.kill()
    registry.process.send_signal(signal.SIGCONT)
    image = _images(world, tmp_path).ensure(request, _quiet)
    assert (image.built, registry.uploads()) == (True, [])
    assert len(list(registry.storage.glob("**/_manifests/revisions/sha256/*"))) == 1


def test_a_key_that_changes_while_it_is_pushed(
    world: dict[str, str], tmp_path: Path, registry: _Registry, base_image: str, repo: Path
) -> None:
    """The push fails, is worth another try, leaves no upload open, and no tag names what was sent."""
    key = repo / "circuit" / "mon.key"
    key.write_bytes(os.urandom(1 << 20) * 512)

    def beat(text: str) -> None:
        if registry.uploads() and "pushing" in text:
            os.truncate(key, 1 << 20)

    images = _images(world, tmp_path)
    request = _request(repo, base_image, registry.host)
    with pytest.raises(Unavailable, match="changed while it was being sent"):
        images.ensure(request, beat)
    assert (registry.uploads(), list(registry.storage.glob("**/tags/*"))) == ([], [])
    assert images.ensure(request, _quiet).built


def _received(registry: _Registry) -> int:
    sizes = [path.stat().st_size for path in registry.storage.glob("**/_uploads/*/data")]
    return max(sizes, default=0)
