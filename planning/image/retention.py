"""Decides which prover images stay, at the registry and in the Docker Engine, and which nobody needs."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from domain import names
from domain.images import StoredImage
from domain.status import Phase, Release, Status

REGISTRY, ENGINE = "registry", "engine"
TAG_PREFIX = names.image_tag("")
NAMERS = 3  # that are told of one image
_YOUNGEST_UNKNOWN = 1980  # images whose time is before are made so that it says nothing
_UNRECORDED = {Phase.PREPARING, Phase.BACKEND, Phase.IMAGE, Phase.WAITING}


def judged(
    images: Sequence[StoredImage], named: Mapping[str, list[str]], keep: int, pinned: Mapping[str, str]
) -> list[StoredImage]:
    """Return the images, newest first in each place, with who names them and why they stay.

    `named` has digests and tags; `pinned` has digests that something else at the registry holds on to, and what. The
    newest `keep` stay in each place, prover images and base images apart. An image whose age nobody knows counts as
    older than all that have one.
    """
    ordered = sorted(images, key=_age, reverse=True)
    ordered.sort(key=lambda image: (image.place != REGISTRY, not is_client(image)))
    seen: dict[tuple[str, bool], int] = {}
    result = []
    for image in ordered:
        kind = (image.place, is_client(image))
        seen[kind] = seen.get(kind, 0) + 1
        namers = _namers(image, named)
        update = {"named_by": namers, "kept": _kept(image, namers, pinned, keep if seen[kind] <= keep else 0)}
        result.append(image.model_copy(update=update))
    return result


def is_client(image: StoredImage) -> bool:
    """Whether it is a prover image, not the base of one."""
    return any(_tag(tag).startswith(TAG_PREFIX) for tag in image.tags)


def moment(text: str) -> str:
    """Return a time as images have it, in UTC to the second; empty when it is none, or says nothing."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return ""
    if found.year < _YOUNGEST_UNKNOWN:
        return ""
    utc = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%SZ}"


def from_epoch(seconds: float) -> str:
    """Return the time of seconds since 1970, in the same form."""
    return moment(datetime.fromtimestamp(seconds, UTC).isoformat())


def naming(deployment: str, status: Status) -> dict[str, list[str]]:
    """Return the digests and tags that a deployment may still go to or come back to, and by what they are named."""
    found: dict[str, list[str]] = {}
    for release in (*status.releases, status.release, status.serving):
        if release is None:
            continue
        for reference in _references(release):
            who = found.setdefault(reference, [])
            text = f"{deployment} revision {release.revision}"
            if text not in who:
                who.append(text)
    return found


def merged(findings: Sequence[Mapping[str, list[str]]]) -> dict[str, list[str]]:
    """Return the images that several deployments name, with a few of the names."""
    found: dict[str, list[str]] = {}
    for finding in findings:
        for reference, who in finding.items():
            found.setdefault(reference, []).extend(who)
    return {reference: _few(who) for reference, who in found.items()}


def unrecorded(status: Status) -> bool:
    """Whether a deployment may be about to use an image that its history does not name yet."""
    return status.phase in _UNRECORDED or status.question is not None


def _references(release: Release) -> list[str]:
    """Its digest, and its tag: what an Engine built itself has no digest of a registry."""
    reference, _, digest = release.image.partition("@")
    tag = _tag(reference) if ":" in reference.rsplit("/", 1)[-1] else ""
    return [one for one in (digest, tag) if one]


def _tag(reference: str) -> str:
    """Return the part after the last colon; a bare tag is returned as it is."""
    return reference.rsplit("/", 1)[-1].rsplit(":", 1)[-1]


def _namers(image: StoredImage, named: Mapping[str, list[str]]) -> list[str]:
    keys = [image.digest, *(_tag(tag) for tag in image.tags)]
    return _few([who for key in dict.fromkeys(keys) for who in named.get(key, [])])


def _few(who: Sequence[str]) -> list[str]:
    distinct = list(dict.fromkeys(who))
    more = len(distinct) - NAMERS
    return distinct if more <= 0 else [*distinct[:NAMERS], f"{more} more"]


def _kept(image: StoredImage, namers: Sequence[str], pinned: Mapping[str, str], newest: int) -> str:
    """`newest` is how many stay for their age, 0 when this one is not among them."""
    if namers:
        return f"named by {', '.join(namers)}"
    if image.place == REGISTRY:
        if image.digest in pinned:
            return pinned[image.digest]
        others = [tag for tag in image.tags if not tag.startswith(TAG_PREFIX)]
        if others:
            return f"also tagged {', '.join(others)}"
    return f"among the newest {newest}" if newest else ""


def _age(image: StoredImage) -> tuple[str, bool, list[str]]:
    """Return the sort key by age; of several images of a stage set by hand, the tagged one is the newest."""
    return image.created, names.image_tag(image.stage) in map(_tag, image.tags), sorted(image.tags)
