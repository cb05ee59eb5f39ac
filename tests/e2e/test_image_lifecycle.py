"""The way of an image as its user sees it: a ref of a repository, a tag that does not move, and what is kept."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.product.installation import Product

ONE = {"CLIENT_REPLICAS": "1"}


@pytest.fixture(scope="module")
def journey(product: Product) -> Iterator[Product]:
    """Yield a backend that is up, and no client."""
    product.cli("setup-all", *product.here(), env={"CLIENT_REPLICAS": "0"})
    yield product
    product.cli("tear-down", "--yes", "--backend", *product.here())


@pytest.fixture(scope="module")
def published(journey: Product, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return settings for a bare repository that holds a circuit, at a tag."""
    place = tmp_path_factory.mktemp("published")
    shutil.copytree(journey.repo / "build" / "circuit", place / "work" / "circuit")
    for command in (
        ("init", "--quiet", "--initial-branch", "main", "work"),
        ("-C", "work", "add", "--all"),
        ("-C", "work", "-c", "user.name=e2e", "-c", "user.email=e2e@localhost", "commit", "--quiet", "-m", "A circuit"),
        ("-C", "work", "tag", "v1"),
        ("clone", "--quiet", "--bare", "work", "bare.git"),
    ):
        subprocess.run(["git", *command], cwd=place, check=True)
    return {"BACKEND_REPO": str(place / "bare.git"), "BACKEND_REF": "v1", "CIRCUIT_DIR": "circuit", **ONE}


def _images(product: Product) -> list[dict[str, Any]]:
    found: dict[str, Any] = json.loads(product.cli("images", "--output=json").stdout)
    return [image for image in found["images"] if image["place"] == "registry"]


def test_a_ref_is_deployed_apart_from_any_work_tree(journey: Product, published: dict[str, str]) -> None:
    """The commit of the tag is what runs; the status names where it came from; a ref that is not there is refused."""
    journey.cli("deploy", *journey.here(), env=published)
    commit = subprocess.run(
        ["git", "-C", published["BACKEND_REPO"], "rev-parse", "v1^{commit}"], check=True, capture_output=True, text=True
    ).stdout.strip()
    release = journey.status()["release"]
    assert (release["commit"], release["dirty"]) == (commit, False)
    assert release["checked_out"] == f"{published['BACKEND_REPO']}@v1"
    said = journey.cli("deploy", *journey.here(), code=1, env={**published, "BACKEND_REF": "v2"}).stderr
    assert "BACKEND_REF" in said
    assert "nothing was changed in the cluster" in said
    assert journey.status()["release"]["commit"] == commit


def test_a_schema_that_cannot_be_told(journey: Product, published: dict[str, str]) -> None:
    """No source of a client is in that repository: the setting and the way out are named before anything happens."""
    asked = {**published, "CLIENT_CONFIG_SCHEMA": "auto"}
    said = journey.cli("deploy", *journey.here(), code=2, env=asked).stderr
    assert "CLIENT_CONFIG_SCHEMA=auto cannot be told" in said
    assert "flat or struct" in said


def test_the_tag_of_a_commit_names_one_content(journey: Product) -> None:
    """A key that was made anew without a commit is refused and clients stay; forced, it is deployed and said."""
    journey.cli("deploy", *journey.here(), env=ONE)
    before = journey.status()["release"]["image"]
    (journey.repo / "build/circuit/ballast.key").write_bytes(b"a key that no commit knows")
    refused = journey.cli("deploy", *journey.here(), code=3, env=ONE).stderr
    assert [word for word in ("TAG_TAKEN", "circuit files", "--force-tag") if word not in refused] == []
    assert journey.status()["release"]["image"] == before
    forced = journey.cli("deploy", "--force-tag", *journey.here(), env=ONE)
    after = journey.status()["release"]["image"]
    assert before.partition("@")[0] == after.partition("@")[0]
    assert before != after
    assert f"it named {before.partition('@')[2]} before" in forced.stderr + forced.stdout
    (journey.repo / "build/circuit/ballast.key").unlink()


def test_what_a_release_history_names_is_kept(journey: Product) -> None:
    """Only images that nobody deployed are removed; every named one is still there to roll back to."""
    images = _images(journey)
    named = {image["digest"] for image in images if image["named_by"]}
    serving = journey.status()["release"]["image"].partition("@")[2]
    assert serving in named
    assert len(named) >= 3
    journey.cli("images", "--prune", "--keep", "1", "--yes")
    assert {image["digest"] for image in _images(journey)} >= named
