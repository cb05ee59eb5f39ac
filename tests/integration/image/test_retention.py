"""Images that are kept: listed and removed at real registries of both kinds and in the world's Docker Engine."""

import contextlib
import hashlib
import io
import json
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import docker
import httpx
import pytest

from clients.docker import build
from clients.image.inventory import LocalImageStores
from clients.registry import repository
from clients.registry.client import Registry
from clients.registry.connection_pool import ConnectionPool
from clients.registry.credentials import RegistryLogin
from clients.registry.transport import Response
from domain.errors import CredentialsRejected, PermanentError, Unavailable
from domain.images import ImagesReport, ImagesRequest
from domain.spec import Backend, ImageTarget, SecretRef
from tests.support.registry.server import KINDS, PASSWORD, USER, RegistryRoom, registry_room

_REPOSITORY = "fluidex/prover"
_OCI = "application/vnd.oci.image.manifest.v1+json"
_DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_NOWHERE = "unix:///nonexistent/docker.sock"


class _Secrets:
    def __init__(self, password: str = PASSWORD) -> None:
        self._password = password

    def login(self, ref: SecretRef | None, host: str) -> RegistryLogin | None:
        assert host
        return RegistryLogin(USER, self._password) if ref else None


class _Shop:
    """Puts images into a registry, and asks what is kept there."""

    def __init__(self, room: RegistryRoom) -> None:
        self.room = room
        self._url = f"http://{room.host}/v2/{_REPOSITORY}"

    def _blob(self, content: bytes) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        with self._client() as client:
            location = client.post(f"{self._url}/blobs/uploads/").headers["Location"]
            client.put(httpx.URL(location).copy_merge_params({"digest": digest}), content=content).raise_for_status()
        return {"digest": digest, "size": len(content)}

    def put(self, *tags: str, kind: str = _OCI, config: object = None, day: int = 0) -> str:
        """An image of one layer under these tags; its digest. `day`: of its commit."""
        created = {"org.opencontainers.image.created": f"2026-01-{day:02}T00:00:00+00:00"} if day else {}
        labels = {"org.opencontainers.image.version": tags[0][7:], "org.opencontainers.image.revision": "c" * 40}
        found = config or {"created": "1970-01-01T00:00:00Z", "config": {"Labels": {**labels, **created}}}
        parts = {
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                **self._blob(json.dumps(found).encode()),
            },
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", **self._blob(tags[0].encode() * 100)}],
        }
        return self.manifest({"schemaVersion": 2, "mediaType": kind, **parts}, *tags)

    def manifest(self, content: dict[str, Any], *tags: str) -> str:
        """Any manifest; its digest."""
        data = json.dumps(content).encode()
        with self._client() as client:
            for tag in tags:
                headers = {"Content-Type": content["mediaType"]}
                client.put(f"{self._url}/manifests/{tag}", content=data, headers=headers).raise_for_status()
        return f"sha256:{hashlib.sha256(data).hexdigest()}"

    def survey(self, *, docker_host: str = _NOWHERE, password: str = PASSWORD, **request: Any) -> ImagesReport:
        auth = SecretRef(ref="env:IMAGE_AUTH")
        target = ImageTarget(
            repository=_REPOSITORY, push_host=self.room.host, pull_host=self.room.host, push_auth=auth, pull_auth=auth
        )
        asked = ImagesRequest(backend=Backend(), target=target, **request)
        return LocalImageStores(docker_host, _Secrets(password)).survey(asked, lambda _: None)

    def registry(self) -> Registry:
        login = RegistryLogin(USER, PASSWORD)
        return Registry(self.room.host, _REPOSITORY, login, connections=ConnectionPool(), insecure=True)

    @contextlib.contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        with httpx.Client(auth=(USER, PASSWORD), follow_redirects=True) as client:
            yield client


@pytest.fixture(params=KINDS)
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[_Shop]:
    """A registry of each kind."""
    with registry_room(tmp_path / "registry", request.param) as room:
        yield _Shop(room)


@pytest.fixture
def old_shop(tmp_path: Path) -> Iterator[_Shop]:
    """One of the older kind, where the kind does not matter."""
    with registry_room(tmp_path / "registry") as room:
        yield _Shop(room)


def _stays(report: ImagesReport) -> dict[str, str]:
    return {image.tags[0]: "removed" if image.removed else image.kept for image in report.images}


