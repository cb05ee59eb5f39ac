"""Endpoints are judged before anything is contacted."""

import pytest

from domain.commands import ResetEndpoint
from domain.errors import NoEffect
from domain.spec import ClusterSpec, Endpoint, ImageTarget
from planning.settings import endpoint

GOOD_IPS = ["10.1.2.3", "192.168.0.1", "203.0.113.9", "8.8.8.8", "2001:db8::1", "fd12::7"]
BAD_IPS = [
    ("", "not set"),
    ("coordinator.example.com", "not an IP"),
    ("localhost", "not an IP"),
    ("10.1.2", "not an IP"),
    ("010.1.2.3", "not an IP"),
    ("10.1.2.3:50055", "not an IP"),
    ("10.1.2.3/24", "not an IP"),
    (" 10.1.2.3", "not an IP"),
    ("127.0.0.1", "loopback"),
    ("127.8.8.8", "loopback"),
    ("::1", "loopback"),
    ("0.0.0.0", "unspecified"),  # noqa: S104 - refused, not bound
    ("::", "unspecified"),
    ("169.254.1.1", "link-local"),
    ("fe80::1", "link-local"),
    ("fe80::1%eth0", "zone"),
    ("224.0.0.1", "multicast"),
    ("ff02::1", "multicast"),
    ("169.254.169.254", "metadata"),
    ("fd00:ec2::254", "metadata"),
    ("100.100.100.200", "metadata"),
    ("255.255.255.255", "reserved"),
    ("240.0.0.1", "reserved"),
    ("::ffff:10.1.2.3", "IPv4 address written as IPv6"),
]


@pytest.mark.parametrize("ip", GOOD_IPS)
def test_reachable_addresses_pass(ip: str) -> None:
    """Unicast addresses of both families are fine, private ones included."""
    assert endpoint.problems(ip, 50055) == []


@pytest.mark.parametrize(("ip", "reason"), BAD_IPS)
def test_unreachable_addresses_are_named(ip: str, reason: str) -> None:
    """Each address that no pod could use gives one sentence with the setting and the reason."""
    found = endpoint.problems(ip, 50055)
    assert len(found) == 1
    assert found[0].startswith("COORDINATOR_EP")
    assert reason in found[0]


@pytest.mark.parametrize("port", [0, -1, 65536, 70000])
def test_impossible_ports_are_named(port: int) -> None:
    """A port outside 1 to 65535 names its setting and its value."""
    assert endpoint.problems("10.1.2.3", port) == [
        f"COORDINATOR_PORT={port} is not a TCP port: give a number from 1 to 65535."
    ]


def test_all_problems_at_once() -> None:
    """A bad address and a bad port are both reported."""
    assert len(endpoint.problems("localhost", 0)) == 2


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (ResetEndpoint(ip="10.0.0.2"), Endpoint(ip="10.0.0.2", port=7000)),
        (ResetEndpoint(port=7001), Endpoint(ip="10.0.0.1", port=7001)),
        (ResetEndpoint(ip="10.0.0.2", port=7001), Endpoint(ip="10.0.0.2", port=7001)),
        (ResetEndpoint(), Endpoint(ip="10.0.0.1", port=7000)),
    ],
)
def test_missing_parts_stay(command: ResetEndpoint, expected: Endpoint) -> None:
    """A reset changes only what it names."""
    assert endpoint.resolve(Endpoint(ip="10.0.0.1", port=7000), command) == expected


def test_reset_without_effect_is_refused() -> None:
    """Clients that were given an upstream of their own do not use the endpoint (R14)."""
    image, coordinator = ImageTarget(repository="prover"), Endpoint(ip="10.0.0.1")
    endpoint.require_effect(ClusterSpec(image=image, coordinator=coordinator))
    with pytest.raises(NoEffect, match="http://c:1 by COORDINATOR_SERV"):
        endpoint.require_effect(ClusterSpec(image=image, coordinator=coordinator, coordinator_serv="http://c:1"))


OWN = "cluster-coordinator"


@pytest.mark.parametrize(
    "serv",
    [
        *(f"http://{OWN}{rest}" for rest in ("", "/", ":80", ".", ".provers", ".provers.svc", ".provers.svc:80")),
        *(f"{OWN}{rest}" for rest in ("", ".provers.svc.cluster.local", ".provers.svc.cluster.local.:80")),
        "http://Cluster-Coordinator",
    ],
)
def test_our_own_service_as_upstream_is_no_override(serv: str) -> None:
    """In each form of its name: clients then go by the endpoint."""
    spec = ClusterSpec(image=ImageTarget(repository="r"), coordinator=Endpoint(ip="10.0.0.1"), namespace="provers")
    spec = spec.model_copy(update={"coordinator_serv": serv})
    assert endpoint.is_own_service(spec)
    endpoint.require_effect(spec)


@pytest.mark.parametrize(
    "serv",
    [
        *(f"http://{OWN}{rest}" for rest in (":8080", ".other", ".other.svc", ".provers.svc.example.org", ":x")),
        f"https://{OWN}",
        "http://10.0.0.1:50055",
        "http://x.cluster-coordinator",
    ],
)
def test_another_upstream_is_an_override(serv: str) -> None:
    """Another name, namespace, port or scheme leads elsewhere."""
    spec = ClusterSpec(image=ImageTarget(repository="r"), coordinator=Endpoint(ip="10.0.0.1"), namespace="provers")
    with pytest.raises(NoEffect):
        endpoint.require_effect(spec.model_copy(update={"coordinator_serv": serv}))


@pytest.mark.parametrize(("given", "expected"), [("10.0.0.1", "10.0.0.1"), ("2001:DB8:0:0::1", "2001:db8::1")])
def test_canonical_addresses(given: str, expected: str) -> None:
    """One address has one spelling, so that writing it again changes nothing."""
    assert endpoint.canonical(given) == expected
