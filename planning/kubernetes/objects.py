"""Accessors of live objects (JSON as the API server sends it), where any part may be missing."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from domain import names
from domain.kubernetes import Manifest

REVISION = "deployment.kubernetes.io/revision"
FINISHED = {"Succeeded", "Failed"}


def bare(manifest: Manifest) -> Manifest:
    """Return the object without its field managers, which are most of it and say nothing about its state."""
    metadata = {key: value for key, value in manifest["metadata"].items() if key != "managedFields"}
    return {**manifest, "metadata": metadata}


def name(manifest: Manifest) -> str:
    """Return the object's name."""
    return str(_meta(manifest).get("name") or "")


def namespace(manifest: Manifest) -> str:
    """Return the object's namespace; empty for what has none."""
    return str(_meta(manifest).get("namespace") or "")


def created(manifest: Manifest) -> str:
    """Return when the object was created, as the API's timestamp."""
    return str(_meta(manifest).get("creationTimestamp") or "")


def node_name(pod: Manifest) -> str:
    """Return the node that the pod is bound to; empty before."""
    return str(spec(pod).get("nodeName") or "")


def replicas(deployment: Manifest) -> int:
    """Return how many pods a Deployment wants; without a number the API's default of one."""
    found = spec(deployment).get("replicas")
    return 1 if found is None else int(found)


def labels(manifest: Manifest) -> dict[str, str]:
    """Return the object's labels, possibly none."""
    return _meta(manifest).get("labels") or {}


def annotations(manifest: Manifest) -> dict[str, str]:
    """Return the object's annotations, possibly none."""
    return _meta(manifest).get("annotations") or {}


def uid(manifest: Manifest) -> str:
    """Return the identity that a new object of the same name does not share."""
    return str(_meta(manifest).get("uid") or "")


def spec(manifest: Manifest) -> dict[str, Any]:
    """Return the object's spec, possibly empty."""
    return manifest.get("spec") or {}


def status(manifest: Manifest) -> dict[str, Any]:
    """Return the object's status, possibly empty."""
    return manifest.get("status") or {}


def terminating(manifest: Manifest) -> bool:
    """Return whether the object's deletion was requested."""
    return bool(_meta(manifest).get("deletionTimestamp"))


def finished(pod: Manifest) -> bool:
    """Return whether the pod has ended for good, e.g. evicted, and is only kept for reading."""
    return status(pod).get("phase") in FINISHED


def condition(manifest: Manifest, kind: str) -> dict[str, Any]:
    """Return the status condition of this type; empty when it is not there."""
    return next((found for found in status(manifest).get("conditions") or [] if found.get("type") == kind), {})


def ready(pod: Manifest) -> bool:
    """Return whether the pod is Ready and not on its way out."""
    return condition(pod, "Ready").get("status") == "True" and not terminating(pod)


def controller(manifest: Manifest) -> str:
    """Return the UID of the object that controls this one; empty without one."""
    owners: Iterable[dict[str, Any]] = _meta(manifest).get("ownerReferences") or []
    return next((str(owner.get("uid")) for owner in owners if owner.get("controller")), "")


def client_image(pod_spec: dict[str, Any]) -> str:
    """Return the image of the container `client` in a pod's or template's spec."""
    containers = pod_spec.get("containers") or []
    return next((str(found.get("image") or "") for found in containers if found.get("name") == names.CONTAINER), "")


def client_variable(workload: Manifest, name: str) -> str:
    """Return an environment variable of the container `client` in a Deployment's template; empty without it."""
    containers = spec(spec(workload).get("template") or {}).get("containers") or []
    environment = next((found.get("env") or [] for found in containers if found.get("name") == names.CONTAINER), [])
    return next((str(found.get("value") or "") for found in environment if found.get("name") == name), "")


def container_statuses(pod: Manifest) -> list[dict[str, Any]]:
    """Return statuses of the init containers and then of the containers."""
    found = status(pod)
    return [*(found.get("initContainerStatuses") or []), *(found.get("containerStatuses") or [])]


def seconds(timestamp: str | None) -> float | None:
    """Return unix time of an API timestamp; None when there is none."""
    if not timestamp:
        return None
    return datetime.fromisoformat(timestamp).timestamp()


def timestamp(moment: float) -> str:
    """Return the API's timestamp of a Unix time."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def started(pod: Manifest) -> str:
    """Return when kubelet accepted the pod, else when it was created, as the API's timestamp."""
    return str(status(pod).get("startTime") or created(pod))


def age(pod: Manifest, now: float | None) -> float | None:
    """Return seconds since kubelet accepted the pod, else since it was created; None when it cannot be known."""
    return elapsed(started(pod), now)


def elapsed(timestamp: str | None, now: float | None) -> float | None:
    """Return seconds since an API timestamp; None when either is not known."""
    since = seconds(timestamp)
    return None if now is None or since is None else max(0.0, now - since)


def first_seen(event: Manifest) -> str:
    """Return when the event happened first, as the API's timestamp."""
    return str(event.get("firstTimestamp") or event.get("eventTime") or _meta(event).get("creationTimestamp") or "")


def last_seen(event: Manifest) -> str:
    """Return when the event happened last, as text that sorts."""
    series = (event.get("series") or {}).get("lastObservedTime")
    return str(series or event.get("lastTimestamp") or first_seen(event))


def later(one: str | None, other: str | None) -> bool:
    """Return whether the first timestamp is after the second one; False when either is not known."""
    return (seconds(one) or 0.0) > (seconds(other) or 0.0) if one and other else False


def earliest(stamps: Iterable[str]) -> str:
    """Return the earliest of some timestamps, empty ones left out."""
    return min((stamp for stamp in stamps if stamp), key=lambda stamp: seconds(stamp) or 0.0, default="")


def about(event: Manifest) -> tuple[str, str]:
    """Return kind and name of the object that the event is about."""
    found = _about(event)
    return str(found.get("kind") or ""), str(found.get("name") or "")


def by_object(events: list[Manifest]) -> dict[str, list[Manifest]]:
    """Group the events by the UID of the object that they are about, in the order given."""
    found: dict[str, list[Manifest]] = {}
    for event in events:
        found.setdefault(str(_about(event).get("uid") or ""), []).append(event)
    return found


def occurrences(event: Manifest) -> int:
    """Return how often the event happened; the series is the newer way of counting."""
    series = event.get("series") or {}
    return int(series.get("count") or event.get("count") or event.get("deprecatedCount") or 1)


def message(event: Manifest) -> str:
    """Return the event's text, in either API."""
    return str(event.get("message") or event.get("note") or "")


def pod_state(pod: Manifest) -> str:
    """Return the pod's state as kubectl shows it: Running, Pending, ImagePullBackOff, Terminating."""
    if terminating(pod):
        return "Terminating"
    for container in container_statuses(pod):
        state = container.get("state") or {}
        reason = (state.get("waiting") or {}).get("reason") or _bad_end(state.get("terminated") or {})
        if reason:
            return str(reason)
    found = status(pod)
    return str(found.get("reason") or found.get("phase") or "Pending")


def _bad_end(terminated: dict[str, Any]) -> str:
    return str(terminated.get("reason") or "Error") if terminated.get("exitCode") else ""


def _about(event: Manifest) -> dict[str, Any]:
    return event.get("involvedObject") or event.get("regarding") or {}


def _meta(manifest: Manifest) -> dict[str, Any]:
    return manifest.get("metadata") or {}
