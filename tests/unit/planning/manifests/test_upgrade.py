"""An upgrade is one only when something differs, and what cannot change is said."""

from typing import Any

import pytest

from domain.spec import BackendMode, ClusterSpec, Endpoint, ImageTarget, OnFailure, SecretRef
from domain.status import Release
from planning.manifests import upgrade

SERVING = Release(stage="abc", image="docker.io/prover:client-abc@sha256:aa", image_user="65532")


def spec(**changes: Any) -> ClusterSpec:
    """Return a spec with what a test cares about."""
    image = ImageTarget(repository="prover")
    return ClusterSpec(**({"namespace": "fleet", "coordinator": Endpoint(ip="10.0.0.1"), "image": image} | changes))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"retry_for": 5}, True),
        ({"min_ready": 0.5}, True),
        ({"backend_mode": BackendMode.REAL}, True),
        ({"allow_dirty": True}, True),
        ({"on_failure": OnFailure.REMOVE}, True),
        ({"replicas": 3}, False),
        ({"coordinator": Endpoint(ip="10.0.0.2")}, False),
        ({"coordinator": Endpoint(ip="10.0.0.1", port=1)}, False),
        ({"max_unavailable": "50%"}, False),
        ({"progress_deadline": 60}, False),
        ({"circuit": "small"}, False),
        ({"client_memory": "1Gi"}, False),
        ({"coordinator_serv": "http://c"}, False),
        ({"image": ImageTarget(repository="prover", pull_auth=SecretRef(ref="env:IMAGE_AUTH"))}, False),
    ],
)
def test_which_settings_change_something(changes: dict[str, Any], *, expected: bool) -> None:
    """Judged by the rendered objects, so that a setting nobody sees makes no new release."""
    assert expected == upgrade.same(spec(), spec(**changes), SERVING, SERVING)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"revision": 2, "config_hash": "", "at": "2026-01-01T00:00:00Z", "outcome": "deploying"}, True),
        ({"stage": "def"}, False),
        ({"image": "docker.io/prover:client-abc@sha256:bb"}, False),
        ({"image_user": ""}, False),
    ],
)
def test_what_makes_another_release(changes: dict[str, Any], *, expected: bool) -> None:
    """A new stage or digest does; the number and the time of the attempt do not."""
    serving = SERVING.model_copy(update={"revision": 1, "config_hash": "c", "outcome": "done"})
    assert expected == upgrade.same(spec(), spec(), serving, serving.model_copy(update=changes))


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
