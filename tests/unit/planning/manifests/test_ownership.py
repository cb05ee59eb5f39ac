"""Nothing of another deployment, tool or person is taken over."""

from typing import Any

import pytest

from domain.errors import OwnedByAnother, Unavailable
from domain.kubernetes import Manifest
from domain.messages.release import Target
from domain.spec import ClusterSpec, Endpoint, ImageTarget, SecretRef
from planning.manifests import ownership

OURS = "server-1/default/prover-cluster/default/fleet"
THEIRS = "server-2/default/prover-cluster/default/fleet"


def spec(namespace: str = "fleet", pull_auth: str = "") -> ClusterSpec:
    """Return a spec for one namespace."""
    auth = SecretRef(ref=pull_auth) if pull_auth else None
    image = ImageTarget(repository="prover", pull_auth=auth)
    return ClusterSpec(namespace=namespace, coordinator=Endpoint(ip="10.0.0.1"), image=image)


def namespace(**annotations: str) -> Manifest:
    """Return a Namespace with annotations."""
    return {"kind": "Namespace", "metadata": {"name": "fleet", "annotations": annotations}}


def marked(owner: str, kind: str = "Deployment", name: str = "prover-cli-t", **meta: Any) -> Manifest:
    """Return an object with an owner mark, or with none."""
    annotations = {"prover-cluster/owner": owner} if owner else {}
    return {"kind": kind, "metadata": {"name": name, "annotations": annotations, "labels": {"stage": "abc"}, **meta}}


def judge(
    found: Manifest | None, *objects: Manifest, wanted: ClusterSpec | None = None, readable: bool = True
) -> Target:
    """Judge as the deployment OURS."""
    return ownership.judge_target(found, list(objects), wanted or spec(), OURS, cluster_uid="uid", readable=readable)


def test_a_missing_namespace_is_fine() -> None:
    """It will be created."""
    target = judge(None)
    assert (target.namespace_exists, target.deployed, target.owner, target.warnings) == (False, False, "", [])
    assert target.cluster_uid == "uid"


def test_our_own_deployment_is_recognised() -> None:
    """Marks of ours say what is installed."""
    target = judge(namespace(**{"prover-cluster/owner": OURS, "stage": "abc"}), marked(OURS))
    assert (target.deployed, target.stage, target.owner, target.warnings) == (True, "abc", OURS, [])


def test_a_half_written_deployment_is_still_ours() -> None:
    """A worker that died between two objects left marks on each that it wrote."""
    target = judge(namespace(), marked(OURS, "ConfigMap", "cluster-conf"))
    assert (target.deployed, target.owner) == (False, "")


@pytest.mark.parametrize(
    ("found", "objects", "named"),
    [
        (namespace(**{"prover-cluster/owner": THEIRS}), [], THEIRS),
        (namespace(), [marked(THEIRS)], THEIRS),
        (namespace(), [marked(OURS), marked(THEIRS, "Service", "cluster-coordinator")], "Service cluster-coordinator"),
        (namespace(), [marked("")], "Deployment prover-cli-t"),
        (namespace(), [marked(""), marked("", "ConfigMap", "cluster-conf")], "ConfigMap cluster-conf"),
        (namespace(), [marked("", "Secret", "img-cred")], "Secret img-cred"),
    ],
)
def test_what_is_not_ours_is_refused_by_name(found: Manifest, objects: list[Manifest], named: str) -> None:
    """The refusal names the owner or the object, and both ways out."""
    with pytest.raises(OwnedByAnother) as raised:
        judge(found, *objects)
    assert named in str(raised.value)
    assert "CLUSTER_NS" in raised.value.diagnosis.do


def test_the_tool_that_made_it_is_named() -> None:
    """The first field manager says who to ask; who only reports a status is no maker."""
    fields = [{"manager": "kube-controller-manager", "subresource": "status"}, {"manager": "kubectl-client-side-apply"}]
    with pytest.raises(OwnedByAnother, match="made by kubectl-client-side-apply"):
        judge(namespace(), marked("", managedFields=fields))


def test_a_pull_secret_of_the_users_own_is_expected() -> None:
    """Settings may refer to an `img-cred` that is there already."""
    wanted = spec(pull_auth="kubernetes:img-cred")
    assert not judge(namespace(), marked("", "Secret", "img-cred"), wanted=wanted).deployed


def test_a_namespace_on_its_way_out_is_waited_for() -> None:
    """Nothing can be created in it; it is no matter of ownership."""
    leaving = {"kind": "Namespace", "metadata": {"name": "fleet", "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    with pytest.raises(Unavailable, match="being deleted"):
        judge(leaving)


@pytest.mark.parametrize(
    ("found", "wanted", "readable", "says"),
    [
        (namespace(), spec("default"), True, "'default'"),
        (None, spec(), False, "unknown"),
        (namespace(stage="old"), spec(), True, "stage old"),
    ],
)
def test_warnings(found: Manifest | None, wanted: ClusterSpec, readable: bool, says: str) -> None:
    """What is allowed but doubtful is said, and does not stop anything."""
    (warning,) = judge(found, wanted=wanted, readable=readable).warnings
    assert says in warning


def test_an_unreadable_namespace_is_taken_to_exist() -> None:
    """Without the right to read it, only writing can show whether it is there."""
    assert judge(None, readable=False).namespace_exists
