"""Resolves references to credentials where they are used: Temporal and the starter know the reference only.

References: `env:NAME`, `file:PATH`, `docker-config`, `kubernetes:SECRET` (not available yet).
"""

import json
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from clients.registry.docker_config import stored
from domain.errors import CredentialsMissing
from domain.spec import SecretRef

MASK = "**********"


class RegistryLogin:
    """A user and a password that no log, repr, pickle or JSON shows by accident."""

    __slots__ = ("_password", "user")

    def __init__(self, user: str, password: str) -> None:
        self.user = user
        self._password = password

    def reveal(self) -> str:
        """Return the password, at the place of use only."""
        return self._password

    def __repr__(self) -> str:
        return f"RegistryLogin(user={self.user!r}, password='{MASK}')"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a login stays in the process that resolved it")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a login stays in the process that resolved it")


class WorkerSecrets:
    """Fulfils `domain.ports.Secrets` from this worker's environment, files and Docker configuration."""

    def __init__(self, environ: Mapping[str, str], *, host_name: str = "") -> None:
        """`environ` holds what the worker was started with, its `.env` included; an empty value means unset."""
        self._environ = environ
        self._host_name = host_name or socket.gethostname()

    def login(self, ref: SecretRef | None, host: str) -> RegistryLogin | None:
        """User and password for a registry host; None is anonymous; CredentialsMissing."""
        if ref is None or not ref.ref:
            return None
        scheme, _, rest = ref.ref.partition(":")
        if scheme == "env" and rest:
            found = self._from_environment(ref, rest)
        elif scheme == "file" and rest:
            found = self._from_file(ref, Path(rest))
        elif scheme == "docker-config" and not rest:
            found = self._from_docker(ref, host)
        elif scheme == "kubernetes" and rest:
            raise self._missing(ref, "references to a Secret are not available yet", "use env:, file: or docker-config")
        else:
            raise self._missing(
                ref, "it is no reference we know", "use env:NAME, file:PATH, docker-config or kubernetes:SECRET"
            )
        return found

    def _from_environment(self, ref: SecretRef, name: str) -> RegistryLogin | None:
        base = name.removesuffix("_PASSWORD")
        pair = (f"{base}_USER", f"{base}_PASSWORD")
        user, password = (self._environ.get(variable, "") for variable in pair)
        if user and password:
            return RegistryLogin(user, password)
        if not user and not password and not ref.required:
            return None
        unset = " and ".join(variable for variable, value in zip(pair, (user, password), strict=True) if not value)
        raise self._missing(
            ref, f"{unset} not set there", f"set {unset} in the environment or .env of the worker and restart it"
        )

    def _from_file(self, ref: SecretRef, path: Path) -> RegistryLogin:
        try:
            text = path.expanduser().read_text().strip()
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise self._missing(ref, f"{path}: {reason}", f"put user:password into {path} there, mode 0600") from None
        user, password = _parsed(text)
        if not user or not password:
            remedy = 'write user:password, or {"user": …, "password": …}'
            raise self._missing(ref, f"{path} does not hold a user and a password", remedy)
        return RegistryLogin(user, password)

    def _from_docker(self, ref: SecretRef, host: str) -> RegistryLogin | None:
        folder = self._environ.get("DOCKER_CONFIG") or str(Path(self._environ.get("HOME") or "~") / ".docker")
        try:
            found = stored(Path(folder).expanduser() / "config.json", host, self._environ)
        except ValueError as error:
            raise self._missing(ref, str(error), f"run `docker login {host}` as the worker's user") from None
        if found:
            return RegistryLogin(*found)
        if ref.required:
            raise self._missing(
                ref, f"{folder}/config.json has no login for {host}", f"run `docker login {host}` as the worker's user"
            )
        return None

    def _missing(self, ref: SecretRef, because: str, do: str) -> CredentialsMissing:
        seen = f"; they were seen on {ref.seen_on}, where the command was given" if ref.seen_on else ""
        return CredentialsMissing(
            f"the credentials {_named(ref.ref)} cannot be resolved",
            on=f"worker {self._host_name}",
            because=because + seen,
            do=do,
        )


def _named(ref: str) -> str:
    """Return the reference for a message, masked when a password may stand in its place."""
    return ref if re.match(r"(env|file|kubernetes):|docker-config$", ref) else "(not a reference)"


def _parsed(text: str) -> tuple[str, str]:
    if text.startswith("{"):
        try:
            content = json.loads(text)
        except ValueError:
            return "", ""
        return str(content.get("user") or content.get("username") or ""), str(content.get("password") or "")
    user, _, password = text.partition(":")
    return user, password
