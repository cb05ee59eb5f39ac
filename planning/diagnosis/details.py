"""The details that only a whole group of equal pods tells: which nodes, how many, who is there, the client's log."""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal

from domain.diagnosis import Diagnosis
from domain.kubernetes import Manifest
from planning.capacity import placement, requests
from planning.capacity.placement import CandidateNodes
from planning.diagnosis import container_exit, image_pull, release_view
from planning.diagnosis.release_view import ReleaseView
from planning.kubernetes import objects
from planning.text import quantity, sanitize
from planning.text.listing import listed

_SHOWN_NAMES = 5  # names in one sentence
Explain = Callable[[Diagnosis, list[Manifest], ReleaseView], Diagnosis]


def explain(found: Diagnosis, pods: list[Manifest], view: ReleaseView) -> Diagnosis:
    """Add what is known of the finding's group; `pods` are those that it holds up."""
    rule = _RULES.get(found.code)
    return rule(found, pods, view) if rule else found


def _no_label(found: Diagnosis, pods: list[Manifest], view: ReleaseView) -> Diagnosis:
    label = "=".join(placement.wanted_label(pods[0]))
    places = placement.candidate_nodes(pods[0], view.snapshot)
    if places is None or label == "=":
        return found
    total = found.evidence.partition("/")[2].partition(" ")[0]
    carry = f"{len(places.labelled) or 'none'} of {total if total.isdigit() else 'the'} nodes carry {label}"
    names = _few([objects.name(node) for node in places.labelled])
    return found.model_copy(update={"what": carry + (f": {names}" if names else "")})


def _by_obstacle(found: Diagnosis, pods: list[Manifest], view: ReleaseView) -> Diagnosis:
    """Name the labelled nodes that this cause shuts out, each with its taint, or since when."""
    places = placement.candidate_nodes(pods[0], view.snapshot)
    if places is None:
        return found
    shut = [
        f"{objects.name(node)} ({seen.detail})" if seen.detail else objects.name(node)
        for node in places.labelled
        if (seen := placement.obstacle(pods[0], node, places.held.get(objects.name(node), []))).code == found.code
    ]
    if not shut:
        return found
    words = {
        "SCHED_CORDON": "are cordoned",
        "NODE_NOT_READY": "are not ready",
        "SCHED_TAINT": "have a taint that clients do not tolerate",
    }
    what = f"{len(shut)} of {len(places.labelled)} nodes for clients {words[found.code]}: {_few(shut)}"
    others = len(places.labelled) - len(shut)
    because = f"{found.because}; the other {others} are taken" if others else found.because
    return found.model_copy(update={"what": what, "because": because})


def _full(found: Diagnosis, pods: list[Manifest], view: ReleaseView) -> Diagnosis:
    places = placement.candidate_nodes(pods[0], view.snapshot)
    if places is None:
        return found
    names = [objects.name(node) for node in places.labelled]
    booked = [
        f"{placement.booking(pod)} on {node}"
        for node in names
        for pod in places.held.get(node, [])
        if placement.is_prover(pod)
    ]
    if not booked:
        return found
    unknown = "" if places.whole else "; those of other namespaces we may not see"
    return found.model_copy(
        update={
            "what": f"{len(booked)} prove-clients hold the {len(names)} nodes for clients; "
            f"more nodes needed: {len(pods)}",
            "because": f"each node takes one client: {_few(booked)}{unknown}",
        }
    )


def _resources(found: Diagnosis, pods: list[Manifest], view: ReleaseView) -> Diagnosis:
    """Name what is asked for, what the best node has left, and which pods took the rest of it."""
    places, asked = placement.candidate_nodes(pods[0], view.snapshot), requests.of_pod(pods[0]).requests
    short = Counter(
        one for node in (places.labelled if places else []) for one in asked if _left(node, one, places) < asked[one]
    )
    if places is None or not short:
        return found
    resource = short.most_common(1)[0][0]
    best = max(places.labelled, key=lambda node: _left(node, resource, places))
    has, left, wanted = (
        quantity.shown(amount, resource)
        for amount in (placement.free(best, resource, []), _left(best, resource, places), asked[resource])
    )
    what = f"a client asks for {wanted} {resource}; the best node {objects.name(best)} has {left} free of {has}"
    because = _takers(places.held.get(objects.name(best), []), resource)
    return found.model_copy(
        update={"what": what, "because": because if places.whole else f"{because} (we may not see all pods)"}
    )


def _takers(there: list[Manifest], resource: str) -> str:
    amounts = {placement.booking(pod): requests.of_pod(pod).requests.get(resource, Decimal(0)) for pod in there}
    largest = sorted(((amount, pod) for pod, amount in amounts.items() if amount), reverse=True)
    if not largest:
        return "it is too small even when empty"
    return f"the rest is taken by {_few([f'{pod} ({quantity.shown(amount, resource)})' for amount, pod in largest])}"


def _left(node: Manifest, resource: str, places: CandidateNodes | None) -> Decimal:
    return placement.free(node, resource, places.held.get(objects.name(node), []) if places else [])


