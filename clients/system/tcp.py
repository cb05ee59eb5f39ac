"""Whether a TCP address answers from this machine, in one word."""

import errno
import ipaddress
import socket

SECONDS = 3.0
_LOOPBACK = ("127.0.0.1", "::1")
_WORDS = {
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timeout",
    errno.EHOSTUNREACH: "no-route",
    errno.ENETUNREACH: "no-route",
}


def reach(host: str, port: int) -> str:
    """How a connection ended: ok, refused, timeout, no-route, unknown-host, or what the system says.

    `loopback` when an address of this host refuses it, and 127.0.0.1 or ::1 does not: others will be refused as well.
    """
    ended = _connect(host, port)
    local = ended == "refused" and _is_ours(host)
    return "loopback" if local and any(_connect(one, port) == "ok" for one in _LOOPBACK if one != host) else ended


def _is_ours(host: str) -> bool:
    """Whether it is an address of this host."""
    try:
        with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET):
            return True
    except OSError:
        return False


def _connect(host: str, port: int) -> str:
    try:
        with socket.create_connection((host, port), timeout=SECONDS):
            return "ok"
    except TimeoutError:
        return "timeout"
    except socket.gaierror:
        return "unknown-host"
    except OSError as error:
        return _WORDS.get(error.errno or 0, error.strerror or type(error).__name__)


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is this machine itself, which no proxy serves and TLS need not protect."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
