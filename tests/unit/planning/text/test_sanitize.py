"""Text of others is shown without what could hurt a terminal or give a credential away."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planning.text import sanitize

CANARY = "S3cr3t-Canary/x+y"
DOCKER_CONFIG = json.dumps({"auths": {"h": {"auth": base64.b64encode(f"me:{CANARY}".encode()).decode()}}})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("plain text", "plain text"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;owned\x07title", "title"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred", "red"),
        ("a\x00b\x08c\x7fd", "abcd"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("tab\tstays", "tab\tstays"),
        ("\u202egnirts", "gnirts"),
        ("\x1bPq#0\x1b\\x", "x"),
        ("größe ✓ 証明", "größe ✓ 証明"),
        ("cut off \x1b[", "cut off "),
    ],
)
def test_terminals_are_safe(given: str, expected: str) -> None:
    """Escape sequences vanish whole, letters of every script stay."""
    assert sanitize.printable(given) == expected


@pytest.mark.parametrize(
    "leak",
    [
        f"cannot fetch https://me:{CANARY}@git.example.com/repo.git",
        "cannot fetch https://S3cr3t-Canary@git.example.com/repo.git",
        "postgres://prover:S3cr3t-Canary@db/prover refused",
        "Authorization: Basic bWU6UzNjcjN0LUNhbmFyeQ==",
        "{'Authorization': 'Bearer S3cr3t-Canary.x'}",
        "X-Registry-Auth: UzNjcjN0LUNhbmFyeQ==",
        "got header Bearer S3cr3t-Canary",
        f'{{"username": "me", "password": "{CANARY}"}}',
        f"{{'password': '{CANARY}'}}",
        f'"{{\\"password\\": \\"{CANARY}\\"}}"',
        DOCKER_CONFIG,
        f"IMAGE_AUTH_PASSWORD={CANARY} docker push",
        f"docker login --password={CANARY}",
        f"registry_token: {CANARY}",
        f"Invalid value: {base64.b64encode(DOCKER_CONFIG.encode()).decode()}: not allowed",
        f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_credentials_are_masked(leak: str) -> None:
    """No part of the canary, plain or in base64, is left; what is masked shows as stars."""
    found = sanitize.scrub(leak)
    assert sanitize.MASK in found
    for part in ("S3cr3t", "Canary", "UzNjcjN0", "bWU6"):
        assert part not in found


@pytest.mark.parametrize(
    "harmless",
    [
        'failed to pull "10.201.0.1:5000/prover:client-abc@sha256:' + "a" * 64 + '": not found',
        "pull access denied, repository does not exist or may require authorization: server message: denied",
        "Set IMAGE_AUTH_USER and IMAGE_AUTH_PASSWORD, or neither.",
        "0/2 nodes are available: 2 node(s) had untolerated taint {dedicated: other}.",
        "secret img-cred not found",
        "https://10.201.0.1:5000/v2/prover@sha256:abc",
        'secrets "img-cred" is forbidden: User "system:serviceaccount:x:y" cannot get resource "secrets"',
        "http://cluster-coordinator:80/path?x=1",
    ],
)
def test_findings_stay_readable(harmless: str) -> None:
    """Text that operators need is not mistaken for a credential."""
    assert sanitize.scrub(harmless) == harmless


@given(st.text())
def test_scrubbing_is_idempotent_and_total(anything: str) -> None:
    """Any text can be scrubbed; the result is printable and stays as it is."""
    once = sanitize.scrub(anything)
    assert sanitize.scrub(once) == once
    assert "\x1b" not in once


def test_one_line_is_short() -> None:
    """Long evidence keeps its beginning and, longer, its end, where the cause stands."""
    assert sanitize.one_line("a\n  b\tc") == "a b c"
    assert sanitize.one_line("image " + "x" * 1000 + " not found", limit=20) == "image …xxx not found"
    assert len(sanitize.one_line("x" * 1000, limit=10)) == 10