def _scale_up(found: Diagnosis, pods: list[Manifest], _: ReleaseView) -> Diagnosis:
    return found.model_copy(update={"what": f"{found.what} ({len(pods)} pods wait)"}) if len(pods) > 1 else found


def _image_access(found: Diagnosis, pods: list[Manifest], view: ReleaseView) -> Diagnosis:
    image = objects.client_image(objects.spec(pods[0]))
    return image_pull.explain_access(found, image, pods[0], view.snapshot.pull_hosts)


def _image_from(found: Diagnosis, pods: list[Manifest], view: ReleaseView) -> Diagnosis:
    """Name the nodes that cannot pull the image, and those that could."""
    image = objects.client_image(objects.spec(pods[0]))
    failing = {objects.node_name(pod) for pod in pods}
    well = {objects.node_name(pod) for pod in view.pods if image_pull.has_image(pod)} - failing
    where = f"{len(failing)} nodes cannot fetch it: {_few(sorted(failing))}"
    where += f"; {len(well)} could: {_few(sorted(well))}" if well else ""
    return found.model_copy(
        update={"because": f"{found.because}; {where}", "what": found.what.replace("{image}", image)}
    )


def _image_slow(found: Diagnosis, pods: list[Manifest], view: ReleaseView) -> Diagnosis:
    return image_pull.explain_slow(found, pods, view)


def _crashed(found: Diagnosis, pods: list[Manifest], seen: ReleaseView) -> Diagnosis:
    """Add the last lines of the log where the status has none, the limit, and what this release changed."""
    update: dict[str, str] = {}
    log = next((told for pod in pods if (told := seen.snapshot.logs.get(objects.name(pod)))), "")
    because = found.because
    if log and "no output" in found.evidence:
        update["evidence"] = sanitize.one_line(container_exit.last_words(log))
        because = because or container_exit.meaning(None, log)[0]
    if found.code == "OOM":
        because = "; ".join(part for part in (because, _memory(pods[0], seen)) if part)
    changed = _differs(seen)
    if changed:
        because = "; ".join(part for part in (because, f"differs from the release before in {changed}") if part)
    elif release_view.previous(seen) is None and not because:
        because = "no release ran here before"
    return found.model_copy(update=update | {"because": because})


def _memory(pod: Manifest, seen: ReleaseView) -> str:
    containers = objects.spec(pod).get("containers") or [{}]
    limit = ((containers[0].get("resources") or {}).get("limits") or {}).get("memory")
    node = next((one for one in seen.snapshot.nodes or [] if objects.name(one) == objects.node_name(pod)), None)
    has = (objects.status(node).get("allocatable") or {}).get("memory") if node else None
    told = [f"its limit is {limit}" if limit else "it has no limit"]
    return ", ".join([*told, f"node {objects.node_name(pod)} has {has}"] if has else told)


def _differs(seen: ReleaseView) -> str:
    """Return the settings of the client that changed since the release before; empty when nothing is known."""
    before, after = release_view.previous(seen), seen.replica_set
    if before is None or after is None:
        return ""
    old, new = ((objects.spec(found).get("template") or {}) for found in (before, after))
    was, now = _client(old), _client(new)
    parts = [part for part in ("image", "command", "args", "env", "resources") if was.get(part) != now.get(part)]
    return ", ".join(parts + (["configuration"] if objects.annotations(old) != objects.annotations(new) else []))


def _client(template: Manifest) -> Manifest:
    return next(iter(objects.spec(template).get("containers") or []), {})


def _stuck(found: Diagnosis, pods: list[Manifest], view: ReleaseView) -> Diagnosis:
    """Say whether one node is concerned, or all that were tried."""
    bad = sorted({objects.node_name(pod) for pod in pods})
    well = {objects.node_name(pod) for pod in view.pods if objects.ready(pod)} - set(bad)
    where = f"only on {_few(bad)}; {len(well)} other nodes run clients" if well else f"on every node tried: {_few(bad)}"
    return found.model_copy(update={"because": "; ".join(part for part in (found.because, where) if part)})


def _few(names: list[str]) -> str:
    return listed(names, _SHOWN_NAMES)


_RULES: dict[str, Explain] = {
    "SCHED_NO_LABEL": _no_label,
    "SCHED_CORDON": _by_obstacle,
    "NODE_NOT_READY": _by_obstacle,
    "SCHED_TAINT": _by_obstacle,
    "SCHED_ANTIAFFINITY_FULL": _full,
    "SCHED_RESOURCES": _resources,
    "SCHED_AUTOSCALE": _scale_up,
    "IMAGE_AUTH": _image_access,
    "IMAGE_NOT_FOUND": _image_from,
    "IMAGE_REGISTRY_DOWN": _image_from,
    "IMAGE_SLOW": _image_slow,
    "CRASH_LOOP": _crashed,
    "OOM": _crashed,
    "CANNOT_RUN": _crashed,
    "EXIT_128": _crashed,
    "STUCK_CREATING": _stuck,
}
