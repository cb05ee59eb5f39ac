"""Settings of the world: where everything is, and what is refused before anything starts."""

import ipaddress
from itertools import combinations

import pytest

from sandbox.errors import WorldError
from sandbox.settings import Settings

_SECOND = {
    "PROVER_WORLD": "second",
    "PROVER_WORLD_NODES": "60",
    "PROVER_WORLD_SUBNET": "10.211.0.0/16",
    "PROVER_WORLD_PORT_OFFSET": "100",
}


def _networks(settings: Settings) -> list[ipaddress.IPv4Network]:
    return [
        settings.bridge_network,
        settings.docker_bridge_network,
        settings.docker_networks,
        settings.pods,
        settings.services,
    ]


def test_networks_of_a_world_do_not_overlap() -> None:
    """Bridge, Docker, pods and Services share the /16 without touching one another."""
    settings = Settings.from_environment(_SECOND)

    for one, other in combinations(_networks(settings), 2):
        assert not one.overlaps(other), (one, other)
    for network in _networks(settings):
        assert network.subnet_of(settings.subnet)


def test_every_node_has_pods_and_an_address_of_its_own() -> None:
    """Also the last of the most nodes allowed lies inside bridge and pod network."""
    settings = Settings.from_environment(_SECOND)
    slices = [settings.node_pods(number) for number in settings.node_numbers]

    assert len(set(slices)) == settings.nodes == 60
    assert all(network.subnet_of(settings.pods) for network in slices)
    addresses = {ipaddress.ip_address(settings.node_ip(number)) for number in settings.node_numbers}
    assert len(addresses) == 60
    assert all(address in settings.bridge_network for address in addresses)


def test_names_fit_the_kernel() -> None:
    """Links have at most 15 characters, paths of unix sockets 107."""
    settings = Settings.from_environment(_SECOND | {"PROVER_WORLD": "abcdefgh"})

    assert len(settings.node_link(60)) <= 15
    assert len(str(settings.node_state(60) / "containerd.sock.ttrpc")) <= 107


def test_default_world_has_plain_node_names() -> None:
    """Documents and tests speak of node1; a second world's nodes carry its name."""
    assert Settings.from_environment({}).node_name(1) == "node1"
    assert Settings.from_environment(_SECOND).node_name(1) == "second-node1"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("PROVER_WORLD", "../etc"),
        ("PROVER_WORLD", "toolongname"),
        ("PROVER_WORLD", ""),
        ("PROVER_WORLD_NODES", "0"),
        ("PROVER_WORLD_NODES", "many"),
        ("PROVER_WORLD_SUBNET", "10.201.0.0/24"),
        ("PROVER_WORLD_SUBNET", "8.8.0.0/16"),
        ("PROVER_WORLD_SUBNET", "fd00::/16"),
        ("PROVER_WORLD_PORT_OFFSET", "-1"),
        ("PROVER_WORLD_PORT_OFFSET", "15001"),
    ],
)
def test_refuses_settings_that_cannot_work(key: str, value: str) -> None:
    """The message names the setting and what it was."""
    with pytest.raises(WorldError, match=key):
        Settings.from_environment({key: value})


def test_no_port_is_one_that_the_kernel_hands_out() -> None:
    """Even at the largest offset: an outgoing connection may hold any port from 32768 on when a server wants it."""
    ports = Settings.from_environment({"PROVER_WORLD_PORT_OFFSET": "10000"}).ports
    names = [name for name, value in vars(type(ports)).items() if isinstance(value, property)]
    assert len(names) > 5
    assert [name for name in names if getattr(ports, name) >= 32768] == []
