"""Installation of each module; the modules share the nodes, so they run one after another."""

from collections.abc import Iterator

import pytest

from tests.support.leftovers import nothing_outlives
from tests.support.ports import free_port
from tests.support.product.installation import Product


@pytest.fixture(scope="module", autouse=True)
def _nothing_outlives(world: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Assert that no process and no listener of a module's tests is left after its fixtures."""
    with nothing_outlives([str(tmp_path_factory.getbasetemp()), f"{world['WORLD_STATE']}/e2e-"]):
        yield


@pytest.fixture(scope="module")
def product(world: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """Yield a prepared installation with a running worker."""
    made = Product(world, tmp_path_factory.mktemp("e2e"), coordinator_port=free_port(), database_port=free_port())
    try:
        made.prepare()
        made.start_worker()
        yield made
    finally:
        made.remove()
