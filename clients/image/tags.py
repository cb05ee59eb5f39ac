"""Decision whether a tag may move, and whether nodes find the image that they pull."""

from collections.abc import Mapping, Sequence

from clients.image.manifest import INPUTS_LABEL, ImageDescription
from clients.registry import repository
from clients.registry.client import Registry
from clients.registry.connection_pool import ConnectionPool
from clients.registry.transport import insecure
from domain import names
from domain.errors import CredentialsMissing, CredentialsRejected, PermanentError, TagTaken, Unavailable
from domain.messages.image import ImageRequest
from domain.ports import Secrets
from planning.text.listing import listed

PULL_SETTINGS = "IMAGE_PULL_AUTH (by default IMAGE_AUTH_USER and IMAGE_AUTH_PASSWORD)"
_SHOWN = 4  # layers that differ


def judge(registry: Registry, request: ImageRequest, image: ImageDescription, tagged: str | None) -> str:
    """Return the digest that the tag names before it moves; TagTaken when a commit's tag may not move.

    A tag set by hand moves; that of a commit only to an image that holds the same, or when forced.
    """
    if not tagged or tagged == image.digest:
        return ""
    if request.source.by_hand or request.force_tag:
        return tagged
    there = repository.describe(registry, tagged)
    if there is None or there.labels.get(INPUTS_LABEL) == image.inputs:
        return tagged
    ours = {layer.digest: layer.title for layer in image.layers}
    tag = names.image_tag(request.source.stage)
    raise TagTaken(
        f"tag {tag} names another image than commit {request.source.commit[:12]} makes now",
        on=f"{registry.host}/{registry.repository}",
        because=difference(ours, there.layers, f"what was pushed as {tagged}"),
        do="commit what changed, set STAGE to deploy it under a name of its own, or pass --force-tag to move the tag",
    )


def difference(ours: Mapping[str, str], theirs: Mapping[str, str], other: str) -> str:
    """How two images differ, by digest and title of each layer; `other` names the second one."""
    come = {ours[digest] or "a layer" for digest in ours.keys() - theirs.keys()}
    gone = {theirs[digest] or "a layer" for digest in theirs.keys() - ours.keys()}
    changed = sorted(come & gone) or ([] if come or gone else ["the configuration of the base image"])
    parts = [f"{listed(changed, _SHOWN)} differs from {other}"] if len(changed) == 1 else []
    parts += [f"the contents of {listed(changed, _SHOWN)} differ from {other}"] if len(changed) > 1 else []
    if come != gone:
        new, old = (listed(sorted(titles), _SHOWN) or "nothing" for titles in (come - gone, gone - come))
        parts.append(f"it has {new} where {other} has {old}")
    return ", and ".join(parts)


def pull_warnings(
    request: ImageRequest, digest: str, secrets: Secrets, ranges: Sequence[str], connections: ConnectionPool
) -> list[str]:
    """Return what is unknown about the nodes' pull; Unavailable (IMAGE_NOT_FOUND), CredentialsRejected.

    The digest is looked up at the pull host with the pull credentials, unless both are those of the push.
    """
    target = request.target
    host = target.pull_host
    if (host, target.pull_auth) == (target.push_host, target.push_auth):
        return []
    try:
        login = secrets.login(target.pull_auth, host)
        plain = insecure(host, ranges)
        registry = Registry(
            host,
            target.repository,
            login,
            connections=connections,
            insecure=plain,
            settings=PULL_SETTINGS,
            answer_seconds=20,
        )
        found = registry.manifest_digest(digest)
    except CredentialsRejected:
        raise
    except (CredentialsMissing, Unavailable, PermanentError) as error:
        return [f"the image could not be looked up at the pull host {host} from this worker: {error}"]
    if found is None:
        raise Unavailable(
            f"the pull host {host} does not have the image that was pushed to {target.push_host}",
            on=f"{host}/{target.repository}@{digest}",
            because="it lags behind, or IMAGE_HOST_ALIAS names another registry",
            do="check IMAGE_HOST_ALIAS",
            code="IMAGE_NOT_FOUND",
        )
    return []
