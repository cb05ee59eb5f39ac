"""The image pipeline against the world's Docker Engine and real registries of both kinds."""

import contextlib
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from clients.image.images import PushedImages
from clients.registry.credentials import RegistryLogin
from domain.errors import CredentialsRejected, ImageInputMissing, TagTaken, Unavailable
from domain.messages.source import Source
from domain.spec import Backend, SecretRef
from tests.support.images.inputs import (
    OneLogin,
    base_image,
    circuit,
    layers,
    manifest,
    pipeline,
    quiet,
    request,
    write_key,
)
from tests.support.registry.server import KINDS, PASSWORD, RegistryRoom, fetch, registry_room, small_disk


@pytest.fixture(params=KINDS)
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RegistryRoom]:
    """A registry with credentials, of either kind."""
    with registry_room(tmp_path / "registry", request.param) as room:
        yield room


@pytest.fixture
def base(world: dict[str, str]) -> Iterator[str]:
    """A base image in it."""
    with base_image(world) as name:
        yield name


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A backend with a circuit directory."""
    return circuit(tmp_path / "repo")


def _config(host: str, digest: str) -> dict[str, Any]:
    found: dict[str, Any] = fetch(host, f"fluidex/prover/blobs/{manifest(host, digest)['config']['digest']}")
    return found


def test_an_image_is_pushed_once(
    world: dict[str, str], tmp_path: Path, registry: RegistryRoom, base: str, repo: Path
) -> None:
    """The first time builds, the second finds it, another host of the same inputs gets the same digest."""
    asked = request(repo, base, registry.host)
    first = pipeline(world, tmp_path).ensure(asked, quiet)
    again = pipeline(world, tmp_path).ensure(asked, quiet)
    assert first.reference == f"{registry.host}/fluidex/prover:client-1111111@{first.digest}"
    assert (first.built, first.user, first.warnings, registry.uploads()) == (True, "65532", [], [])
    assert again == first.model_copy(update={"built": False})
    assert pipeline(world, tmp_path, state="other").ensure(asked, quiet) == again
    assert registry.tags() == ["client-1111111", f"client-1111111-{first.digest[7:15]}"]


def test_a_base_without_a_command_runs_the_client(
    world: dict[str, str], tmp_path: Path, registry: RegistryRoom, repo: Path
) -> None:
    """As upstream's, whose CMD is the shell of the system that it stands on; the base itself is left as it is."""
    with base_image(world, b"bare", command='["bash"]') as bare:
        image = pipeline(world, tmp_path).ensure(request(repo, bare, registry.host), quiet)
    config = _config(registry.host, image.digest)["config"]
    assert (config["Cmd"], config["WorkingDir"], "Entrypoint" in config) == (["client"], "/opt", False)


def test_what_the_image_says_about_itself(
    world: dict[str, str], tmp_path: Path, registry: RegistryRoom, base: str, repo: Path
) -> None:
    """Commit, its date, stage and inputs are labels; the base's configuration stays; nothing names the credentials."""
    asked = request(repo, base, registry.host)
    dated = asked.source.model_copy(update={"committed": "2026-01-02T03:04:05Z"})
    image = pipeline(world, tmp_path).ensure(asked.model_copy(update={"source": dated}), quiet)
    config = _config(registry.host, image.digest)["config"]
    labels = config["Labels"]
    assert (config["User"], config["Cmd"], config["Env"]) == ("65532", ["/usr/bin/client"], ["A=1"])
    assert config["WorkingDir"] == "/opt"
    assert labels["org.opencontainers.image.revision"] == "1" * 40
    assert labels["org.opencontainers.image.version"] == "1111111"
    assert labels["org.opencontainers.image.created"] == "2026-01-02T03:04:05Z"
    assert len(labels["prover-cluster/inputs"]) == 64
    assert list(layers(registry.host, image.digest)) == ["the base image", "2 circuit files", "mon.key"]
    kept = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert PASSWORD.encode() not in kept


def test_a_new_commit_sends_no_key(
    world: dict[str, str], tmp_path: Path, registry: RegistryRoom, base: str, repo: Path
) -> None:
    """Layers are the same blobs; only configuration and manifest are new."""
    images = pipeline(world, tmp_path)
    first = images.ensure(request(repo, base, registry.host), quiet)
    blobs = registry.blobs()
    second = images.ensure(request(repo, base, registry.host, commit="2" * 40), quiet)
    assert first.digest != second.digest
    assert len(registry.blobs().keys() - blobs.keys()) == 2
    assert layers(registry.host, first.digest) == layers(registry.host, second.digest)


