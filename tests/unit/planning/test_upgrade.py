"""Converging changes only what differs, and restarts provers only when the pod itself differs."""

from typing import Any

import pytest

from domain.spec import ClusterSpec, Endpoint, ImageTarget, SecretRef
from domain.status import Release
from planning import upgrade

SERVING = Release(stage="abc", image="docker.io/prover:client-abc@sha256:aa", image_user="65532")


def spec(**changes: Any) -> ClusterSpec:
    """A spec with what a test cares about."""
    image = ImageTarget(repository="prover")
    return ClusterSpec(**({"namespace": "fleet", "coordinator": Endpoint(ip="10.0.0.1"), "image": image} | changes))


def flags(found: upgrade.Convergence) -> set[str]:
    """The names of what has to change."""
    return {name for name in ("rollout", "scale", "endpoint", "other") if getattr(found, name)}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, set()),
        ({"retry_for": 5}, set()),
        ({"min_ready": 0.5}, set()),
        ({"replicas": 3}, {"scale"}),
        ({"coordinator": Endpoint(ip="10.0.0.2")}, {"endpoint"}),
        ({"replicas": 3, "coordinator": Endpoint(ip="10.0.0.1", port=1)}, {"scale", "endpoint"}),
        ({"max_unavailable": "50%"}, {"other"}),
        ({"progress_deadline": 60}, {"other"}),
        ({"circuit": "small"}, {"rollout"}),
        ({"client_memory": "1Gi"}, {"rollout"}),
        ({"coordinator_serv": "http://c"}, {"rollout", "endpoint"}),
        ({"image": ImageTarget(repository="prover", pull_auth=SecretRef(ref="env:IMAGE_AUTH"))}, {"rollout"}),
    ],
)
def test_what_a_changed_setting_takes(changes: dict[str, Any], expected: set[str]) -> None:
    """Judged by the rendered objects, so that a setting nobody sees restarts nobody."""
    found = upgrade.converge(spec(), spec(**changes), SERVING, SERVING)
    assert flags(found) == expected
    assert found.none == (not expected)
    assert set(found.fields) == set(changes)


def test_nothing_to_do() -> None:
    """The same spec and release is no change."""
    assert upgrade.converge(spec(), spec(), SERVING, SERVING).none


def test_a_new_commit_is_a_rollout() -> None:
    """A new stage or a new digest restarts the clients."""
    newer = SERVING.model_copy(update={"stage": "def", "image": "docker.io/prover:client-def@sha256:bb"})
    assert flags(upgrade.converge(spec(), spec(), SERVING, newer)) == {"rollout"}


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"deploy_name": "other"}, "CLUSTER_DEPLOYNAME"),
        ({"namespace": "x"}, "CLUSTER_NS"),
        ({"cluster": "y"}, "CLUSTER "),
    ],
)
def test_what_cannot_change(changes: dict[str, Any], setting: str) -> None:
    """The selector, the namespace and the cluster are fixed by the first deploy."""
    (sentence,) = upgrade.immutable_changes(spec(), spec(**changes))
    assert sentence.startswith(setting)


def test_everything_else_may_change() -> None:
    """An ordinary upgrade has nothing against it."""
    assert upgrade.immutable_changes(spec(), spec(replicas=9, circuit="x", stage="y")) == []
