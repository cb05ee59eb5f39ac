"""The stand-in repository of the FluiDex backend, and the bundled profile on it."""

import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clients.backend.host import LocalBackendHost
from domain.spec import Backend
from tests.support.backend.driver import Driver
from tests.support.backend.fluidex.stand_in import LOCK, PORTS, StandIn, build_service, kill
from tests.support.leftovers import nothing_outlives


@pytest.fixture(scope="module", autouse=True)
def _nothing_outlives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Assert that no process and no listener of a module's tests is left after its fixtures."""
    with nothing_outlives([str(tmp_path_factory.getbasetemp())]):
        yield


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that stands for all others."""
    return build_service(tmp_path_factory.mktemp("service"))


@pytest.fixture
def stand_in(world: dict[str, str], tmp_path: Path, service: Path) -> Iterator[StandIn]:
    """A repository just cloned; one at a time on a machine."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = StandIn(tmp_path, service, world["DOCKER_HOST"])
        yield made
        kill([pid for pids in made.processes().values() for pid in pids])
        made.remove()


@pytest.fixture
def drive(world: dict[str, str], stand_in: StandIn, tmp_path: Path) -> Iterator[Callable[..., Driver]]:
    """Makes a driver whose worker has these variables, too; what it started is stopped in the end."""
    made: list[Driver] = []

    def make(profile: str = "fluidex", **environ: str) -> Driver:
        host = LocalBackendHost(tmp_path / "state", stand_in.environ | environ)
        backend = Backend(repo=str(stand_in.repo), profile=profile)
        made.append(Driver(host, backend, ip=world["COORDINATOR_EP"], port=PORTS["COORDINATOR_PORT"]))
        return made[-1]

    yield make
    for driver in made[:1]:
        driver.stop()
