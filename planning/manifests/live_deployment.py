"""The deployment that exists in a namespace, by its live objects alone: stage, owner, release, and who made what."""

from domain import names
from domain.kubernetes import Manifest
from domain.model import Message
from domain.status import Observation, Release
from planning.kubernetes.objects import annotations, client_image, labels, name, spec


class LiveDeployment(Message):
    """The deployment that exists, for `status --direct`: no phase, which only the workflow knows."""

    namespace: str
    namespace_exists: bool = True
    stage: str = ""  # annotation on the namespace, else the label of the Deployment
    owner: str = ""  # owner mark, `<Temporal cluster>/<Temporal namespace>/<workflow id>`; empty: not made by us
    release: Release | None = None
    objects: list[str] = []  # `Kind name (made by manager)`
    observed: Observation = Observation()
    warnings: list[str] = []


def from_objects(
    namespace: str, found: Manifest | None, objects: list[Manifest], observed: Observation
) -> LiveDeployment:
    """Read it from the Namespace (None: absent or unreadable), the objects of our names, and the clients."""
    marks = annotations(found or {})
    deployment = _of_kind(objects, "Deployment")
    template = spec(deployment or {}).get("template") or {}
    return LiveDeployment(
        namespace=namespace,
        stage=marks.get(names.STAGE_ANNOTATION) or labels(template).get("stage", ""),
        owner=marks.get(names.OWNER_ANNOTATION) or _owner(objects),
        release=_release(deployment, template, objects) if deployment else None,
        objects=[f"{entry.get('kind')} {name(entry)} ({_made_by(entry)})" for entry in objects],
        observed=observed,
    )


def makers(entry: Manifest) -> list[str]:
    """Return the field managers that wrote the object, the first one first, without those that only report a status."""
    fields = (entry.get("metadata") or {}).get("managedFields") or []
    return list(dict.fromkeys(str(row.get("manager")) for row in fields if not row.get("subresource")))


def _made_by(entry: Manifest) -> str:
    others = makers(entry)
    said = f"made by {', '.join(others)}" if others else "maker unknown"
    owner = annotations(entry).get(names.OWNER_ANNOTATION, "")
    return f"{said}; {'marked ' + owner if owner else 'no owner mark'}"


def _owner(objects: list[Manifest]) -> str:
    marks = [annotations(entry).get(names.OWNER_ANNOTATION, "") for entry in objects]
    return next(filter(None, marks), "")


def _of_kind(objects: list[Manifest], kind: str) -> Manifest | None:
    return next((entry for entry in objects if entry.get("kind") == kind), None)


def _release(deployment: Manifest, template: Manifest, objects: list[Manifest]) -> Release:
    return Release(
        stage=labels(template).get("stage", ""),
        image=client_image(spec(template)),
        config_hash=annotations(template).get(names.CONFIG_HASH_ANNOTATION, ""),
        endpoint=_endpoint(objects),
        replicas=int(spec(deployment).get("replicas") or 0),
    )


def _endpoint(objects: list[Manifest]) -> str:
    """Return the coordinator's address by our slice, else by the v1 Endpoints of the original."""
    ours = _of_kind(objects, "EndpointSlice")
    if ours:
        addresses = [address for entry in ours.get("endpoints") or [] for address in entry.get("addresses") or []]
        ports = [port.get("port") for port in ours.get("ports") or []]
        return _joined(addresses, ports)
    subsets = (_of_kind(objects, "Endpoints") or {}).get("subsets") or []
    addresses = [str(entry.get("ip")) for subset in subsets for entry in subset.get("addresses") or []]
    return _joined(addresses, [port.get("port") for subset in subsets for port in subset.get("ports") or []])


def _joined(addresses: list[str], ports: list[int | None]) -> str:
    port = f":{ports[0]}" if ports and ports[0] else ""
    return ", ".join(f"[{one}]{port}" if ":" in one else f"{one}{port}" for one in addresses)
