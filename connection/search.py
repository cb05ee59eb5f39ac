"""Search attributes of deployments, so that `list` and the Temporal UI can filter by stage, phase and namespace."""

from temporalio.client import Client
from temporalio.common import SearchAttributeKey

from domain import names

STAGE = SearchAttributeKey.for_keyword(names.SEARCH_STAGE)
PHASE = SearchAttributeKey.for_keyword(names.SEARCH_PHASE)
NAMESPACE = SearchAttributeKey.for_keyword(names.SEARCH_NAMESPACE)


async def register(client: Client) -> bool:
    """Make the server know them; False where we may not."""
    raise NotImplementedError
