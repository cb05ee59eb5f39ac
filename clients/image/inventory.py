"""Lists the prover images of a repository and of this host's Docker Engine, and removes those that nothing keeps."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TypeVar

from clients.docker.connection import DEFAULT_HOST
from clients.docker.engine import Engine
from clients.docker.local_images import LocalImages
from clients.registry import repository
from clients.registry.client import Registry
from clients.registry.connection_pool import ConnectionPool
from clients.registry.repository import TagDescription
from clients.registry.transport import insecure
from domain.errors import Unavailable
from domain.images import ImagesReport, ImagesRequest, StoredImage
from domain.ports import Beat, Secrets
from planning.image import retention

_AT_ONCE = 8  # questions to a registry; each is a connection of its own
_ANSWER_SECONDS = 20.0  # seconds for each answer
_SHOWN = 400  # images in a report, so that it stays below 256 KiB
_LABEL = "org.opencontainers.image"
Asked = TypeVar("Asked")
Found = TypeVar("Found")


class LocalImageStores:
    """Fulfils `domain.ports.ImageStores` with the push host's registry and this machine's Docker Engine."""

    def __init__(self, docker_host: str | None, secrets: Secrets) -> None:
        """`docker_host` as in DOCKER_HOST, None for the default socket."""
        self._engine = Engine(docker_host)
        self._local_images = LocalImages({"DOCKER_HOST": docker_host or DEFAULT_HOST})
        self._secrets = secrets

    def survey(self, request: ImagesRequest, beat: Beat) -> ImagesReport:
        """Return the images; those removed are marked. A Docker Engine that is away is a warning.

        Raises CredentialsMissing, CredentialsRejected, Unavailable (REGISTRY_DOWN), PermanentError (REGISTRY_NO_DELETE:
        then nothing was removed).
        """
        warnings: list[str] = []
        beat("looking at the Docker Engine")
        local, ranges = self._local(request, warnings)
        store = _Store(self._secrets, request, ranges)
        found, pinned = store.stored_images(beat)
        images = retention.judged([*found, *local], request.named, request.keep, pinned)
        if request.prune:
            images = [self._removed(store, image, beat, warnings) for image in images]
        removed = sum(image.removed for image in images)
        shown = _few(images, warnings)
        return ImagesReport(images=shown, removed=removed, warnings=warnings)

    def _local(self, request: ImagesRequest, warnings: list[str]) -> tuple[list[StoredImage], list[str]]:
        try:
            return self._local_images.images(request.target), self._engine.insecure_ranges()
        except Unavailable as error:
            warnings.append(f"The images on the backend host are not listed: {error}")
            return [], []

    def _removed(self, store: "_Store", image: StoredImage, beat: Beat, warnings: list[str]) -> StoredImage:
        if image.kept:
            return image
        beat(f"removing {image.tags[0]}")
        if image.place == retention.REGISTRY:
            store.delete(image.digest)
        elif refusal := self._local_images.remove(image):
            warnings.append(refusal)
            return image
        return image.model_copy(update={"removed": True})


class _Store:
    """Repository at the push host."""

    def __init__(self, secrets: Secrets, request: ImagesRequest, ranges: Sequence[str]) -> None:
        self._target = request.target
        host = self._target.push_host
        self._login = secrets.login(self._target.push_auth, host)
        self._insecure = insecure(host, ranges)
        self._own = threading.local()

    def stored_images(self, beat: Beat) -> tuple[list[StoredImage], dict[str, str]]:
        """Return the images with a tag of ours, and the digests that other tags refer to."""
        where = f"{self._target.push_host}/{self._target.repository}"
        beat(f"listing the tags of {where}")
        tags = repository.tags(self._registry)
        by_digest: dict[str, list[str]] = {}
        named = dict(self._each(tags, lambda tag: self._registry.manifest_digest(tag) or "", "tag", beat))
        for tag in tags:
            if named[tag]:
                by_digest.setdefault(named[tag], []).append(tag)
        described = self._each([*by_digest], lambda digest: repository.describe(self._registry, digest), "image", beat)
        found = [(one, by_digest[digest]) for digest, one in described if one]
        pinned = {child: f"part of {tags[0]}" for one, tags in found for child in one.children}
        ours = [(one, tags) for one, tags in found if any(tag.startswith(retention.TAG_PREFIX) for tag in tags)]
        return [_stored(one, tags) for one, tags in ours], pinned

    def delete(self, digest: str) -> None:
        repository.delete(self._registry, digest)

    def _each(
        self, asked: Sequence[Asked], ask: Callable[[Asked], Found], what: str, beat: Beat
    ) -> Iterator[tuple[Asked, Found]]:
        """Every answer, several asked for at once; `beat` is called here, in the caller's thread."""
        with contextlib.ExitStack() as stack:
            pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="stored_images")
            stack.callback(pool.shutdown, cancel_futures=True)
            waiting = {pool.submit(ask, one): one for one in asked}
            for number, future in enumerate(as_completed(waiting), 1):
                beat(f"looking at {what} {number} of {len(asked)} of {self._target.repository}")
                yield waiting[future], future.result()

    @property
    def _registry(self) -> Registry:
        """Return the client of this thread, with a token and connection of its own."""
        if not hasattr(self._own, "registry"):
            self._own.registry = Registry(
                self._target.push_host,
                self._target.repository,
                self._login,
                connections=ConnectionPool(),
                insecure=self._insecure,
                answer_seconds=_ANSWER_SECONDS,
            )
        found: Registry = self._own.registry
        return found


def _stored(found: TagDescription, tags: list[str]) -> StoredImage:
    created = retention.moment(found.labels.get(f"{_LABEL}.created", "")) or retention.moment(found.created)
    return StoredImage(
        place=retention.REGISTRY,
        digest=found.digest,
        tags=tags,
        stage=found.labels.get(f"{_LABEL}.version", ""),
        commit=found.labels.get(f"{_LABEL}.revision", ""),
        size=found.size,
        created=created,
    )


def _few(images: list[StoredImage], warnings: list[str]) -> list[StoredImage]:
    """Return the first images to show, removed ones before those that stay."""
    if len(images) <= _SHOWN:
        return images
    warnings.append(f"There are {len(images)} images; {_SHOWN} of them are shown.")
    chosen = {id(image) for image in sorted(images, key=lambda image: bool(image.kept))[:_SHOWN]}
    return [image for image in images if id(image) in chosen]
