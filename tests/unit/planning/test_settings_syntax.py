"""The grammar of each kind of value, by tables of what is fine and what is not."""

import pytest

from planning import settings_syntax as syntax
from planning.settings_syntax import Check
from planning.settings_table import SETTINGS

FINE: list[tuple[Check, list[str]]] = [
    (syntax.namespace, ["a", "provers-1", "0", "x" * 63]),
    (syntax.stage, ["1a2b3c4", "v1.2_3-x", "A", "x" * 63]),
    (syntax.repository, ["a", "fluidex/prover-cluster", "a.b/c__d/e--f", "h:5000/a", "localhost/a", "[::1]:5000/a"]),
    (syntax.registry_host, ["a.b", "a:443", "localhost", "10.0.0.1:5000", "[fd00::1]:5000", "A.B"]),
    (syntax.image, ["prover", "prover:latest", "a.b:5000/c/d:x@sha256:" + "0" * 64, "prover@sha256:" + "a" * 64]),
    (syntax.secret_reference, ["env:IMAGE_AUTH", "file:/run/secret", "docker-config", "kubernetes:img-cred"]),
    (syntax.key_value, ["a=b", "example.com/a=b", "a=", "A.b_c-d=1"]),
    (syntax.taint, ["dedicated=computation"]),
    (syntax.cpu, ["64", "500m", "0.5", ".5", "1e1"]),
    (syntax.memory, ["256Gi", "1G", "1048576", "1.5Ti", "2e9"]),
    (syntax.upstream, ["http://10.0.0.7:50055", "https://h", "http://h/", "http://[fd00::1]:80"]),
    (syntax.duration, ["0", "5", "90s", "10m", "1h", "30d"]),
    (syntax.max_unavailable, ["1", "5000", "1%", "100%"]),
    (syntax.share, ["0", "1", "0.5", ".5", "1.0"]),
    (syntax.boolean, ["true", "0", "YES", "off"]),
    (syntax.circuit, ["block", "Block_2_5_10_5"]),
    (syntax.relative_path, ["a", "a/b", "a..b"]),
    (syntax.plain_name, ["default", "east-1"]),
    (syntax.git_repository, ["/srv/x", "x", "https://github.com/a/b.git", "https://h:8443/x", "ssh://git@h:22/x"]),
    (syntax.git_ref, ["main", "v1.2", "refs/heads/a/b", "a" * 40, "feature/x_y-z"]),
]
WRONG: list[tuple[Check, list[str]]] = [
    (syntax.namespace, ["A", "a.b", "-a", "a-", "x" * 64, "a_b", "ä", "a\n"]),
    (syntax.stage, ["a b", "-a", "a-", "x" * 64, "a/b", "a:b", "a+b", "ä"]),
    (
        syntax.repository,
        ["A", "a/", "/a", "a//b", "a:tag", "a@sha256:0", "http://a.b/c", "a..b/c", "a_-b", "h:0/a", "x" * 256],
    ),
    (syntax.registry_host, ["registry", "https://a.b", "a.b/c", "a:0", "a:70000", "u@a.b", "-a.b", "a.b:"]),
    (syntax.image, ["Prover", "a:b:c", "a@sha256:xyz", "a b", "/a"]),
    (
        syntax.secret_reference,
        ["hunter2", "env:", "env:A-B", "file:relative", "docker-config:x", "kubernetes:Bad_", "vault:x"],
    ),
    (syntax.key_value, ["a", "=b", "a=b=c", "a=-b", "/a=b", "EX.com/a=b", "x" * 64 + "=b"]),
    (syntax.taint, ["dedicated=computation:NoSchedule", "a"]),
    (syntax.cpu, ["0", "-1", "64Gi", "x", "1z", "0.0001", "1e99"]),
    (syntax.memory, ["64GB", "512m", "0", "64gi", "1Ei", "1e99"]),
    (
        syntax.upstream,
        ["h:1", "ftp://h", "http://", "http://u:p@h", "http://h:0", "http://h:x", "http://h?q", "http://h:99999"],
    ),
    (syntax.duration, ["", "x", "-1", "1w", "31d", "1.5h", "10 m"]),
    (syntax.max_unavailable, ["0", "0%", "101%", "-1", "x", "1.5"]),
    (syntax.share, ["1.1", "-0", "nan", "50%", "1e0", ""]),
    (syntax.boolean, ["maybe", "2"]),
    (syntax.circuit, ["x" * 31, "a b", ""]),
    (syntax.relative_path, ["/a", "../a", "a/../../b"]),
    (syntax.plain_name, ["a/b", "a=b", "a,b", "", "-a"]),
    (syntax.git_repository, ["ext::sh -c id", "ftp://x/y", "https://ann:pw@x/y", "https://token@x/y", "file:///srv/x"]),
    (syntax.git_repository, ["git@x.com:y/z.git", "https://-oProxyCommand=id/x", "ssh://-oX@h/y", "https://x/y?z"]),
    (syntax.git_repository, ["https:///x", "https://x", "http://x/y", "git://x/y"]),
    (syntax.git_ref, ["-x", "a..b", "x.lock", "a b", "a^{}", "--upload-pack=id", "refs/heads/", "a:b", "@{-1}"]),
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
    assert [syntax.seconds(value) for value in ("5", "90s", "10m", "1h", "1d")] == [5, 90, 600, 3600, 86400]


def test_no_secret_has_a_flag() -> None:
    """Arguments are seen by every user of the machine."""
    assert [one.name for one in SETTINGS if not one.flag] == ["IMAGE_AUTH_USER", "IMAGE_AUTH_PASSWORD"]
