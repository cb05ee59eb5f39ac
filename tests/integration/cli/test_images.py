"""`proverctl images` through Temporal and workers on fakes: what is shown, what is asked, and what stays."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from temporalio.client import Client

from domain import names
from domain.images import StoredImage
from tests.support.command_line import BIN, Cli, Deployed
from tests.support.terminal import on_terminal

pytestmark = pytest.mark.asyncio(loop_scope="module")

REPOSITORY = "fluidex/prover"
DEPLOYED = "sha256:0"  # what the fake pipeline makes of any commit


def _image(letter: str, day: int) -> StoredImage:
    return StoredImage(
        place="registry",
        digest=f"sha256:{letter}",
        tags=[f"client-{letter}"],
        stage=letter,
        commit=letter * 40,
        size=3 * 10**9,
        created=f"2026-01-{day:02}T00:00:00Z",
    )


@pytest_asyncio.fixture(loop_scope="module")
async def here(cli: Cli, client: Client, deployed: Deployed) -> AsyncIterator[list[str]]:
    """Set up a backend host of this test and a registry with three images, of which the oldest gets deployed.

    Every deployment counts, so none of a test may be left behind.
    """
    deployed.world.images = [_image("b", 2), _image("c", 3), _image(DEPLOYED[-1], 1)]
    yield deployed.here[2:]
    deployed.world.held.set()
    assert (await cli("tear-down", "--yes", *deployed.here)).code == 0
    await _until(client, deployed.here[1], "Completed")


def _left(deployed: Deployed) -> set[str]:
    return {image.digest for image in deployed.world.images}


async def test_what_is_there_and_why_it_stays(cli: Cli, deployed: Deployed, here: list[str]) -> None:
    """A table for people, all of it for programs; settings of a deploy are not needed, and nothing is removed."""
    assert (await cli("deploy", *deployed.here)).code == 0
    done = await cli("images", *here, "--keep", "1", COORDINATOR_EP="")
    assert done.code == 0, done.err
    rows = [line.split() for line in done.out.splitlines()]
    assert rows[0] == ["WHERE", "TAGS", "DIGEST", "COMMIT", "SIZE", "CREATED", "STAYS"]
    assert rows[1] == [
        "registry",
        "client-c",
        "c",
        "ccccccc",
        "3.0",
        "GB",
        "2026-01-03T00:00:00Z",
        "among",
        "the",
        "newest",
        "1",
    ]
    assert rows[2][-4:] == ["no:", "--prune", "removes", "it"]
    done = await cli("images", *here, "-o", "json")
    found = {image["digest"]: image for image in json.loads(done.out)["images"]}
    deployment = names.deployment_id("default", deployed.here[1])
    assert found[DEPLOYED]["named_by"] == [f"{deployment} revision 1"]
    assert [image["removed"] for image in found.values()] == [False] * 3
    assert len(deployed.world.images) == 3


async def test_pruning_in_a_script(cli: Cli, deployed: Deployed, here: list[str]) -> None:
    """The command needs --yes, keeps named images however old, and reports what was removed."""
    assert (await cli("deploy", *deployed.here)).code == 0
    refused = await cli("images", *here, "--prune", "--keep", "0")
    assert (refused.code, refused.out) == (2, "")
    assert f"proverctl images --prune --keep 0 --yes --backend-host {here[1]}" in refused.err
    assert [name for name, _ in deployed.world.calls if name == "survey_images"] == []
    done = await cli("images", *here, "--prune", "--keep", "1", "--yes")
    assert done.code == 0, done.err
    assert "removed 1 image\n" in done.err
    assert "garbage collection" in done.err
    assert _left(deployed) == {"sha256:c", DEPLOYED}


async def test_a_deployment_that_was_cut_short_still_names_its_image(
    cli: Cli, client: Client, deployed: Deployed, here: list[str]
) -> None:
    """Clients of a run cut short may still run; only a torn-down deployment names nothing."""
    assert (await cli("deploy", *deployed.here)).code == 0
    await client.get_workflow_handle(names.deployment_id("default", deployed.here[1])).terminate("cut short")
    await _until(client, deployed.here[1], "Terminated")
    assert (await cli("images", *here, "--prune", "--keep", "0", "--yes")).code == 0
    assert _left(deployed) == {DEPLOYED}
    assert (await cli("tear-down", "--yes", *deployed.here)).code == 0
    await _until(client, deployed.here[1], "Completed")
    assert (await cli("images", *here, "--prune", "--keep", "0", "--yes")).code == 0
    assert _left(deployed) == set()


async def test_a_deployment_on_its_way_forbids_pruning(cli: Cli, deployed: Deployed, here: list[str]) -> None:
    """The deployment may be about to name an image: listing warns, pruning is refused with its name."""
    deployed.world.faults["ensure_image"].append(deployed.world.hold)
    assert (await cli("deploy", *deployed.here, "--no-wait")).code == 0
    async with asyncio.timeout(20):
        while "ensure_image" not in deployed.world.names():  # noqa: ASYNC110 - the fakes know no tests
            await asyncio.sleep(0.02)
    deployment = names.deployment_id("default", deployed.here[1])
    listed = await cli("images", *here)
    assert listed.code == 0
    assert f"{deployment} is image and may name another image soon" in listed.err
    refused = await cli("images", *here, "--prune", "--yes", "--keep", "0")
    assert refused.code == 3
    assert "nothing was removed" in refused.err
    assert deployment in refused.err
    assert len(deployed.world.images) == 3


async def test_wrong_settings(cli: Cli) -> None:
    """All problems are reported at once, before anything is contacted."""
    done = await cli("images", "--keep", "some", IMAGE_REPO="", TEMPORAL_ADDRESS="127.0.0.1:1")
    assert (done.code, done.out) == (2, "")
    assert "--keep='some' must be a whole number" in done.err
    assert "IMAGE_REPO is not set" in done.err


async def test_nobody_works_on_the_backend_host(cli: Cli, deployed: Deployed) -> None:
    """Exit 6 with the queue."""
    assert deployed.world.images == []
    done = await cli("images", "--backend-host", "nobody")
    assert (done.code, names.host_queue("nobody") in done.err) == (6, True)


@pytest.mark.parametrize(
    ("typed", "code", "left"),
    [(REPOSITORY, 0, {"sha256:c"}), ("fluidex", 2, {"sha256:b", "sha256:c", DEPLOYED})],
)
async def test_on_a_terminal_the_repository_is_typed(
    cli: Cli, deployed: Deployed, here: list[str], typed: str, code: int, left: set[str]
) -> None:
    """After what would go was shown; anything else removes nothing."""
    words = [str(BIN / "proverctl"), "images", *here, "--prune", "--keep", "1"]
    ended, said = await asyncio.to_thread(on_terminal, words, {**cli.environ, "TERM": "xterm"}, typed)
    assert ended == code, said
    assert said.index("client-b") < said.index(f"Type the repository to remove 2 images ({REPOSITORY})")
    assert _left(deployed) == left


async def test_on_a_terminal_nothing_is_asked_when_nothing_goes(cli: Cli, deployed: Deployed, here: list[str]) -> None:
    """The command says so and ends."""
    words = [str(BIN / "proverctl"), "images", *here, "--prune"]
    ended, said = await asyncio.to_thread(on_terminal, words, {**cli.environ, "TERM": "xterm"})
    assert (ended, "nothing is to be removed" in said) == (0, True)
    assert len(deployed.world.images) == 3


async def _until(client: Client, namespace: str, status: str) -> None:
    """Wait until the last run is listed as ended in this way, which the server does in its own time."""
    query = f'WorkflowId="{names.deployment_id("default", namespace)}" AND ExecutionStatus="{status}"'
    async with asyncio.timeout(20):
        while not [run async for run in client.list_workflows(query)]:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.02)
