"""Warning about proofs in flight before a command ends the clients that compute them."""

import pytest

from domain.commands import Command, Kind, ResetEndpoint, Scale, Upgrade
from domain.spec import ClusterSpec, Endpoint, ImageTarget
from domain.status import Release
from planning.plan import proofs

SPEC = ClusterSpec(coordinator=Endpoint(ip="10.0.0.9"), image=ImageTarget(repository="r"))
SERV = SPEC.model_copy(update={"coordinator_serv": "http://coordinator.example:7000"})
UPGRADE = Command(id="deploy-1", kind=Kind.UPGRADE, upgrade=Upgrade(spec=SPEC))
RESET = Command(id="reset-1", kind=Kind.RESET_ENDPOINT, reset_endpoint=ResetEndpoint(ip="10.0.0.7"))


def scale(replicas: int) -> Command:
    """A change of the number of clients."""
    return Command(id="scale-1", kind=Kind.SCALE, scale=Scale(replicas=replicas))


@pytest.mark.parametrize(
    ("command", "spec", "told"),
    [
        (scale(2), SPEC, "1 client will end without being drained: busy ones lose their proof"),
        (scale(1), SPEC, "2 clients will end without being drained: busy ones lose their proof"),
        (UPGRADE, SPEC, "clients that this deploy replaces are not drained: busy ones lose their proof"),
        (RESET, SPEC, "proofs in flight go to the new coordinator"),
    ],
)
def test_a_command_that_loses_proofs_says_so(command: Command, spec: ClusterSpec, told: str) -> None:
    """With how many clients end, and what happens to their tasks."""
    said = proofs.at_risk(command, spec, Release(replicas=3))
    assert told in said
    assert proofs.STRANDED in said


@pytest.mark.parametrize(
    ("command", "spec", "running"),
    [
        (scale(3), SPEC, Release(replicas=3)),
        (scale(4), SPEC, Release(replicas=3)),
        (UPGRADE, SPEC, None),
        (UPGRADE, SPEC, Release(replicas=0)),
        (RESET, SERV, Release(replicas=3)),
    ],
)
def test_nothing_is_said_where_no_client_ends(command: Command, spec: ClusterSpec, running: Release | None) -> None:
    """As many or more clients, none yet, or an endpoint that COORDINATOR_SERV keeps them from."""
    assert proofs.at_risk(command, spec, running) == ""
