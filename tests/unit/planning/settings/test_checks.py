"""The grammar of each kind of value, by tables of what is fine and what is not."""

import pytest

from planning.settings import checks
from planning.settings.checks import Check
from planning.settings.table import SETTINGS

FINE: list[tuple[Check, list[str]]] = [
    (checks.namespace, ["a", "provers-1", "0", "x" * 63]),
    (checks.stage, ["1a2b3c4", "v1.2_3-x", "A", "x" * 63]),
    (checks.repository, ["a", "fluidex/prover-cluster", "a.b/c__d/e--f", "h:5000/a", "localhost/a", "[::1]:5000/a"]),
    (checks.registry_host, ["a.b", "a:443", "localhost", "10.0.0.1:5000", "[fd00::1]:5000", "A.B"]),
    (checks.image, ["prover", "prover:latest", "a.b:5000/c/d:x@sha256:" + "0" * 64, "prover@sha256:" + "a" * 64]),
    (checks.secret_reference, ["env:IMAGE_AUTH", "file:/run/secret", "docker-config", "kubernetes:img-cred"]),
    (checks.key_value, ["a=b", "example.com/a=b", "a=", "A.b_c-d=1"]),
    (checks.taint, ["dedicated=computation"]),
    (checks.cpu, ["64", "500m", "0.5", ".5", "1e1"]),
    (checks.memory, ["256Gi", "1G", "1048576", "1.5Ti", "2e9"]),
    (checks.upstream, ["http://10.0.0.7:50055", "https://h", "http://h/", "http://[fd00::1]:80"]),
    (checks.duration, ["0", "5", "90s", "10m", "1h", "30d"]),
    (checks.max_unavailable, ["1", "5000", "1%", "100%"]),
    (checks.share, ["0", "1", "0.5", ".5", "1.0"]),
    (checks.boolean, ["true", "0", "YES", "off"]),
    (checks.circuit, ["block", "Block_2_5_10_5"]),
    (checks.relative_path, ["a", "a/b", "a..b"]),
    (checks.plain_name, ["default", "east-1"]),
    (checks.git_repository, ["/srv/x", "x", "https://github.com/a/b.git", "https://h:8443/x", "ssh://git@h:22/x"]),
    (checks.git_ref, ["main", "v1.2", "refs/heads/a/b", "a" * 40, "feature/x_y-z"]),
]
WRONG: list[tuple[Check, list[str]]] = [
    (checks.namespace, ["A", "a.b", "-a", "a-", "x" * 64, "a_b", "ä", "a\n"]),
    (checks.stage, ["a b", "-a", "a-", "x" * 64, "a/b", "a:b", "a+b", "ä"]),
    (
        checks.repository,
        ["A", "a/", "/a", "a//b", "a:tag", "a@sha256:0", "http://a.b/c", "a..b/c", "a_-b", "h:0/a", "x" * 256],
    ),
    (checks.registry_host, ["registry", "https://a.b", "a.b/c", "a:0", "a:70000", "u@a.b", "-a.b", "a.b:"]),
    (checks.image, ["Prover", "a:b:c", "a@sha256:xyz", "a b", "/a"]),
    (
        checks.secret_reference,
        ["hunter2", "env:", "env:A-B", "file:relative", "docker-config:x", "kubernetes:Bad_", "vault:x"],
    ),
    (checks.key_value, ["a", "=b", "a=b=c", "a=-b", "/a=b", "EX.com/a=b", "x" * 64 + "=b"]),
    (checks.taint, ["dedicated=computation:NoSchedule", "a"]),
    (checks.cpu, ["0", "-1", "64Gi", "x", "1z", "0.0001", "1e99"]),
    (checks.memory, ["64GB", "512m", "0", "64gi", "1Ei", "1e99"]),
    (
        checks.upstream,
        ["h:1", "ftp://h", "http://", "http://u:p@h", "http://h:0", "http://h:x", "http://h?q", "http://h:99999"],
    ),
    (checks.duration, ["", "x", "-1", "1w", "31d", "1.5h", "10 m"]),
    (checks.max_unavailable, ["0", "0%", "101%", "-1", "x", "1.5"]),
    (checks.share, ["1.1", "-0", "nan", "50%", "1e0", ""]),
    (checks.boolean, ["maybe", "2"]),
    (checks.circuit, ["x" * 31, "a b", ""]),
    (checks.relative_path, ["/a", "../a", "a/../../b"]),
    (checks.plain_name, ["a/b", "a=b", "a,b", "", "-a"]),
    (checks.git_repository, ["ext::sh -c id", "ftp://x/y", "https://ann:pw@x/y", "https://token@x/y", "file:///srv/x"]),
    (checks.git_repository, ["git@x.com:y/z.git", "https://-oProxyCommand=id/x", "ssh://-oX@h/y", "https://x/y?z"]),
    (checks.git_repository, ["https:///x", "https://x", "http://x/y", "git://x/y"]),
    (checks.git_ref, ["-x", "a..b", "x.lock", "a b", "a^{}", "--upload-pack=id", "refs/heads/", "a:b", "@{-1}"]),
]


@pytest.mark.parametrize(("check", "value"), [(check, value) for check, values in FINE for value in values])
def test_fine(check: Check, value: str) -> None:
    """What the system behind accepts passes."""
    assert check(value) == ""


@pytest.mark.parametrize(("check", "value"), [(check, value) for check, values in WRONG for value in values])
def test_wrong(check: Check, value: str) -> None:
    """What the system behind would refuse, or misunderstand, is refused with a remedy after a colon."""
    assert ": " in check(value)


def test_seconds_of_a_duration() -> None:
    """A bare number is seconds."""
    assert [checks.seconds(value) for value in ("5", "90s", "10m", "1h", "1d")] == [5, 90, 600, 3600, 86400]


def test_no_secret_has_a_flag() -> None:
    """Arguments are seen by every user of the machine."""
    assert [one.name for one in SETTINGS if not one.flag] == ["IMAGE_AUTH_USER", "IMAGE_AUTH_PASSWORD"]
