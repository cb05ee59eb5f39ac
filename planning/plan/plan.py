"""The effect of a deploy on each object and its cost, from the live objects and the API server's dry-run.

The API server has applied each object in a dry-run; what it refused is one line of the plan and never
the end of it.
"""

from typing import NamedTuple

from domain import names
from domain.diagnosis import Diagnosis
from domain.errors import OwnedByAnother, Unavailable
from domain.kubernetes import Manifest
from domain.messages.inspection import Action, ObjectChange, PlanReport
from domain.messages.nodes import NodesReport
from domain.spec import ClusterSpec
from domain.status import Release
from planning.capacity import node
from planning.kubernetes import objects
from planning.manifests import client_config, ownership
from planning.plan import diff
from planning.text.sizes import counted

MAX_NODES = 50  # verdicts in a plan; `proverctl nodes` lists all
NEW_ADDRESS = "its address family cannot be changed: it is deleted and made anew"


class DryRun(NamedTuple):
    """An object of the rendering: as it is, as it would be, or why the API server would refuse it."""

    manifest: Manifest
    live: Manifest | None = None
    result: Manifest | None = None  # of the dry-run
    refusal: Diagnosis | None = None
    note: str = ""  # why there was no dry-run
    unread: bool = False  # the live object may not be read


def family(manifest: Manifest) -> str:
    """Return IPv4 or IPv6 of a slice or a Service, which nobody can change; empty for everything else."""
    if manifest["kind"] == "EndpointSlice":
        return str(manifest["addressType"])
    families = (manifest.get("spec") or {}).get("ipFamilies") if manifest["kind"] == "Service" else None
    return str(families[0]) if families else ""


def change(trial: DryRun, spec: ClusterSpec, owner: str) -> ObjectChange:
    """Return the effect of a deploy on one object; an empty `owner` means that ours is not known."""
    kind = trial.manifest["kind"]
    secret = kind == "Secret"
    named = ObjectChange(kind=kind, name=objects.name(trial.manifest), action=Action.UNKNOWN, note=trial.note)
    if trial.unread:
        return named
    if trial.live is None:
        lines = diff.lines(None, _content(trial.manifest), secret=secret)
        action = Action.CREATE
    elif family(trial.live) and family(trial.manifest) and family(trial.live) != family(trial.manifest):
        lines = diff.lines(diff.as_wanted(trial.live, trial.manifest), trial.manifest, secret=secret)
        action, named = Action.REPLACE, named.model_copy(update={"note": NEW_ADDRESS})
    else:
        reduced = diff.as_wanted(trial.live, trial.manifest) if trial.result is None else trial.live
        lines = diff.lines(reduced, trial.result or trial.manifest, secret=secret)
        action = Action.CHANGE if lines else Action.SAME
    refusal = _foreign(trial.live, spec, owner) or (_sentence(trial.refusal) if trial.refusal else "")
    if refusal:
        return named.model_copy(update={"action": Action.REFUSED, "lines": lines, "note": refusal})
    return named.model_copy(update={"action": action, "lines": lines})


def _content(manifest: Manifest) -> Manifest:
    """Return the parts of a new object that differ between objects: neither labels nor marks."""
    return (
        manifest if manifest["kind"] == "Namespace" else {key: manifest[key] for key in manifest if key != "metadata"}
    )


def removal(found: Manifest, note: str) -> ObjectChange:
    """Return the removal of an object that this release does not have."""
    return ObjectChange(kind=found["kind"], name=objects.name(found), action=Action.REMOVE, note=note)


def reused(release: Release, deployment: Manifest | None, configuration: Manifest | None = None) -> Release:
    """Return the release with the image that serves, when that is of the same stage: its digest is known then.

    Whether an image holds lag.key is known once it is built; until then it is as the live configuration says.
    """
    template = objects.spec(deployment or {}).get("template") or {}
    pod = objects.spec(template)
    user = "1" if (pod.get("securityContext") or {}).get("runAsNonRoot") else ""
    text = str(((configuration or {}).get("data") or {}).get(names.CONFIG_KEY) or "")
    known = {"image_user": release.image_user or user, "lagrange": release.lagrange and client_config.lagrange(text)}
    tagged, image = release.image.partition("@")[0], objects.client_image(pod)
    same = objects.labels(template).get("stage") == release.stage and image.partition("@")[0] == tagged
    return release.model_copy(update=known | ({"image": image} if same and "@" not in release.image else {}))


def slim(found: Manifest, spec: ClusterSpec) -> Manifest:
    """Return the parts of a node that a plan needs: those that are judged, and our repository's images."""
    small = node.slim(found, spec.node_label.key)
    ours = f"{spec.image.pull_host}/{spec.image.repository}"
    images = [entry for entry in objects.status(found).get("images") or [] if ours in str(entry.get("names"))]
    return small | {"status": small["status"] | {"images": images}}


