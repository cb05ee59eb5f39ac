"""Commands sent to a deployment: under which id their outcomes are kept."""

from typing import Any, cast

import pytest
from temporalio.client import Client

from connection import search
from domain.commands import Receipt, ResetEndpoint, Upgrade
from domain.spec import ClusterSpec, Endpoint, ImageTarget
from starter.temporal.updates import start_or_ask

SPEC = ClusterSpec(coordinator=Endpoint(ip="10.0.0.9"), image=ImageTarget(repository="r"))


class Handle:
    """An update that was accepted under its id."""

    def __init__(self, update_id: str) -> None:
        self._id = update_id

    async def result(self) -> Receipt:
        """Return the receipt at once."""
        return Receipt(command_id=self._id, phase="serving")


class Accepting:
    """A Temporal client that accepts each update."""

    async def start_update_with_start_workflow(self, *_: Any, id: str, **__: Any) -> Handle:  # noqa: A002
        """Return the update's handle."""
        return Handle(id)


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
