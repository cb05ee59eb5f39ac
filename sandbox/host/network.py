"""Bridge, node namespaces, routes and firewall of one world; all idempotent, all recognisable by name."""

import ipaddress
import json
from pathlib import Path

from sandbox.errors import WorldError
from sandbox.host.command import run, succeeds
from sandbox.host.mounts import mount_points
from sandbox.settings import Settings

NAMESPACES = Path("/run/netns")
_DEVICES = Path("/sys/class/net")


def ensure_network(settings: Settings) -> None:
    """Make or repair everything that the nodes communicate over."""
    _refuse_foreign_routes(settings)
    _ensure_bridge(settings.bridge, f"{settings.host}/{settings.bridge_network.prefixlen}")
    for number in settings.node_numbers:
        _ensure_node(settings, number)
    _ensure_firewall(settings)


def remove_network(settings: Settings) -> None:
    """Remove what carries our name, and bridges that our Docker Engine made out of our subnet."""
    for table, hook in _HOOKS:
        _remove_chain(settings, table, hook)
    for namespace in _ours(NAMESPACES, settings):
        run("ip", "netns", "delete", namespace.name)
    for link in _links(settings):
        if (_DEVICES / link).exists():  # one end of a pair takes the other with it
            run("ip", "link", "delete", link)


def _links(settings: Settings) -> list[str]:
    return [*(path.name for path in _ours(_DEVICES, settings)), *_docker_bridges(settings)]


def _docker_bridges(settings: Settings) -> list[str]:
    """Bridges named after networks that our own Docker Engine, and no other, has in its books."""
    books = settings.state / "docker" / "network" / "files" / "local-kv.db"
    known = books.read_bytes() if books.exists() else b""
    return [path.name for path in _DEVICES.glob("br-*") if path.name.removeprefix("br-").encode() in known]


def _ours(directory: Path, settings: Settings) -> list[Path]:
    names = (settings.bridge, f"{settings.bridge}-*")
    return sorted(path for pattern in names for path in directory.glob(pattern))


def _refuse_foreign_routes(settings: Settings) -> None:
    own = _links(settings)
    for route in json.loads(run("ip", "-j", "-4", "route", "show") or "[]"):
        device = route.get("dev", "")
        if route["dst"] == "default" or device in own:
            continue
        network = ipaddress.IPv4Network(route["dst"])
        if network.overlaps(settings.subnet):
            raise WorldError(
                f"subnet {settings.subnet} of world {settings.name} overlaps the route {route['dst']} "
                f"via {device}: set PROVER_WORLD_SUBNET to a free private /16"
            )


def _ensure_bridge(name: str, address: str) -> None:
    if not (_DEVICES / name).exists():
        run("ip", "link", "add", name, "type", "bridge")
    run("ip", "address", "replace", address, "dev", name)
    run("ip", "link", "set", name, "up")


def ensure_docker_bridge(settings: Settings) -> str:
    """Make the bridge of our own Docker Engine and return its name."""
    name = f"{settings.bridge}-d"
    network = settings.docker_bridge_network
    _ensure_bridge(name, f"{network[1]}/{network.prefixlen}")
    return name


def _ensure_node(settings: Settings, number: int) -> None:
    name = settings.node_link(number)
    namespace = NAMESPACES / name
    if str(namespace) not in mount_points():
        namespace.unlink(missing_ok=True)  # what a lost mount leaves: an empty file
        run("ip", "netns", "add", name)
    if not succeeds("ip", "-n", name, "link", "show", "eth0"):
        run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
    run("ip", "link", "set", name, "master", settings.bridge, "up")
    steps = [
        f"address replace {settings.node_ip(number)}/{settings.bridge_network.prefixlen} dev eth0",
        "link set eth0 up",
        "link set lo up",
        f"route replace default via {settings.host}",
        *(
            f"route replace {settings.node_pods(other)} via {settings.node_ip(other)}"
            for other in settings.node_numbers
            if other != number
        ),
    ]
    run("ip", "-n", name, "-batch", "-", stdin="\n".join(steps) + "\n")
    run("nsenter", f"--net={namespace}", "sysctl", "-qw", "net.ipv4.ip_forward=1")
    run("ip", "route", "replace", str(settings.node_pods(number)), "via", settings.node_ip(number))


_HOOKS = (("filter", "FORWARD"), ("filter", "INPUT"), ("nat", "POSTROUTING"))


def _ensure_firewall(settings: Settings) -> None:
    subnet = str(settings.subnet)
    ports = f"{settings.ports.registry},{settings.ports.anonymous_registry}"
    rules = {
        # A Docker Engine of the machine sets the policy of FORWARD to DROP.
        ("filter", "FORWARD"): [f"-s {subnet} -j ACCEPT", f"-d {subnet} -j ACCEPT"],
        # The registries listen on all addresses to be reached by two names; the neighbours must not write to them.
        ("filter", "INPUT"): [
            "-i lo -j RETURN",
            f"-i {settings.bridge}+ -s {subnet} -j ACCEPT",
            f"-s {subnet} -j RETURN",
            f"-p tcp -m multiport --dports {ports} -j REJECT",
        ],
        ("nat", "POSTROUTING"): [f"-s {subnet} ! -d {subnet} -j MASQUERADE"],
    }
    for (table, hook), lines in rules.items():
        chain = _chain(settings, hook)
        if not succeeds("iptables", "-w", "-t", table, "-N", chain):
            run("iptables", "-w", "-t", table, "-F", chain)
        for line in lines:
            run("iptables", "-w", "-t", table, "-A", chain, *line.split())
        if not succeeds("iptables", "-w", "-t", table, "-C", hook, "-j", chain):
            run("iptables", "-w", "-t", table, "-I", hook, "-j", chain)


def _remove_chain(settings: Settings, table: str, hook: str) -> None:
    chain = _chain(settings, hook)
    while succeeds("iptables", "-w", "-t", table, "-D", hook, "-j", chain):
        pass  # a half-done `up` may have jumped twice
    if succeeds("iptables", "-w", "-t", table, "-F", chain):
        run("iptables", "-w", "-t", table, "-X", chain)


def _chain(settings: Settings, hook: str) -> str:
    return f"{settings.chain}-{hook[:4]}"
