"""One installation per story; the nodes are shared, so stories follow one another."""

from collections.abc import Iterator

import pytest

from tests.support.product.installation import Product


@pytest.fixture(scope="module")
def product(world: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """A prepared installation with a running worker."""
    made = Product(world, tmp_path_factory.mktemp("e2e"), coordinator_port=21155, database_port=25532)
    try:
        made.prepare()
        made.start_worker()
        yield made
    finally:
        made.remove()
