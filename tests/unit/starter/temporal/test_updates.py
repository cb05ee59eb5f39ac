"""Commands sent to a deployment: under which id their outcomes are kept."""

from typing import Any, cast

import pytest
from temporalio.client import Client

from connection import search
from domain.commands import Receipt, ResetEndpoint, Upgrade
from domain.spec import ClusterSpec, Endpoint, ImageTarget
from starter.temporal.updates import start_or_ask

SPEC = ClusterSpec(coordinator=Endpoint(ip="10.0.0.9"), image=ImageTarget(repository="r"))


class Accepting:
    """In place of Temporal's client: accepts each update under its id."""

    async def execute_update_with_start_workflow(self, *_: Any, id: str, **__: Any) -> Receipt:  # noqa: A002
        """Answer at once."""
        return Receipt(command_id=id, phase="serving")


@pytest.mark.parametrize(
    ("asked", "title"), [(Upgrade(spec=SPEC), "deploy-"), (ResetEndpoint(ip="10.0.0.7"), "resetendpoint-")]
)
async def test_the_id_begins_with_the_command(asked: Any, title: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As people typed it: a deploy is called so whether it is the first or an upgrade."""

    async def registered(_: Client) -> bool:
        return False

    monkeypatch.setattr(search, "registered", registered)
    receipt = await start_or_ask(cast("Client", Accepting()), SPEC, cast("Any", None), asked)
    assert receipt.command_id.startswith(title)
