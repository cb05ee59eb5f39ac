"""Settings of the running world for all tests; the cluster that the caller's KUBECONFIG names is never touched."""

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from dotenv import dotenv_values

from sandbox.kubernetes.fleet import Fleet
from sandbox.settings import Settings

# How long a case takes says nothing on a machine that builds, proves and tests at once.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

_FOREIGN = ("KUBECONFIG", "DOCKER_HOST", "DOCKER_CONTEXT")


@pytest.fixture(scope="session", autouse=True)
def _no_foreign_cluster() -> None:
    """Forget what the caller's environment says about clusters, engines and Temporal."""
    for name in [name for name in os.environ if name in _FOREIGN or name.startswith("TEMPORAL_")]:
        del os.environ[name]


@pytest.fixture(scope="session")
def world() -> dict[str, str]:
    """Settings of the running world, as its world.env has them."""
    name = os.environ.get("PROVER_WORLD", "world")
    file = Path("/var/lib/prover-world") / name / "world.env"
    if not file.exists():
        pytest.fail(f"{file} does not exist: run `make up` as root first")
    return {key: value for key, value in dotenv_values(file).items() if value is not None}


@pytest.fixture
def fleet(world: dict[str, str]) -> Iterator[Fleet]:
    """An empty fleet of fake nodes in that world, for this test alone; its nodes are gone afterwards."""
    assert Settings.from_environment().name == world["WORLD_NAME"]
    with Fleet(Settings.from_environment(), "test") as fleet:
        yield fleet
