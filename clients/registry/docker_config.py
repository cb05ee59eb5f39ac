"""Reads Docker's own store of registry logins: credential helpers first, then `auths`; it never writes there."""

import base64
import binascii
import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from domain.ports import TOKEN_USER

HELPER_TIMEOUT = 30  # seconds
HELPER_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_NOT_FOUND = "credentials not found"  # what every helper says on standard output when it has none
HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
HUB_KEY = "https://index.docker.io/v1/"
PASSED_ON = re.compile(
    r"PATH|HOME|USER|DOCKER_CONFIG|DBUS_SESSION_BUS_ADDRESS|GNUPGHOME|PASSWORD_STORE_DIR|SSL_CERT_(FILE|DIR)"
    r"|XDG_\w+|(AWS|ECR|GOOGLE|CLOUDSDK|AZURE)_\w+|(https?|no)_proxy",
    re.IGNORECASE,
)
"""What a helper may see of the worker's environment: how to reach its keychain or its cloud, nothing of ours."""


def stored(config: Path, host: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """User and password for a registry host, None when nothing is stored; ValueError says what is broken.

    The user is TOKEN_USER when an identity token takes the password's place.
    """
    if not config.exists():
        return None
    try:
        content = json.loads(config.read_text())
    except (OSError, ValueError):
        raise ValueError(f"{config} is not readable JSON") from None
    keys = _keys(host)
    helper = next((content["credHelpers"][key] for key in keys if key in (content.get("credHelpers") or {})), "")
    if name := helper or content.get("credsStore"):
        found = _from_helper(str(name), keys[0], environ)
        if found or helper:
            return found
    return _from_auths(content.get("auths") or {}, keys)


def _keys(host: str) -> list[str]:
    return [HUB_KEY, *HUB] if host in HUB else [host]


def _from_helper(name: str, key: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    program = shutil.which(f"docker-credential-{name}", path=environ.get("PATH"))
    if not HELPER_NAME.fullmatch(name) or not program:
        raise ValueError(f"the credential helper docker-credential-{name} is not installed")
    passed = {variable: value for variable, value in environ.items() if PASSED_ON.fullmatch(variable)}
    try:
        done = subprocess.run(  # noqa: S603 - fixed argv; the host goes to stdin
            [program, "get"], input=key, env=passed, capture_output=True, text=True, timeout=HELPER_TIMEOUT, check=False
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"docker-credential-{name} did not answer within {HELPER_TIMEOUT} s") from None
    if done.returncode:
        if _NOT_FOUND in done.stdout + done.stderr:
            return None
        raise ValueError(f"docker-credential-{name} failed with exit code {done.returncode}")
    try:
        answer = json.loads(done.stdout)
        user, password = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"docker-credential-{name} answered no JSON with Username and Secret") from None
    return (user, password) if user and password else None


def _from_auths(auths: Mapping[str, Any], keys: list[str]) -> tuple[str, str] | None:
    for written, entry in auths.items():
        if written not in keys and _host_of(written) not in keys:
            continue
        if entry.get("identitytoken"):
            return TOKEN_USER, str(entry["identitytoken"])
        user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
        if entry.get("auth"):
            try:
                user, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
            except (binascii.Error, UnicodeError):
                raise ValueError(f"the entry {written} is not base64 of user:password") from None
        if user and password:
            return user, password
    return None


def _host_of(written: str) -> str:
    return re.sub(r"^https?://", "", written).partition("/")[0]
