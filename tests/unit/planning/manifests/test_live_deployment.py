"""What stands in a namespace is told from its objects alone, whoever made them."""

from typing import Any

import pytest

from domain.kubernetes import Manifest
from domain.status import Observation
from planning.manifests import live_deployment
from tests.support.kubernetes import objects

OWNER = "temporal/default/prover-cluster/default/fleet"


def made(kind: str, *managers: str, mark: str = "", **content: Any) -> Manifest:
    """Return an object that these field managers wrote, and a controller that reports its status."""
    fields: list[dict[str, Any]] = [{"manager": manager} for manager in managers]
    status = [{"manager": "kube-controller-manager", "subresource": "status"}]
    annotations = {"annotations": {"prover-cluster/owner": mark}} if mark else {}
    return {"kind": kind, "metadata": {"name": "x", "managedFields": fields + status} | annotations, **content}


def test_ours() -> None:
    """Stage and owner from the namespace, the release from the Deployment and the slice."""
    home: Manifest = {"metadata": {"annotations": {"stage": "abc", "prover-cluster/owner": OWNER}}}
    slice_ = made("EndpointSlice", "prover-cluster", endpoints=[{"addresses": ["10.0.0.9"]}], ports=[{"port": 50055}])
    standing = live_deployment.from_objects("fleet", home, [objects.deployment(), slice_], Observation(exists=True))
    assert (standing.stage, standing.owner) == ("abc", OWNER)
    assert standing.release is not None
    assert (standing.release.image, standing.release.endpoint) == (objects.IMAGE, "10.0.0.9:50055")
    assert standing.objects[1] == "EndpointSlice x (made by prover-cluster; no owner mark)"


def test_without_the_namespace_the_objects_tell() -> None:
    """Its marks are optional: the worker may not have been allowed to write them."""
    standing = live_deployment.from_objects(
        "fleet", None, [objects.deployment(), made("Service", mark=OWNER)], Observation()
    )
    assert (standing.stage, standing.owner) == ("abc", OWNER)


def test_those_of_others_are_named_with_their_makers() -> None:
    """The first who wrote it first; who only reports a status made nothing."""
    standing = live_deployment.from_objects(
        "fleet", None, [made("Deployment", "kubectl-create", "helm")], Observation()
    )
    assert standing.owner == ""
    assert standing.objects == ["Deployment x (made by kubectl-create, helm; no owner mark)"]


@pytest.mark.parametrize(
    ("subsets", "expected"),
    [
        ([{"addresses": [{"ip": "10.0.0.9"}], "ports": [{"port": 50055}]}], "10.0.0.9:50055"),
        ([{"addresses": [{"ip": "fd00::1"}], "ports": [{"port": 50055}]}], "[fd00::1]:50055"),
        ([], ""),
    ],
)
def test_the_endpoint_of_the_original(subsets: list[dict[str, Any]], expected: str) -> None:
    """It wrote v1 Endpoints and no slice."""
    standing = live_deployment.from_objects(
        "fleet", None, [objects.deployment(), made("Endpoints", subsets=subsets)], Observation()
    )
    assert standing.release is not None
    assert standing.release.endpoint == expected


def test_nothing() -> None:
    """No release either."""
    standing = live_deployment.from_objects("fleet", None, [], Observation())
    assert (standing.release, standing.objects, standing.stage) == (None, [], "")
