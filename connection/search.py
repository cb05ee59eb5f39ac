"""Search attributes of deployments, so that `list` and the Temporal UI can filter by stage, phase and namespace."""

import logging

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError, RPCStatusCode

from domain import names

STAGE = SearchAttributeKey.for_keyword(names.SEARCH_STAGE)
PHASE = SearchAttributeKey.for_keyword(names.SEARCH_PHASE)
NAMESPACE = SearchAttributeKey.for_keyword(names.SEARCH_NAMESPACE)
ALL = (STAGE, PHASE, NAMESPACE)

log = logging.getLogger(__name__)


async def registered(client: Client) -> bool:
    """Whether the server knows all of them: upserting one that it does not know would hang a workflow."""
    try:
        known = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace)
        )
    except RPCError:
        return False
    return all(key.name in known.custom_attributes for key in ALL)


async def register(client: Client) -> bool:
    """Make the server know them; False where we may not, and then the command for somebody who may is logged."""
    if await registered(client):
        return True
    keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    request = AddSearchAttributesRequest(
        search_attributes={key.name: keyword for key in ALL}, namespace=client.namespace
    )
    try:
        await client.operator_service.add_search_attributes(request)
    except RPCError as error:
        if error.status is RPCStatusCode.ALREADY_EXISTS:
            return await registered(client)
        log.warning("search attributes are off, for the server said %s; turn them on with: %s", error, command(client))
        return False
    return True


def command(client: Client) -> str:
    """Return the command that an administrator has to run."""
    parts = " ".join(f"--name {key.name} --type Keyword" for key in ALL)
    return f"temporal operator search-attribute create --namespace {client.namespace} {parts}"