def test_a_repository_beside_it_lends_its_blobs(
    world: dict[str, str], tmp_path: Path, registry: RegistryRoom, base: str, repo: Path
) -> None:
    """What this host pushed to one repository is mounted into another; not even an upload is begun for it."""
    images = pipeline(world, tmp_path)
    images.ensure(request(repo, base, registry.host), quiet)
    told: list[str] = []
    there = images.ensure(
        request(repo, base, registry.host, repository="elsewhere/prover"), lambda text, *_: told.append(text)
    )
    assert there.built
    assert registry.uploads() == []
    assert list(registry.storage.glob("**/repositories/elsewhere/prover/_uploads/*")) == []
    assert len(manifest(registry.host, there.digest, "elsewhere/prover")["layers"]) == 3


def test_the_tag_of_a_commit_does_not_move(
    world: dict[str, str], tmp_path: Path, registry: RegistryRoom, base: str, repo: Path
) -> None:
    """Another content under it is refused before a byte is sent, with what differs; forced it moves, and says so."""
    images = pipeline(world, tmp_path)
    asked = request(repo, base, registry.host)
    first = images.ensure(asked, quiet)
    write_key(repo / "circuit" / "mon.key", 20 << 20)
    blobs = registry.blobs()
    with pytest.raises(TagTaken, match=r"tag client-1111111 .*mon\.key differs .*--force-tag"):
        images.ensure(asked, quiet)
    assert registry.blobs() == blobs
    moved = images.ensure(asked.model_copy(update={"force_tag": True}), quiet)
    assert (moved.replaced, moved.built) == (first.digest, True)
    assert fetch(registry.host, "fluidex/prover/manifests/client-1111111") == manifest(registry.host, moved.digest)
    kept = fetch(registry.host, f"fluidex/prover/manifests/client-1111111-{first.digest[7:15]}")
    assert kept == manifest(registry.host, first.digest)


def test_a_stage_set_by_hand_moves(
    world: dict[str, str], tmp_path: Path, registry: RegistryRoom, base: str, repo: Path
) -> None:
    """It is somebody's own; what it named before is told, and still there under a tag of its own."""
    images = pipeline(world, tmp_path)
    source = Source(commit="1" * 40, stage="mine", by_hand=True)
    first = images.ensure(request(repo, base, registry.host, source=source), quiet)
    write_key(repo / "circuit" / "mon.key", 1 << 20)
    second = images.ensure(request(repo, base, registry.host, source=source), quiet)
    assert (first.replaced, second.replaced) == ("", first.digest)
    assert registry.tags() == sorted(["client-mine", *(f"client-mine-{one.digest[7:15]}" for one in (first, second))])


def test_a_tag_moves_to_what_holds_the_same(
    world: dict[str, str], tmp_path: Path, registry: RegistryRoom, base: str, repo: Path
) -> None:
    """As when only a label differs."""
    images = pipeline(world, tmp_path)
    first = images.ensure(request(repo, base, registry.host), quiet)
    pins = Source(commit="1" * 40, stage="1111111", submodules={"client": "2" * 40})
    second = images.ensure(request(repo, base, registry.host, source=pins), quiet)
    assert (second.built, second.replaced) == (True, first.digest)


def test_docker_runs_what_was_pushed(
    world: dict[str, str], tmp_path: Path, registry: RegistryRoom, base: str, repo: Path
) -> None:
    """The Engine pulls it by digest, and finds the keys in both places, with modes."""
    image = pipeline(world, tmp_path).ensure(request(repo, base, registry.host), quiet)
    with contextlib.closing(docker.DockerClient(base_url=world["DOCKER_HOST"])) as client:
        login = {"username": "ann", "password": PASSWORD}
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
    world: dict[str, str], tmp_path: Path, registry: RegistryRoom, base: str, repo: Path
) -> None:
    """The push host and the settings are named, the password is not, and nothing was written."""
    with pytest.raises(CredentialsRejected) as caught:
        pipeline(world, tmp_path, "wrong-canary").ensure(request(repo, base, registry.host), quiet)
    said = str(caught.value)
    assert [word for word in (registry.host, "IMAGE_AUTH_USER", "IMAGE_AUTH_PASSWORD") if word not in said] == []
    assert "canary" not in said
    assert registry.blobs() == {}


