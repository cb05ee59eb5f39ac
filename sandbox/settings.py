"""Everything that tells one world from another: name, addresses, ports and places, read once from the environment."""

import ipaddress
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.errors import WorldError

REPOSITORY = Path(__file__).resolve().parent.parent
BASE = Path("/var/lib/prover-world")  # short on purpose: unix socket paths end at 107 characters
MARKER = "PROVER_WORLD_PROGRAM"  # set in every supervised process, so that it is known as ours after a crash

_NAME = re.compile(r"[a-z][a-z0-9]{0,7}")  # network links have names of 15 characters: pw-<name>-<node>
_MAX_NODES = 60  # a /24 a node in a /18
_MAX_OFFSET = 10000  # every port stays below 32768, where the kernel picks ports for outgoing connections


@dataclass(frozen=True)
class Ports:
    """Ports on the host; the well-known ones plus an offset."""

    offset: int = 0

    @property
    def etcd(self) -> int:
        """Client port of etcd; its peer port follows."""
        return 2379 + self.offset

    @property
    def apiserver(self) -> int:
        """HTTPS of kube-apiserver on the bridge address."""
        return 6443 + self.offset

    @property
    def controller_manager(self) -> int:
        """Health of kube-controller-manager."""
        return 10257 + self.offset

    @property
    def scheduler(self) -> int:
        """Health of kube-scheduler."""
        return 10259 + self.offset

    @property
    def registry(self) -> int:
        """Registry that wants credentials."""
        return 5000 + self.offset

    @property
    def anonymous_registry(self) -> int:
        """Registry that wants none."""
        return 5001 + self.offset

    @property
    def temporal(self) -> int:
        """Temporal's gRPC front end."""
        return 7233 + self.offset

    @property
    def temporal_ui(self) -> int:
        """Temporal's web pages."""
        return 8233 + self.offset

    @property
    def dns_health(self) -> int:
        """Health of CoreDNS; DNS itself is port 53 of the bridge address."""
        return 9153 + self.offset

    @property
    def kwok(self) -> int:
        """Health of kwok."""
        return 10247 + self.offset

    @property
    def coordinator(self) -> int:
        """Where the product's coordinator listens on the host."""
        return 20055 + self.offset

    @property
    def database(self) -> int:
        """Where the example backend's PostgreSQL listens on loopback."""
        return 15432 + self.offset


@dataclass(frozen=True)
class Settings:
    """World settings. The /16 is divided: .0 the bridge, .1-.31 Docker networks, .64-.127 pods, .128-.255 Services."""

    name: str = "world"
    nodes: int = 2
    subnet: ipaddress.IPv4Network = field(default_factory=lambda: ipaddress.IPv4Network("10.201.0.0/16"))
    ports: Ports = field(default_factory=Ports)
    cache: Path = field(default_factory=lambda: Path.home() / ".cache" / "prover-world")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read PROVER_WORLD, PROVER_WORLD_NODES, PROVER_WORLD_SUBNET, PROVER_WORLD_PORT_OFFSET, XDG_CACHE_HOME."""
        name = environment.get("PROVER_WORLD", "world")
        if not _NAME.fullmatch(name):
            raise WorldError(f"PROVER_WORLD={name!r}: use 1 to 8 lower-case letters and digits, a letter first")
        cache = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "prover-world"
        return cls(
            name=name,
            nodes=_number(environment, "PROVER_WORLD_NODES", default=2, low=1, high=_MAX_NODES),
            subnet=_subnet(environment.get("PROVER_WORLD_SUBNET", "10.201.0.0/16")),
            ports=Ports(_number(environment, "PROVER_WORLD_PORT_OFFSET", default=0, low=0, high=_MAX_OFFSET)),
            cache=cache,
        )

    @property
    def state(self) -> Path:
        """Everything this world writes; `down` removes it."""
        return BASE / self.name

    @property
    def venv_bin(self) -> Path:
        """Where supervisord and temporal live: beside the running Python."""
        return Path(sys.executable).parent

    @property
    def bin(self) -> Path:
        """The built binaries, as links into the cache."""
        return self.state / "bin"

    @property
    def pki(self) -> Path:
        """Certificates, keys and kubeconfigs."""
        return self.state / "pki"

    @property
    def env_file(self) -> Path:
        """File that proverctl and the tests read to find this world."""
        return self.state / "world.env"

    @property
    def bridge(self) -> str:
        """Name of the bridge; also the prefix of every link and network namespace of this world."""
        return f"pw-{self.name}"

    @property
    def chain(self) -> str:
        """Name of our iptables chains."""
        return f"PROVER-{self.name.upper()}"

    @property
    def host(self) -> str:
        """The host's address on the bridge."""
        return str(self.subnet[1])

    @property
    def bridge_network(self) -> ipaddress.IPv4Network:
        """Host and nodes."""
        return self._slice(0, 24)

    @property
    def docker_bridge_network(self) -> ipaddress.IPv4Network:
        """Docker's default bridge."""
        return self._slice(1, 24)

    @property
    def docker_networks(self) -> ipaddress.IPv4Network:
        """Networks that Docker makes on request."""
        return self._slice(32, 19)

    @property
    def pods(self) -> ipaddress.IPv4Network:
        """All pods."""
        return self._slice(64, 18)

    @property
    def services(self) -> ipaddress.IPv4Network:
        """ClusterIPs."""
        return self._slice(128, 17)

    @property
    def node_numbers(self) -> range:
        """1, 2, …"""
        return range(1, self.nodes + 1)

    def node_name(self, number: int) -> str:
        """`node1` in the default world, `<world>-node1` elsewhere."""
        return f"node{number}" if self.name == "world" else f"{self.name}-node{number}"

    def node_ip(self, number: int) -> str:
        """Address on the bridge."""
        return str(self.subnet[10 + number])

    def node_pods(self, number: int) -> ipaddress.IPv4Network:
        """Return the node's /24 of the pod network."""
        return self._slice(64 + number, 24)

    def node_link(self, number: int) -> str:
        """Name of the node's network namespace and of its link on the host."""
        return f"{self.bridge}-{number}"

    def node_state(self, number: int) -> Path:
        """Return the directory of the node's files."""
        return self.state / f"n{number}"

    def _slice(self, third: int, prefix: int) -> ipaddress.IPv4Network:
        return ipaddress.IPv4Network((int(self.subnet.network_address) + third * 256, prefix))


def _number(environment: Mapping[str, str], key: str, *, default: int, low: int, high: int) -> int:
    text = environment.get(key, str(default))
    if not text.isdecimal() or not low <= int(text) <= high:
        raise WorldError(f"{key}={text!r}: use a whole number from {low} to {high}")
    return int(text)


def _subnet(text: str) -> ipaddress.IPv4Network:
    try:
        subnet = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise WorldError(f"PROVER_WORLD_SUBNET={text!r}: {error}; use a private /16 such as 10.201.0.0/16") from error
    if subnet.prefixlen != 16 or not subnet.is_private:  # noqa: PLR2004 - the cut in Settings is of a /16
        raise WorldError(f"PROVER_WORLD_SUBNET={text!r}: use a private /16 such as 10.201.0.0/16")
    return subnet
