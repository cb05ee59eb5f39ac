"""How a worker resolves references to credentials."""

import base64
import json
import pickle
from collections.abc import Mapping
from pathlib import Path

import pytest

from clients.registry.credentials import RegistryLogin, WorkerSecrets
from domain.errors import CredentialsMissing
from domain.ports import TOKEN_USER
from domain.spec import SecretRef

HOST = "registry.example:5000"


def _seen(login: RegistryLogin | None) -> tuple[str, str] | None:
    return None if login is None else (login.user, login.reveal())


def _auth(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("ref", ["env:IMAGE_AUTH", "env:IMAGE_AUTH_PASSWORD"])
def test_a_pair_of_variables(ref: str) -> None:
    """The pair may be named by its stem or by its password."""
    secrets = WorkerSecrets({"IMAGE_AUTH_USER": "u", "IMAGE_AUTH_PASSWORD": "p:w"})
    assert _seen(secrets.login(SecretRef(ref=ref), HOST)) == ("u", "p:w")


def test_unset_or_empty_means_anonymous_unless_required() -> None:
    """Empty means unset; nobody saw a credential, so none is missed."""
    secrets = WorkerSecrets({"IMAGE_AUTH_USER": "", "IMAGE_AUTH_PASSWORD": ""})
    assert secrets.login(SecretRef(ref="env:IMAGE_AUTH"), HOST) is None
    assert secrets.login(None, HOST) is None


def test_required_and_absent_names_both_machines() -> None:
    """A worker never falls back to anonymous when the starter saw a credential."""
    ref = SecretRef(ref="env:IMAGE_AUTH", required=True, seen_on="laptop")
    with pytest.raises(CredentialsMissing) as caught:
        WorkerSecrets({}, host_name="server").login(ref, HOST)
    text = str(caught.value)
    assert [part in text for part in ("server", "laptop", "IMAGE_AUTH_USER and IMAGE_AUTH_PASSWORD", "restart")] == [
        True
    ] * 4


def test_half_a_pair_is_a_mistake_even_when_not_required() -> None:
    """A user without a password would fail later and elsewhere."""
    with pytest.raises(CredentialsMissing, match="IMAGE_AUTH_PASSWORD not set"):
        WorkerSecrets({"IMAGE_AUTH_USER": "u"}).login(SecretRef(ref="env:IMAGE_AUTH"), HOST)


@pytest.mark.parametrize(
    "text", ["u:p:w\n", '{"user": "u", "password": "p:w"}', '{"username": "u", "password": "p:w"}']
)
def test_a_file(text: str, tmp_path: Path) -> None:
    """One line or JSON."""
    file = tmp_path / "login"
    file.write_text(text)
    assert _seen(WorkerSecrets({}).login(SecretRef(ref=f"file:{file}"), HOST)) == ("u", "p:w")


@pytest.mark.parametrize("text", ["", "hunter2", "{hunter2", '{"user": "u"}'])
def test_a_broken_file_is_named_and_not_quoted(text: str, tmp_path: Path) -> None:
    """The message names the file, never its content."""
    file = tmp_path / "login"
    file.write_text(text)
    with pytest.raises(CredentialsMissing, match="login does not hold") as caught:
        WorkerSecrets({}).login(SecretRef(ref=f"file:{file}"), HOST)
    assert "hunter2" not in str(caught.value)


def test_a_missing_file_fails_though_not_required(tmp_path: Path) -> None:
    """Who names a file means it."""
    with pytest.raises(CredentialsMissing, match="No such file"):
        WorkerSecrets({}).login(SecretRef(ref=f"file:{tmp_path}/none"), HOST)


@pytest.mark.parametrize(
    ("key", "host"),
    [
        (HOST, HOST),
        (f"https://{HOST}/v2/", HOST),
        ("https://index.docker.io/v1/", "docker.io"),
        ("docker.io", "docker.io"),
    ],
)
def test_the_auths_of_docker(key: str, host: str, tmp_path: Path) -> None:
    """Docker's own file, under each way that tools write a host."""
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"other": {}, key: {"auth": _auth("u:p")}}}))
    secrets = WorkerSecrets({"DOCKER_CONFIG": str(tmp_path)})
    assert _seen(secrets.login(SecretRef(ref="docker-config"), host)) == ("u", "p")