def test_the_world_registry_by_both_hosts(world: dict[str, str], tmp_path: Path, base: str) -> None:
    """Pushed through one entry, the image is found through the other; an unreachable one is a warning."""
    repo = circuit(tmp_path / "repo", 0)
    (repo / "circuit" / "mon.key").write_text("small, since the world keeps it")
    secrets = OneLogin(world["IMAGE_AUTH_USER"], world["IMAGE_AUTH_PASSWORD"])
    images = PushedImages(world["DOCKER_HOST"], secrets, tmp_path / "state")
    alias = world["IMAGE_HOST_ALIAS"]
    mine: dict[str, Any] = {"source": Source(commit="", stage="by-both-hosts", by_hand=True)}
    image = images.ensure(request(repo, base, world["IMAGE_HOST"], pull_host=alias, **mine), quiet)
    assert image.reference.startswith(f"{alias}/fluidex/prover:client-by-both-hosts@sha256:")
    assert image.warnings == []
    away = images.ensure(request(repo, base, world["IMAGE_HOST"], pull_host="127.0.0.1:9", **mine), quiet)
    assert (away.built, away.digest, len(away.warnings)) == (False, image.digest, 1)
    assert "127.0.0.1:9" in away.warnings[0]


def test_pull_credentials_are_tried(
    world: dict[str, str], tmp_path: Path, registry: RegistryRoom, base: str, repo: Path
) -> None:
    """At one host with two references, those that pods will use are refused here and not on the nodes."""

    class Two(OneLogin):
        def login(self, ref: SecretRef | None, host: str) -> RegistryLogin | None:
            wrong = ref is not None and ref.ref == "file:/pull"
            return OneLogin(password="wrong-canary").login(ref, host) if wrong else super().login(ref, host)

    images = PushedImages(world["DOCKER_HOST"], Two(), tmp_path / "state")
    with pytest.raises(CredentialsRejected, match="IMAGE_PULL_AUTH") as caught:
        images.ensure(request(repo, base, registry.host, pull_auth=SecretRef(ref="file:/pull")), quiet)
    assert "canary" not in str(caught.value)


def test_a_pull_host_without_the_image(
    world: dict[str, str], tmp_path: Path, registry: RegistryRoom, base: str, repo: Path
) -> None:
    """A pull host that answers but does not have the digest is waited for, not deployed from."""
    asked = request(repo, base, registry.host, pull_host=world["WORLD_ANONYMOUS_REGISTRY"])
    with pytest.raises(Unavailable, match=r"IMAGE_NOT_FOUND.*IMAGE_HOST_ALIAS"):
        pipeline(world, tmp_path).ensure(asked, quiet)


def test_a_full_disk(world: dict[str, str], tmp_path: Path, registry: RegistryRoom, repo: Path) -> None:
    """The base image finds no room on its way: the directory and the setting are named, and nothing is left there."""
    state = tmp_path / "state"
    state.mkdir()
    with small_disk(state, 4 << 20), base_image(world, os.urandom(8 << 20)) as large:
        with pytest.raises(Unavailable, match=f"DISK_FULL.*{state}/images.*PROVER_STATE_DIR"):
            pipeline(world, tmp_path).ensure(request(repo, large, registry.host), quiet)
        assert sum(path.stat().st_size for path in state.rglob("*") if path.is_file()) < 1 << 16
    assert (registry.tags(), registry.uploads()) == ([], [])
    with base_image(world, b"small") as small:
        assert pipeline(world, tmp_path).ensure(request(repo, small, registry.host), quiet).built


def test_faults_before_anything_is_sent(
    world: dict[str, str], tmp_path: Path, registry: RegistryRoom, base: str, repo: Path
) -> None:
    """Engine down, base image absent, circuit absent and registry down each have their own code and remedy."""
    asked = request(repo, base, registry.host)
    nowhere = PushedImages(f"unix://{tmp_path}/none.sock", OneLogin(), tmp_path / "state")
    with pytest.raises(
        Unavailable, match=f"DOCKER_DOWN: Docker does not answer on DOCKER_HOST=unix://{tmp_path}/none.sock"
    ):
        nowhere.ensure(asked, quiet)
    absent = asked.model_copy(update={"backend": Backend(repo=str(repo), base_image="no-such-image")})
    with pytest.raises(ImageInputMissing, match="PROVER_BASE_IMAGE=no-such-image"):
        pipeline(world, tmp_path).ensure(absent, quiet)
    with pytest.raises(ImageInputMissing, match="CIRCUIT_DIR=elsewhere"):
        pipeline(world, tmp_path).ensure(asked.model_copy(update={"circuit_dir": "elsewhere"}), quiet)
    registry.stop()
    with pytest.raises(Unavailable, match=f"REGISTRY_DOWN: registry {registry.host} does not answer"):
        pipeline(world, tmp_path).ensure(asked, quiet)