def test_what_is_listed(shop: _Shop) -> None:
    """Each image once, newest first, with what its labels say; foreign tags alone are none of ours."""
    older = shop.put("client-aaaaaaa", "client-aaaaaaa-12345678", day=1)
    newer = shop.put("client-bbbbbbb", day=2, kind=_DOCKER)
    shop.put("latest", day=3)
    report = shop.survey(named={older: ["one revision 3"]}, keep=1)
    assert [image.digest for image in report.images] == [newer, older]
    first, second = report.images
    assert (first.stage, first.commit, first.created) == ("bbbbbbb", "c" * 40, "2026-01-02T00:00:00Z")
    assert (first.place, first.kept, second.kept) == (
        "registry",
        "among the newest 1",
        "named by one revision 3",
    )
    assert second.tags == ["client-aaaaaaa", "client-aaaaaaa-12345678"]
    assert second.size > 1400
    assert [warning for warning in report.warnings if "Docker does not answer" not in warning] == []
    assert report.removed == 0


def test_pruning(shop: _Shop) -> None:
    """What is named, new, otherwise tagged or part of an index stays, and can still be read whole."""
    named = shop.put("client-named", day=1)
    shop.put("client-shared", "production", day=2)
    part = shop.put("client-part", day=3)
    index = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [{"mediaType": _OCI, "digest": part, "size": 1}]}
    shop.manifest(index, "multi")
    shop.put("client-gone", "client-gone-12345678", day=4)
    shop.put("client-new", day=5)
    report = shop.survey(prune=True, keep=1, named={named: ["one revision 1"]})
    assert _stays(report) == {
        "client-new": "among the newest 1",
        "client-gone": "removed",
        "client-part": "part of multi",
        "client-shared": "also tagged production",
        "client-named": "named by one revision 1",
    }
    assert report.removed == 1
    left = ["client-named", "client-new", "client-part", "client-shared", "multi", "production"]
    assert repository.tags(shop.registry()) == left
    described = [repository.describe(shop.registry(), tag) for tag in left]
    assert [one.size > 700 for one in described if one] == [True] * len(left)
    assert _stays(shop.survey(prune=True, keep=1, named={named: ["one revision 1"]})) == {
        key: value for key, value in _stays(report).items() if value != "removed"
    }


def test_an_index_of_ours(shop: _Shop) -> None:
    """It is one image, with the size of all its parts."""
    part = shop.put("client-part", day=3)
    listed = {"mediaType": _OCI, "digest": part, "size": 1, "platform": {"architecture": "amd64", "os": "linux"}}
    whole = shop.manifest({"schemaVersion": 2, "mediaType": _INDEX, "manifests": [listed]}, "client-multi")
    found = {image.digest: image for image in shop.survey(keep=0).images}
    assert (found[whole].stage, found[whole].created) == ("part", "2026-01-03T00:00:00Z")
    assert found[whole].size > found[part].size
    assert (found[whole].kept, found[part].kept) == ("", "part of client-multi")


def test_nothing_there(shop: _Shop) -> None:
    """A repository that does not exist yet is no fault."""
    assert shop.survey(prune=True).images == []


