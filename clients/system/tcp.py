"""Whether a TCP address answers from this machine, in one word."""

import errno
import socket

SECONDS = 3.0
_WORDS = {
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timeout",
    errno.EHOSTUNREACH: "no-route",
    errno.ENETUNREACH: "no-route",
}


def reach(host: str, port: int) -> str:
    """How a connection ended: ok, refused, timeout, no-route, unknown-host, or what the system says."""
    try:
        with socket.create_connection((host, port), timeout=SECONDS):
            return "ok"
    except TimeoutError:
        return "timeout"
    except socket.gaierror:
        return "unknown-host"
    except OSError as error:
        return _WORDS.get(error.errno or 0, error.strerror or type(error).__name__)