def test_a_credential_helper_comes_first(tmp_path: Path) -> None:
    """A helper is asked by its fixed argument and the host on stdin."""
    helper = tmp_path / "docker-credential-test"
    helper.write_text(
        '#!/bin/sh\nread -r host\n[ "$1" = get ] && printf \'{"Username":"u","Secret":"for %s"}\' "$host"\n'
    )
    helper.chmod(0o755)
    config = {"credHelpers": {HOST: "test"}, "auths": {HOST: {"auth": _auth("other:x")}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    secrets = WorkerSecrets({"DOCKER_CONFIG": str(tmp_path), "PATH": f"{tmp_path}:/bin:/usr/bin"})
    assert _seen(secrets.login(SecretRef(ref="docker-config"), HOST)) == ("u", f"for {HOST}")


_HELPER = """#!/bin/sh
read -r host
echo "$(env | cut -d= -f1 | sort | tr '\\n' ' ')" >"$HOME/seen"
echo '{0}'
exit {1}
"""


def _helper(folder: Path, says: str, code: int = 0, environ: Mapping[str, str] = {}) -> WorkerSecrets:
    helper = folder / "docker-credential-test"
    helper.write_text(_HELPER.format(says, code))
    helper.chmod(0o755)
    (folder / "config.json").write_text(json.dumps({"credsStore": "test"}))
    base = {"DOCKER_CONFIG": str(folder), "HOME": str(folder), "PATH": f"{folder}:/bin:/usr/bin"}
    return WorkerSecrets({**base, **environ})


def test_an_identity_token_of_a_helper(tmp_path: Path) -> None:
    """Its user says what it is."""
    secrets = _helper(tmp_path, '{"Username":"<token>","Secret":"t"}')
    assert _seen(secrets.login(SecretRef(ref="docker-config"), HOST)) == (TOKEN_USER, "t")


def test_an_identity_token_of_the_auths(tmp_path: Path) -> None:
    """It comes before the user that stands beside it, as in Docker."""
    entry = {"auth": _auth("00000000-0000-0000-0000-000000000000:"), "identitytoken": "t"}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {HOST: entry}}))
    secrets = WorkerSecrets({"DOCKER_CONFIG": str(tmp_path)})
    assert _seen(secrets.login(SecretRef(ref="docker-config"), HOST)) == (TOKEN_USER, "t")


def test_a_helper_without_the_host_is_no_failure(tmp_path: Path) -> None:
    """Every helper says so in the same words."""
    secrets = _helper(tmp_path, "credentials not found in native keychain", 1)
    assert secrets.login(SecretRef(ref="docker-config"), HOST) is None


def test_a_helper_that_fails_is_named_and_not_quoted(tmp_path: Path) -> None:
    """A locked keychain is not the same as no credentials; what a helper prints may be a secret."""
    secrets = _helper(tmp_path, "hunter2 locked", 3)
    with pytest.raises(CredentialsMissing, match="docker-credential-test failed with exit code 3") as caught:
        secrets.login(SecretRef(ref="docker-config"), HOST)
    assert "hunter2" not in str(caught.value)


def test_what_a_helper_sees(tmp_path: Path) -> None:
    """Its cloud's settings and the way out, none of the worker's secrets."""
    ours = {"IMAGE_AUTH_PASSWORD": "x", "TEMPORAL_API_KEY": "x", "GITHUB_TOKEN": "x"}
    theirs = {"AWS_PROFILE": "x", "GOOGLE_APPLICATION_CREDENTIALS": "x", "https_proxy": "x", "NO_PROXY": "x"}
    _helper(tmp_path, '{"Username":"u","Secret":"p"}', environ={**ours, **theirs}).login(
        SecretRef(ref="docker-config"), HOST
    )
    seen = (tmp_path / "seen").read_text().split()
    assert [name for name in theirs if name not in seen] == []
    assert [name for name in ours if name in seen] == []


def test_a_missing_helper_is_named(tmp_path: Path) -> None:
    """The remedy is to install it or to log in again."""
    (tmp_path / "config.json").write_text(json.dumps({"credsStore": "absent"}))
    secrets = WorkerSecrets({"DOCKER_CONFIG": str(tmp_path), "PATH": "/bin"})
    with pytest.raises(CredentialsMissing, match="docker-credential-absent is not installed"):
        secrets.login(SecretRef(ref="docker-config"), HOST)


def test_no_docker_login_is_anonymous_unless_required(tmp_path: Path) -> None:
    """No file at all is like a file without the host."""
    secrets = WorkerSecrets({"DOCKER_CONFIG": str(tmp_path)})
    assert secrets.login(SecretRef(ref="docker-config"), HOST) is None
    with pytest.raises(CredentialsMissing, match=f"no login for {HOST}"):
        secrets.login(SecretRef(ref="docker-config", required=True), HOST)


def test_a_password_in_place_of_a_reference_is_not_repeated() -> None:
    """A mistake must not put the password into history."""
    with pytest.raises(CredentialsMissing) as caught:
        WorkerSecrets({}).login(SecretRef(ref="hunter2"), HOST)
    assert "hunter2" not in str(caught.value)


def test_secrets_of_kubernetes_are_refused_clearly() -> None:
    """Out of scope for now, and said so."""
    with pytest.raises(CredentialsMissing, match="not available yet"):
        WorkerSecrets({}).login(SecretRef(ref="kubernetes:img"), HOST)


def test_a_login_shows_nothing_and_travels_nowhere() -> None:
    """Neither repr, str, pickle nor JSON gives the password away."""
    login = RegistryLogin("u", "hunter2")
    assert "hunter2" not in f"{login} {login!r}"
    with pytest.raises(TypeError):
        pickle.dumps(login)
    with pytest.raises(TypeError):
        json.dumps(login)