def test_tags_come_in_pages(old_shop: _Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, however many a page holds."""
    monkeypatch.setattr(repository, "_PAGE", 2)
    tags = [f"client-{number}" for number in range(5)]
    old_shop.put(*tags)
    assert repository.tags(old_shop.registry()) == tags


def test_a_registry_that_does_not_delete(shop: _Shop) -> None:
    """Said with host, repository and remedy; nothing was removed."""
    shop.put("client-old", day=1)
    shop.room.restart(readonly=True)
    with pytest.raises(PermanentError) as caught:
        shop.survey(prune=True, keep=0)
    said = str(caught.value)
    words = ["REGISTRY_NO_DELETE", f"{shop.room.host}/{_REPOSITORY}", "REGISTRY_STORAGE_DELETE_ENABLED", "garbage"]
    assert [word for word in words if word not in said] == []
    assert repository.tags(shop.registry()) == ["client-old"]


def test_a_manifest_that_is_gone_is_fine(shop: _Shop) -> None:
    """As after a worker was killed in the middle of a removal."""
    digest = shop.put("client-old", day=1)
    repository.delete(shop.registry(), digest)
    repository.delete(shop.registry(), digest)
    assert repository.describe(shop.registry(), digest) is None
    assert shop.survey().images == []


@pytest.mark.parametrize("config", [["no object"], {"config": "x", "created": 7}, {"config": {"Labels": ["x"]}}])
def test_an_image_that_says_nonsense_of_itself(old_shop: _Shop, config: object) -> None:
    """It is listed without it."""
    old_shop.put("client-odd", config=config)
    (image,) = old_shop.survey().images
    assert (image.tags, image.stage, image.created) == (["client-odd"], "", "")


def test_faults_of_the_registry(old_shop: _Shop) -> None:
    """Wrong credentials and one that is away are named as everywhere."""
    with pytest.raises(CredentialsRejected, match=old_shop.room.host):
        old_shop.survey(password="wrong")
    old_shop.room.stop()
    with pytest.raises(Unavailable, match=r"REGISTRY_DOWN"):
        old_shop.survey()


class _Engine(NamedTuple):
    client: Any
    host: str

    def put(self, reference: str, label: str = "") -> str:
        """An image of its own under this name."""
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            head = tarfile.TarInfo(uuid.uuid4().hex)
            archive.addfile(head)
        name, _, tag = reference.rpartition(":")
        changes = [f'LABEL "{label}"="x"'] if label else []
        answer = self.client.api.import_image_from_data(content.getvalue(), repository=name, tag=tag, changes=changes)
        return str(json.loads(answer)["status"])


@pytest.fixture
def engine(world: dict[str, str], old_shop: _Shop) -> Iterator[_Engine]:
    """The world's Engine; what a test tagged in it is gone afterwards."""
    with contextlib.closing(docker.DockerClient(base_url=world["DOCKER_HOST"])) as client:
        yield _Engine(client, world["DOCKER_HOST"])
        for image in client.api.images():
            for tag in image["RepoTags"] or []:
                if old_shop.room.host in tag or tag.startswith("prover-base:kept-"):
                    client.api.remove_image(tag, force=True)


def test_the_engine_of_the_backend_host(engine: _Engine, old_shop: _Shop) -> None:
    """Images of this repository and bases that we built, by tag; others are not listed, and an image in use stays."""
    host = old_shop.room.host
    marks = {name: uuid.uuid4().hex[:8] for name in ("base", "foreign", "used")}
    engine.put(f"{host}/{_REPOSITORY}:client-old")
    engine.put(f"{host}/{_REPOSITORY}:latest")
    engine.put(f"{host}/other:client-x")
    engine.put(f"prover-base:kept-{marks['base']}", build.CONTEXT_LABEL)
    engine.put(f"prover-base:kept-{marks['foreign']}")
    used = f"{host}/{_REPOSITORY}:client-{marks['used']}"
    engine.put(used)
    engine.put(f"{host}/{_REPOSITORY}:client-zzz")
    container = engine.client.api.create_container(used, command=["/x"])
    try:
        # Bases of other tests and of the world are among those kept, so that none of them is touched.
        report = old_shop.survey(docker_host=engine.host, keep=10_000)
        ours = {tag for image in report.images for tag in image.tags}
        assert {f"{host}/{_REPOSITORY}:client-old", used, f"prover-base:kept-{marks['base']}"} <= ours
        assert not {tag for tag in ours if host in tag and "/prover:client-" not in tag}
        assert f"prover-base:kept-{marks['foreign']}" not in ours
        assert all(image.created for image in report.images)
        bases = {one: ["this test"] for one in ours if one.startswith("prover-base:")}
        named = {tag.split(":", 1)[1]: who for tag, who in bases.items()}
        # Another test may have a base built right now: it is the newest.
        pruned = old_shop.survey(docker_host=engine.host, keep=1, prune=True, named=named)
        assert [image.tags for image in pruned.images if image.removed] == [[f"{host}/{_REPOSITORY}:client-old"]]
        (kept,) = [warning for warning in pruned.warnings if used in warning]
        assert "is using" in kept
    finally:
        engine.client.api.remove_container(container["Id"])
    left = {tag for image in engine.client.api.images() for tag in image["RepoTags"] or []}
    assert f"{host}/{_REPOSITORY}:client-old" not in left
    assert {used, f"{host}/{_REPOSITORY}:latest", f"{host}/other:client-x"} <= left


class _Redirecting(Registry):
    """Its blobs are somewhere else, as those of most hosted registries."""

    def call(self, method: str, target: str, **arguments: Any) -> Response:
        if "/blobs/" in target and not target.startswith("http"):
            scheme = f"http://{self.host}"
            return Response(307, {"Location": f"{scheme}{target}"})
        return super().call(method, target, **arguments)


def test_configurations_at_another_host(old_shop: _Shop) -> None:
    """A redirect is followed."""
    digest = old_shop.put("client-a", day=1)
    registry = _Redirecting(
        old_shop.room.host, _REPOSITORY, RegistryLogin(USER, PASSWORD), connections=ConnectionPool(), insecure=True
    )
    found = repository.describe(registry, digest)
    assert found is not None
    assert found.labels["org.opencontainers.image.version"] == "a"
