"""`render` and `rbac` print what would be applied and contact nothing."""

import json
from pathlib import Path

import pytest
import yaml

from planning.settings.table import SETTINGS
from starter import main
from starter.cli import exits

SECRET = "hunter2"
LEAST = ["render", "-n", "provers", "--coordinator-ep", "10.0.0.7", "--image-repo", "reg.example:5000/prover"]


@pytest.fixture(autouse=True)
def _blank(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Use an empty environment; no server is there to be contacted."""
    for setting in SETTINGS:
        monkeypatch.delenv(setting.name, raising=False)
    monkeypatch.setenv("TEMPORAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("KUBECONFIG", "/nonexistent")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGE_AUTH_USER", "prover")
    monkeypatch.setenv("IMAGE_AUTH_PASSWORD", SECRET)


def _names(text: str) -> list[str]:
    return [f"{one['kind']}/{one['metadata']['name']}" for one in yaml.safe_load_all(text) if one]


def test_render_prints_the_objects_with_a_placeholder_for_the_stage(capsys: pytest.CaptureFixture[str]) -> None:
    """Data alone on stdout; without STAGE the commit is not looked up."""
    assert main.run(LEAST) == exits.DONE
    text = capsys.readouterr().out
    assert _names(text) == [
        "ConfigMap/cluster-conf",
        "Service/cluster-coordinator",
        "EndpointSlice/cluster-coordinator",
        "PodDisruptionBudget/prover-cli-t",
        "Deployment/prover-cli-t",
    ]
    assert "image: reg.example:5000/prover:client-<stage>\n" in text
    assert "img-cred" not in text


def test_render_takes_the_stage_from_flag_or_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The flag wins."""
    monkeypatch.setenv("STAGE", "of-env")
    main.run(LEAST)
    assert "client-of-env" in capsys.readouterr().out
    main.run([*LEAST, "--stage", "of-flag"])
    assert "client-of-flag" in capsys.readouterr().out


@pytest.mark.usefixtures("_credentials")
def test_the_secret_is_a_comment_that_cannot_be_applied(capsys: pytest.CaptureFixture[str]) -> None:
    """The comment shows the place of the secret without its content; the pods refer to it all the same."""
    assert main.run(LEAST) == exits.DONE
    said = capsys.readouterr()
    assert "# Secret img-cred" in said.out
    assert not [name for name in _names(said.out) if name.startswith("Secret/")]
    assert SECRET not in said.out + said.err
    assert "imagePullSecrets" in said.out


@pytest.mark.usefixtures("_credentials")
def test_show_secrets_writes_it(capsys: pytest.CaptureFixture[str]) -> None:
    """The secret is written on demand only."""
    assert main.run([*LEAST, "--show-secrets"]) == exits.DONE
    assert _names(capsys.readouterr().out)[0] == "Secret/img-cred"


def test_show_secrets_needs_the_credential_itself(capsys: pytest.CaptureFixture[str]) -> None:
    """A reference to a file or to Docker's configuration is for the worker to resolve."""
    assert main.run([*LEAST, "--show-secrets", "--image-pull-auth", "docker-config"]) == exits.INVALID
    assert "IMAGE_AUTH_USER" in capsys.readouterr().err


@pytest.mark.usefixtures("_credentials")
def test_render_as_json_is_one_list_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    """JSON has no comments, so the Secret is left out."""
    assert main.run([*LEAST, "-o", "json"]) == exits.DONE
    value = json.loads(capsys.readouterr().out)
    assert value["kind"] == "List"
    assert "Secret" not in {one["kind"] for one in value["items"]}


def test_render_warns_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """Warnings stay out of stdout, which can be piped."""
    main.run([*LEAST, "-n", "default"])
    said = capsys.readouterr()
    assert "CLUSTER_NS is `default`" in said.err
    assert "warning" not in said.out


def test_rbac_prints_role_and_cluster_role(capsys: pytest.CaptureFixture[str]) -> None:
    """The output has a Role in the namespace, a ClusterRole that reads nodes, and no wildcard."""
    assert main.run(["rbac", "-n", "provers"]) == exits.DONE
    documents = [one for one in yaml.safe_load_all(capsys.readouterr().out) if one]
    kinds = [one["kind"] for one in documents]
    assert {"Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding", "ServiceAccount"} == set(kinds)
    assert "*" not in json.dumps(documents)
    assert all(one["metadata"].get("namespace", "provers") == "provers" for one in documents)


def test_rbac_without_the_optional_rights(capsys: pytest.CaptureFixture[str]) -> None:
    """R2: one Role and a ClusterRole that reads nodes are enough."""
    assert main.run(["rbac", "-n", "provers", "--no-optional", "-o", "json"]) == exits.DONE
    rules = [
        rule
        for one in json.loads(capsys.readouterr().out)["items"]
        if one["kind"] == "ClusterRole"
        for rule in one["rules"]
    ]
    assert [rule["resources"] for rule in rules] == [["nodes"]]


def test_rbac_judges_names_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Invalid names would end up in manifests."""
    assert main.run(["rbac", "-n", "provers", "--service-account", "Bad Name"]) == exits.INVALID
    assert "--service-account='Bad Name'" in capsys.readouterr().err


def test_render_says_that_it_does_not_look_for_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """Auto is read off the client's source, which render never opens: it says so and what to type."""
    assert main.run([*LEAST, "--config-schema", "auto"]) == exits.INVALID
    said = capsys.readouterr().err
    assert "render contacts nothing and reads no source of the client" in said
    assert "--config-schema struct" in said
