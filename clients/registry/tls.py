"""Whom a registry's TLS is trusted to: the system, SSL_CERT_FILE, and Docker's folders of certificates for each host.

A folder `certs.d/<host[:port]>` may hold `*.crt`, authorities that this host's certificate is trusted from beside
the system's, and pairs `*.cert` and `*.key`, with which we show who we are.
"""

import os
import ssl
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from domain.errors import PermanentError

SYSTEM = Path("/etc/docker/certs.d")
CODE = "REGISTRY_TLS"

_NAME_MISMATCH = {62, 63, 64}  # X509_V_ERR_HOSTNAME_MISMATCH, _EMAIL_, _IP_ADDRESS_
_OUTDATED = {9, 10}  # X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
_WANTS_CERTIFICATE = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "BAD_CERTIFICATE", "UNKNOWN_CA")  # in its alerts
_NO_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"}


class _File(NamedTuple):
    """A file as it is now: another one in its place is another value."""

    path: Path
    changed: int  # ns
    size: int


def folders() -> list[Path]:
    """Where the folders of hosts are: the user's own, as rootless Docker has them, and the system's."""
    own = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return [own / "docker" / "certs.d", SYSTEM]


def context(netloc: str, *, verify: bool) -> ssl.SSLContext:
    """How to speak TLS with `host[:port]`; PermanentError (REGISTRY_TLS) names a file that is no use."""
    found = [file for folder in folders() for file in _files(folder / netloc, netloc)]
    return _made(tuple(found), netloc, verify, os.environ.get("SSL_CERT_FILE", ""), os.environ.get("SSL_CERT_DIR", ""))


def explained(netloc: str, error: BaseException) -> PermanentError | None:
    """Return the cause and remedy of a TLS failure; None for other failures and those that a retry may cure."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _untrusted(netloc, error)
    reason = str(getattr(error, "reason", "") or "") if isinstance(error, ssl.SSLError) else ""
    if reason in _NO_TLS:
        return _trouble(
            netloc,
            f"registry {netloc} does not speak TLS",
            because=f"{reason.lower().replace('_', ' ')}; plain HTTP is for hosts that the Docker Engine lists only",
            do=f"give it TLS, or list {netloc} under insecure-registries in /etc/docker/daemon.json of the Docker"
            " Engine on the backend host",
        )
    if "ALERT" in reason and any(word in reason for word in _WANTS_CERTIFICATE):
        return _trouble(
            netloc,
            f"registry {netloc} does not accept the certificate that we show it",
            because=f"it answers {reason.lower().replace('_', ' ')}",
            do=f"put client.cert and client.key for it into {SYSTEM / netloc} on the backend host",
        )
    return None


@lru_cache(maxsize=32)  # reading the system's authorities takes longer than a request
def _made(files: tuple[_File, ...], netloc: str, verify: bool, *_: str) -> ssl.SSLContext:
    made = ssl.create_default_context()
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    for file in files:
        path = file.path
        try:
            if path.suffix == ".crt":
                made.load_verify_locations(path)
            elif path.suffix == ".cert":
                made.load_cert_chain(path, path.with_suffix(".key"), password=_no_password)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            why = error.strerror if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else None
            raise _trouble(
                netloc,
                f"{path} is of no use for registry {netloc}",
                because=why or "it is not PEM, or certificate and key do not belong together, or the key is encrypted",
                do=f"mend or remove {path} on the backend host; the worker's user must be able to read it",
            ) from None
    return made


def _no_password() -> str:
    raise ValueError  # OpenSSL would ask at the terminal


def _files(folder: Path, netloc: str) -> list[_File]:
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix in {".crt", ".cert", ".key"})
        stats = [(path, path.stat()) for path in found]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _trouble(
            netloc,
            f"{folder} cannot be read",
            because=error.strerror or "",
            do="let the worker's user read it, or remove it",
        ) from None
    names = {path.name for path in found}
    for path in found:
        other = {".cert": ".key", ".key": ".cert"}.get(path.suffix, path.suffix)
        if path.with_suffix(other).name not in names:
            raise _trouble(
                netloc,
                f"{path} has no {path.stem}{other} beside it",
                because="certificates of clients are pairs of NAME.cert and NAME.key; authorities are NAME.crt",
                do=f"complete or remove {path} on the backend host",
            )
    return [_File(path, stat.st_mtime_ns, stat.st_size) for path, stat in stats]


def _untrusted(netloc: str, error: ssl.SSLCertVerificationError) -> PermanentError:
    what = f"the certificate of registry {netloc} is not trusted"
    because = error.verify_message
    if error.verify_code in _NAME_MISMATCH:
        do = f"use a name that its certificate is for, or give it one for {netloc}"
    elif error.verify_code in _OUTDATED:
        do = "renew the registry's certificate; if it is in force, set this machine's clock"
    else:
        place = SYSTEM / netloc / "ca.crt"
        do = f"put the authority that signed it into {place} on the backend host, or into what SSL_CERT_FILE names"
        named = os.environ.get("SSL_CERT_FILE", "")
        if named and not Path(named).is_file():
            because += f"; SSL_CERT_FILE={named} is not there, so no authority of the system was known either"
    return _trouble(netloc, what, because=because, do=do)


def _trouble(netloc: str, what: str, *, because: str, do: str) -> PermanentError:
    return PermanentError(what, on=netloc, because=because, do=do, code=CODE)
