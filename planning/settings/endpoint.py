"""Judges coordinator endpoints: the API server refuses only some of the addresses that no pod could ever reach."""

from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

from domain import names
from domain.commands import ResetEndpoint
from domain.errors import NoEffect
from domain.spec import ClusterSpec, Endpoint

MAX_PORT = 65535
SERVICE_PORT = 80  # of our Service
CLUSTER_DOMAIN = "cluster.local"
METADATA_ADDRESSES = {"169.254.169.254", "fd00:ec2::254", "100.100.100.200", "192.0.0.192"}  # AWS, Alibaba, Oracle


def problems(ip: str, port: int) -> list[str]:
    """Everything wrong with an endpoint, one complete sentence each, naming the setting; empty when it is fine."""
    return [problem for problem in (_ip_problem(ip), _port_problem(port)) if problem]


def resolve(current: Endpoint, command: ResetEndpoint) -> Endpoint:
    """Return the endpoint after this command; a part that it does not name stays as it is."""
    return Endpoint(ip=command.ip or current.ip, port=current.port if command.port is None else command.port)


def is_own_service(spec: ClusterSpec) -> bool:
    """Whether COORDINATOR_SERV names our own Service, in any form of its name that a pod resolves."""
    serv = spec.coordinator_serv
    if not serv:
        return False
    try:
        url = urlsplit(serv if "://" in serv else f"http://{serv}")
        host, port = (url.hostname or "").rstrip("."), url.port
    except ValueError:
        return False
    name, _, domain = host.partition(".")
    within = (spec.namespace, f"{spec.namespace}.svc", f"{spec.namespace}.svc.{CLUSTER_DOMAIN}")
    plain = url.scheme == "http" and port in (None, SERVICE_PORT)
    return plain and name == names.COORDINATOR_SERVICE and domain in ("", *within)


def overridden(spec: ClusterSpec) -> bool:
    """Whether COORDINATOR_SERV leads clients elsewhere than to the endpoint."""
    return bool(spec.coordinator_serv) and not is_own_service(spec)


def require_effect(spec: ClusterSpec) -> None:
    """Raise NoEffect when clients do not use the endpoint because COORDINATOR_SERV overrides it (R14)."""
    if overridden(spec):
        raise NoEffect(
            "reset-endpoint has no effect on the clients",
            on=f"namespace {spec.namespace}",
            because=f"they were given the upstream {spec.coordinator_serv} by COORDINATOR_SERV",
            do="deploy again with another COORDINATOR_SERV, or with none to use the endpoint",
        )


def canonical(ip: str) -> str:
    """Return the address as Kubernetes writes it: `2001:DB8:0::1` and `2001:db8::1` are one endpoint; ValueError."""
    return str(ip_address(ip))


def _ip_problem(ip: str) -> str:
    given = f"COORDINATOR_EP={ip!r}"
    if not ip:
        return "COORDINATOR_EP is not set: give the IP address of the coordinator that every node can reach."
    if "%" in ip:
        return f"{given} has a zone: give an address that means the same on every node."
    try:
        address = ip_address(ip)
    except ValueError:
        return f"{given} is not an IP address: host names are not resolved, give the coordinator's IP."
    kind = _unreachable_kind(address)
    if kind:
        return f"{given} is {kind}: give an IP address of the coordinator that every node can reach."
    return ""


def _unreachable_kind(address: IPv4Address | IPv6Address) -> str:
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    kinds = {
        f"an IPv4 address written as IPv6 ({mapped})": mapped is not None,
        "a metadata service of a cloud": str(address) in METADATA_ADDRESSES,
        "the unspecified address": address.is_unspecified,
        "a loopback address, which is each pod itself": address.is_loopback,
        "a link-local address": address.is_link_local,
        "a multicast address": address.is_multicast,
        "a reserved address": isinstance(address, IPv4Address) and address.is_reserved,
    }
    return next((kind for kind, applies in kinds.items() if applies), "")


def _port_problem(port: int) -> str:
    if 1 <= port <= MAX_PORT:
        return ""
    return f"COORDINATOR_PORT={port} is not a TCP port: give a number from 1 to {MAX_PORT}."
