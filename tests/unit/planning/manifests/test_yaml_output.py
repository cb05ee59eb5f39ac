"""Manifests are written for people, and a Secret never leaves by accident."""

import yaml

from domain.spec import ClusterSpec, Endpoint, ImageTarget, SecretRef
from domain.status import Release
from planning.manifests import render, yaml_output

IMAGE = ImageTarget(repository="prover", pull_host="pull.example.com", pull_auth=SecretRef(ref="env:IMAGE_AUTH"))
SPEC = ClusterSpec(namespace="fleet", coordinator=Endpoint(ip="10.0.0.1"), image=IMAGE)
SECRET = render.pull_secret(SPEC, "me", "canary-password", "owner")
OBJECTS = render.render(SPEC, Release(stage="abc", image="i"), owner="owner", pull_secret=True)


def test_documents_read_back_as_they_were() -> None:
    """What is printed is what would be applied, each document with its own separator."""
    text = yaml_output.to_yaml(OBJECTS)
    assert list(yaml.safe_load_all(text)) == OBJECTS
    assert text.count("---\n") == len(OBJECTS)
    assert "&id" not in text
    assert "client: |\n" in text


def test_secret_is_a_comment() -> None:
    """Neither the password nor an applicable Secret is in the text."""
    text = yaml_output.to_yaml([SECRET, *OBJECTS])
    assert list(yaml.safe_load_all(text)) == OBJECTS
    assert "# kind: Secret" in text
    assert SECRET["data"][".dockerconfigjson"] not in text


def test_last_applied_of_a_secret_is_left_out() -> None:
    """The annotation of kubectl holds the whole Secret again."""
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": "canary-password"}
    copied = SECRET | {
        "metadata": SECRET["metadata"] | {"annotations": annotations},
        "stringData": {"x": "canary-password"},
    }
    assert "canary" not in yaml_output.to_yaml([copied])


def test_secret_is_written_when_asked_for() -> None:
    """With --show-secrets the document can be applied."""
    assert list(yaml.safe_load_all(yaml_output.to_yaml([SECRET], show_secrets=True))) == [SECRET]


def test_comment_for_an_unknown_secret() -> None:
    """Where the value is not known, the comment says where it comes from."""
    text = yaml_output.secret_comment(SPEC)
    assert all(line.startswith("# ") for line in text.splitlines())
    for word in ("img-cred", "fleet", "pull.example.com", "env:IMAGE_AUTH", "--show-secrets"):
        assert word in text
