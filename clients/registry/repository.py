"""Tags and images of one repository of a registry, and the removal of an image."""

import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit

from clients.registry.client import ACCEPT, Registry
from clients.registry.transport import Response
from domain.errors import PermanentError, Unavailable

TITLE = "org.opencontainers.image.title"
_PAGE = 500  # tags, so that a page stays far below what is read of an answer
_PAGES = 200
_HOPS = 3  # from a registry to the storage that holds a blob
_OK, _ACCEPTED, _FORBIDDEN, _NOT_FOUND, _NOT_ALLOWED = 200, 202, 403, 404, 405
_MOVED = (301, 302, 303, 307, 308)


class TagDescription(NamedTuple):
    """Manifest of an image or of an index of images, by digest."""

    digest: str
    size: int  # bytes: manifest, configuration and layers; of an index, of all its images
    labels: dict[str, str]  # of the configuration, and of the manifest's annotations where it lacks one
    created: str  # as the configuration has it
    children: list[str]  # digests of the images of an index
    layers: dict[str, str]  # digest → title, of an image; without one: empty


def tags(registry: Registry) -> list[str]:
    """All tags, sorted; none where the repository does not exist."""
    found: set[str] = set()
    for page in _pages(registry):
        names = page.get("tags") or []
        found.update(str(name) for name in names)
    return sorted(found)


def describe(registry: Registry, digest: str) -> TagDescription | None:
    """Return the description of a digest; None when it is gone."""
    answer = _get(registry, digest)
    if answer is None:
        return None
    manifest = _object(registry, answer)
    if children := [str(part.get("digest", "")) for part in _parts(manifest.get("manifests"))]:
        parts = [found for child in children if (found := describe(registry, child))]
        first = parts[0] if parts else TagDescription(digest, 0, {}, "", [], {})
        size = len(answer.body) + sum(part.size for part in parts)
        nested = [one for part in parts for one in part.children]
        return TagDescription(digest, size, first.labels, first.created, [*children, *nested], {})
    config, layers = _part(manifest.get("config")), _parts(manifest.get("layers"))
    sizes = [part.get("size") for part in (config, *layers)]
    size = len(answer.body) + sum(one for one in sizes if isinstance(one, int))
    content = _blob(registry, str(config.get("digest", "")))
    known = {**_part(manifest.get("annotations")), **_part(_part(content.get("config")).get("Labels"))}
    labels = {str(name): str(value) for name, value in known.items()}
    titles = {str(layer.get("digest", "")): str(_part(layer.get("annotations")).get(TITLE, "")) for layer in layers}
    return TagDescription(digest, size, labels, str(content.get("created") or ""), [], titles)


def delete(registry: Registry, digest: str) -> None:
    """Remove a manifest with all its tags; one that is gone is fine. PermanentError where deletion is not allowed.

    The registry frees the space of its layers only when its own garbage collection runs.
    """
    expected = (_ACCEPTED, _OK, _NOT_FOUND, _NOT_ALLOWED, _FORBIDDEN)
    answer = registry.call("DELETE", _manifest(registry, digest), expected=expected)
    where = f"{registry.host}/{registry.repository}"
    if answer.status == _NOT_ALLOWED:
        raise PermanentError(
            f"registry {registry.host} does not delete images",
            on=where,
            because="it answers 405 to the removal of a manifest",
            do="switch deletion on at the registry (distribution: REGISTRY_STORAGE_DELETE_ENABLED=true, not read-only)"
            " and restart it; its own garbage collection then frees the space",
            code="REGISTRY_NO_DELETE",
        )
    if answer.status == _FORBIDDEN:
        raise PermanentError(
            f"registry {registry.host} does not let us delete images",
            on=where,
            because="it answers 403 to the removal of a manifest",
            do=f"give the user of IMAGE_PUSH_AUTH (by default IMAGE_AUTH_USER) the right to delete in {where}",
            code="REGISTRY_NO_DELETE",
        )


def _pages(registry: Registry) -> Iterator[dict[str, Any]]:
    target = f"/v2/{registry.repository}/tags/list?n={_PAGE}"
    seen: set[str] = set()
    while target and target not in seen and len(seen) < _PAGES:
        seen.add(target)
        answer = registry.call("GET", target, expected=(_OK, _NOT_FOUND), what="its tags")
        if answer.status == _NOT_FOUND:
            return
        yield _object(registry, answer)
        target = _next(target, answer.headers.get("Link", ""))


def _next(target: str, link: str) -> str:
    """Path and query of the next page; a registry may name itself by another scheme or host than we do."""
    for part in link.split(","):
        reference, _, rest = part.strip().partition(">")
        if reference.startswith("<") and 'rel="next"' in rest.replace("rel=next", 'rel="next"'):
            joined = urljoin(target, reference[1:])
            return urlsplit(joined)._replace(scheme="", netloc="", fragment="").geturl()
    return ""


def _get(registry: Registry, reference: str) -> Response | None:
    answer = registry.call("GET", _manifest(registry, reference), headers=ACCEPT, expected=(_OK, _NOT_FOUND))
    return answer if answer.status == _OK else None


def _blob(registry: Registry, digest: str) -> dict[str, Any]:
    """Return a configuration; empty when it is gone or no JSON object."""
    target = f"/v2/{registry.repository}/blobs/{digest}"
    for _ in range(_HOPS if digest else 0):
        answer = registry.call("GET", target, expected=(_OK, _NOT_FOUND, *_MOVED), what="a configuration")
        if answer.status in _MOVED:
            target = registry.location(answer)
            continue
        return _parsed(answer) or {} if answer.status == _OK else {}
    return {}


def _part(found: Any) -> dict[str, Any]:
    """Return a value of the expected type, else its empty value: other tools write manifests, too."""
    return found if isinstance(found, dict) else {}


def _parts(found: Any) -> list[dict[str, Any]]:
    return [part for part in found if isinstance(part, dict)] if isinstance(found, list) else []


def _manifest(registry: Registry, reference: str) -> str:
    return f"/v2/{registry.repository}/manifests/{reference}"


def _object(registry: Registry, answer: Response) -> dict[str, Any]:
    found = _parsed(answer)
    if found is None:
        raise Unavailable(
            f"registry {registry.host} answers what is no JSON object",
            on=f"{registry.host}/{registry.repository}",
            evidence=answer.body[:100].decode(errors="replace"),
            do="see whether a proxy in front of it answers in its place",
            code="REGISTRY_DOWN",
        )
    return found


def _parsed(answer: Response) -> dict[str, Any] | None:
    try:
        found = json.loads(answer.body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
