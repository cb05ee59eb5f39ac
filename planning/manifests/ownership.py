"""Ownership of a namespace: nothing of another deployment, tool or person is ever taken over."""

from domain import names
from domain.errors import OwnedByAnother, Unavailable
from domain.kubernetes import Manifest
from domain.messages.release import Target
from domain.spec import ClusterSpec
from planning.kubernetes.objects import annotations, labels, name, terminating
from planning.manifests.live_deployment import makers

OTHER_NAMESPACE = "or choose another namespace with -n (CLUSTER_NS)"


def judge_target(
    namespace: Manifest | None,
    objects: list[Manifest],
    spec: ClusterSpec,
    owner: str,
    *,
    cluster_uid: str = "",
    readable: bool = True,
) -> Target:
    """Return what exists; raises OwnedByAnother, or Unavailable while the namespace is being deleted.

    `objects` are the live objects that carry our names; `readable` is False when we may not read the Namespace.
    """
    marks = annotations(namespace or {})
    _require_lasting(namespace, spec)
    _require_namespace(marks.get(names.OWNER_ANNOTATION, ""), spec, owner)
    _require_objects([found for found in objects if not _expected(found, spec)], spec, owner)
    deployment = next((found for found in objects if found.get("kind") == "Deployment"), None)
    stage = marks.get(names.STAGE_ANNOTATION) or labels(deployment or {}).get("stage", "")
    return Target(
        cluster_uid=cluster_uid,
        namespace_exists=namespace is not None or not readable,
        deployed=deployment is not None and not terminating(deployment),
        stage=stage,
        owner=marks.get(names.OWNER_ANNOTATION) or annotations(deployment or {}).get(names.OWNER_ANNOTATION, ""),
        warnings=_warnings(spec, marks, deployed=deployment is not None, readable=readable),
    )


def _require_lasting(namespace: Manifest | None, spec: ClusterSpec) -> None:
    if namespace is not None and terminating(namespace):
        raise Unavailable(
            "the namespace is being deleted",
            on=f"namespace {spec.namespace}",
            because="nothing can be created in it until it is gone",
            do="wait until it is gone, " + OTHER_NAMESPACE,
        )


def _require_namespace(marked: str, spec: ClusterSpec, owner: str) -> None:
    if marked and marked != owner:
        raise OwnedByAnother(
            f"the namespace belongs to the deployment {marked}",
            on=f"namespace {spec.namespace}",
            because="exactly one prover cluster may live in a namespace, and nothing was changed",
            do=f"tear it down from there, {OTHER_NAMESPACE}",
        )


def _require_objects(objects: list[Manifest], spec: ClusterSpec, owner: str) -> None:
    marked = [(found, annotations(found).get(names.OWNER_ANNOTATION, "")) for found in objects]
    others = sorted({mark for _, mark in marked if mark and mark != owner})
    if others:
        held = ", ".join(_title(found) for found, mark in marked if mark in others)
        raise OwnedByAnother(
            f"{held} belongs to the deployment {', '.join(others)}",
            on=f"namespace {spec.namespace}",
            because="exactly one prover cluster may live in a namespace, and nothing was changed",
            do=f"tear it down from there, {OTHER_NAMESPACE}",
        )
    unmarked = [found for found, mark in marked if not mark]
    if unmarked:
        creators = sorted({maker for found in unmarked for maker in makers(found)[:1]})
        raise OwnedByAnother(
            f"{', '.join(_title(found) for found in unmarked)} exists and was not made by proverctl",
            on=f"namespace {spec.namespace}",
            because=f"it was made by {', '.join(creators) or 'somebody else'}, and nothing was changed",
            do=f"remove it with the tool that made it, {OTHER_NAMESPACE}",
        )


def _expected(found: Manifest, spec: ClusterSpec) -> bool:
    """Return whether it is the pull Secret that the settings refer to, which is the user's own."""
    auth = spec.image.pull_auth
    own = auth is not None and auth.ref == f"kubernetes:{names.PULL_SECRET}"
    return own and found.get("kind") == "Secret" and name(found) == names.PULL_SECRET


def _title(found: Manifest) -> str:
    return f"{found.get('kind')} {name(found)}"


def _warnings(spec: ClusterSpec, marks: dict[str, str], *, deployed: bool, readable: bool) -> list[str]:
    found = []
    if spec.namespace == "default":
        found.append(
            "The clients go to the namespace 'default': give them one of their own with -n (CLUSTER_NS), so that "
            "rights, quotas and a clean-up can be limited to them."
        )
    if not readable:
        found.append(
            f"Whether the namespace {spec.namespace} belongs to another deployment is unknown: the worker may not "
            "read it. Grant the optional rights that `proverctl rbac` prints to find out."
        )
    leftover = marks.get(names.STAGE_ANNOTATION, "")
    if leftover and not marks.get(names.OWNER_ANNOTATION) and not deployed:
        found.append(
            f"The namespace {spec.namespace} carries the stage {leftover} of a deployment that is gone; it is replaced."
        )
    return found