def report(
    changes: list[ObjectChange],
    deployment: DryRun,
    pods: list[Manifest],
    nodes: list[Manifest] | None,
    judged: NodesReport | None,
    spec: ClusterSpec,
    warnings: list[str],
) -> PlanReport:
    """Return the whole plan; `pods` are ours, `nodes` None when they may not be read."""
    running = [pod for pod in pods if not objects.finished(pod) and not objects.terminating(pod)]
    wanted = int(objects.spec(deployment.manifest).get("replicas") or 0)
    replaced = min(len(running), wanted) if _restarts(deployment) else 0
    starting = replaced + max(0, wanted - len(running))
    lacking = None if nodes is None else _lacking(nodes, running, judged, spec, _image(deployment.manifest))
    pulls = 0 if lacking is None else min(starting, lacking)
    return PlanReport(
        changes=changes,
        replaced=replaced,
        pulls=pulls,
        cost=_cost(len(running), wanted, replaced, starting, None if lacking is None else pulls),
        nodes=judged.model_copy(update={"nodes": judged.nodes[:MAX_NODES]}) if judged else None,
        warnings=warnings + _unknown_digest(deployment),
    )


def _restarts(trial: DryRun) -> bool:
    """Return whether the pod template changes: only then are pods replaced."""
    if trial.live is None or trial.unread:
        return False
    old, new = objects.spec(trial.live).get("template") or {}, objects.spec(trial.result or trial.manifest)["template"]
    if trial.result is None:
        old = diff.as_wanted(old, new)
    return bool(diff.lines(old, new))


def _lacking(
    nodes: list[Manifest], running: list[Manifest], judged: NodesReport | None, spec: ClusterSpec, image: str
) -> int:
    """Count the nodes that may get a client and lack the image; of thousands not every verdict is reported."""
    holding = {str(objects.spec(pod).get("nodeName") or "") for pod in running}
    unusable = {verdict.name for verdict in judged.nodes if not verdict.usable} if judged else set()
    label = spec.node_label
    chosen = [
        found
        for found in nodes
        if objects.name(found) in holding
        or (objects.labels(found).get(label.key) == label.value and objects.name(found) not in unusable)
    ]
    return sum(not has_image(found, image) for found in chosen)


def has_image(found: Manifest, image: str) -> bool:
    """Return whether the kubelet reports the image, by its digest where known; it reports the largest 50."""
    tagged, _, digest = image.partition("@")
    repository = tagged.rpartition(":")[0]
    same = {f"{repository}@{digest}"} if digest else {tagged}
    return any(name in same for entry in objects.status(found).get("images") or [] for name in entry.get("names") or [])


def _image(manifest: Manifest) -> str:
    return objects.client_image(objects.spec(objects.spec(manifest).get("template") or {}))


def _cost(running: int, wanted: int, replaced: int, starting: int, pulls: int | None) -> str:
    """Return the cost in one sentence."""
    added, removed = max(0, wanted - running), max(0, running - wanted)
    parts = [
        *([f"{counted(replaced, 'pod')} would be replaced"] if replaced else []),
        *([f"{counted(added, 'pod')} would be added"] if added else []),
        *([f"{counted(removed, 'pod')} would be removed"] if removed else []),
    ]
    if not parts:
        return "No pod would be touched and no image pulled."
    if pulls is None and starting:
        parts.append("how many nodes would pull is unknown: nodes may not be read")
    elif pulls:
        parts.append(f"up to {counted(pulls, 'node')} would pull the image")
    else:
        parts.append("no node would pull the image")
    said = ", ".join(parts)
    return f"{said[0].upper()}{said[1:]}."


def _unknown_digest(deployment: DryRun) -> list[str]:
    image = _image(deployment.manifest)
    if not image or "@" in image:
        return []
    return [f"The digest of {image} is known only after the push: the plan compares by tag."]


def _foreign(found: Manifest | None, spec: ClusterSpec, owner: str) -> str:
    """Return why the live object is not ours to write to; empty when it is."""
    if found is None or not owner:
        return ""
    is_namespace = found["kind"] == "Namespace"
    try:
        ownership.judge_target(found if is_namespace else None, [] if is_namespace else [found], spec, owner)
    except OwnedByAnother as error:
        return f"{error.diagnosis.code}: {error.diagnosis.what}; {error.diagnosis.because.partition(', and')[0]}."
    except Unavailable as error:
        return _sentence(error.diagnosis)
    return ""


def _sentence(refusal: Diagnosis) -> str:
    """Return the refusal without the object, which is shown beside it."""
    return str(refusal.model_copy(update={"on": ""}))
