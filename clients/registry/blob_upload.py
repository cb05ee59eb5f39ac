"""Sends blobs to a registry: mounted from another repository, resumed where an upload broke off, or from the start.

Whatever was begun is noted in a journal, by digest, so that the next process goes on with it or ends it. Layers travel
uncompressed and straight from disk: `docker push` gzips on one thread, which for 512 MiB of keys took 27.6 s where this
takes 3 s (measured, 2 cores, local registry).
"""

import contextlib
import re
from typing import NamedTuple, Protocol
from urllib.parse import urlencode, urlsplit

from clients.registry.client import Registry
from clients.registry.transport import Payload, Response
from domain.errors import PermanentError, ProverError, Unavailable

_COMMIT_SECONDS = 600.0  # a registry may read the whole blob again before it accepts the digest
_CANCEL_SECONDS = 15.0
CHANGED = "IMAGE_INPUT"  # code of the error when a file is no longer the one that was announced
_MAX_TROUBLES = 5  # in a row, without a byte that stayed
_MAX_RESUMED = 2  # troubles after which it begins anew
_CREATED, _ACCEPTED, _NO_CONTENT, _NOT_ALLOWED = 201, 202, 204, 405
_GONE = (400, 404, 416)  # of an upload: unknown by now, or its offset is not the one of the location
_OCTETS = {"Content-Type": "application/octet-stream"}
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]+)")


class Journal(Protocol):
    """Remembers uploads under way, by digest."""

    def location(self, digest: str) -> str:
        """Where the upload of this blob goes on; empty: none was begun."""
        ...

    def keep(self, digest: str, location: str) -> None:
        """Keep the URL at which the upload continues."""
        ...

    def forget(self, digest: str) -> None:
        """Forget an upload that is over."""
        ...


class Blob(Protocol):
    """Content to upload."""

    digest: str
    title: str
    size: int  # bytes
    source: str  # another repository of the registry that holds it; empty: none is known

    def payload(self, offset: int) -> Payload:
        """Return the bytes from `offset` on; the producer may end them early."""
        ...

    def complete(self) -> bool:
        """Whether the last payload went to its end; raises when it is not what was announced."""
        ...

    def at(self, offset: int) -> None:
        """Note how many bytes the registry has from before."""
        ...

    def wait(self, error: Unavailable, troubles: int) -> None:
        """Before another try, the first of which is number 1; raises when there shall be none."""
        ...


class Upload(NamedTuple):
    """Upload as the registry knows it."""

    location: str
    offset: int  # bytes that it has


def send(registry: Registry, blob: Blob, journal: Journal) -> bool:
    """Upload the blob; False when its payload was ended early, which can be resumed.

    Broken connections are outlasted as long as bytes get through; Unavailable, PermanentError, CredentialsRejected.
    """
    reached = troubles = 0
    while True:
        try:
            if troubles > _MAX_RESUMED:  # a registry that reports an offset and does not let us go on there
                discard(registry, blob.digest, journal)
                journal.forget(blob.digest)
            upload = _entered(registry, blob, journal, again=troubles > 0)
            if upload is None:
                break
            troubles = 0 if upload.offset > reached else troubles
            reached = max(reached, upload.offset)
            if not _filled(registry, blob, journal, upload):
                return False
            break
        except Unavailable as error:
            if error.diagnosis.code == CHANGED:
                discard(registry, blob.digest, journal)
                raise
            troubles += 1
            if error.delay is not None or troubles > _MAX_TROUBLES:
                raise
            blob.wait(error, troubles)
        except PermanentError:
            discard(registry, blob.digest, journal)
            raise
    journal.forget(blob.digest)
    return True


def discard(registry: Registry, digest: str, journal: Journal) -> None:
    """End the upload of this blob, as far as the registry answers; what does not end stays in the journal."""
    location = journal.location(digest)
    if location and cancel(registry, location):
        journal.forget(digest)


def try_push(registry: Registry) -> bool:
    """Begin an upload and end it: CredentialsRejected unless we may push; False when it would not be ended."""
    return cancel(registry, registry.location(_post(registry, {})))


def cancel(registry: Registry, location: str) -> bool:
    """End an upload; False when the registry does not say that it is gone."""
    with contextlib.suppress(ProverError):
        if _ask(registry, "DELETE", location).status in {_NO_CONTENT, 404}:
            return True
        # The registry refuses a location whose offset has moved on: ask for the present one.
        present = _standing(registry, location)
        return present is None or _ask(registry, "DELETE", present.location).status in {_NO_CONTENT, 404}
    return False


def _entered(registry: Registry, blob: Blob, journal: Journal, *, again: bool) -> Upload | None:
    """Where to go on; None when the blob is there."""
    if again and registry.blob_size(blob.digest) is not None:  # accepted, only the answer was lost
        return None
    known = journal.location(blob.digest)
    found = _standing(registry, known) if known else None
    if found is not None and 0 < found.offset <= blob.size:
        journal.keep(blob.digest, found.location)
        return found
    if found is not None:
        cancel(registry, found.location)
    query = {"mount": blob.digest, "from": blob.source} if blob.source and not again else {}
    answer = _post(registry, query)
    if answer.status == _CREATED:
        return None
    began = Upload(registry.location(answer), 0)
    journal.keep(blob.digest, began.location)
    return began


def _filled(registry: Registry, blob: Blob, journal: Journal, upload: Upload) -> bool:
    """Whether the blob was sent to its end, and accepted."""
    blob.at(upload.offset)
    location = upload.location
    if upload.offset < blob.size:
        range_ = {"Content-Range": f"{upload.offset}-{blob.size - 1}"} if upload.offset else {}
        answer = registry.call(
            "PATCH",
            location,
            headers={**_OCTETS, **range_},
            payload=blob.payload(upload.offset),
            expected=(_ACCEPTED, _NO_CONTENT, *_GONE),
            what=blob.title,
        )
        if answer.status in _GONE:
            raise _lost(registry, blob, answer)
        location = registry.location(answer)
        journal.keep(blob.digest, location)
        if not blob.complete():
            return False
    joint = "&" if urlsplit(location).query else "?"
    commit = f"{location}{joint}{urlencode({'digest': blob.digest})}"
    expected = (_CREATED, _NO_CONTENT, *_GONE)
    answer = registry.call("PUT", commit, expected=expected, seconds=_COMMIT_SECONDS, what=blob.title)
    if answer.status in _GONE:
        raise _spoiled(registry, blob, answer) if b"DIGEST_INVALID" in answer.body else _lost(registry, blob, answer)
    return True


def _standing(registry: Registry, location: str) -> Upload | None:
    """Return the upload as the registry has it now; None when it is lost."""
    answer = registry.call("GET", location, expected=(200, _NO_CONTENT, _NOT_ALLOWED, *_GONE))
    if answer.status in {_NOT_ALLOWED, *_GONE}:
        return None
    match = _RANGE.fullmatch(answer.headers.get("Range", ""))
    last = int(match[1]) if match else 0
    # "0-0" is what an empty upload has, and one byte is nothing to resume.
    return Upload(registry.location(answer), last + 1 if last else 0)


def _post(registry: Registry, query: dict[str, str]) -> Response:
    path = f"/v2/{registry.repository}/blobs/uploads/"
    expected = (_ACCEPTED, _CREATED)
    if query:
        with contextlib.suppress(PermanentError):  # a shortcut: who may not read the other repository sends the blob
            return registry.call("POST", f"{path}?{urlencode(query)}", expected=expected, mount_from=query["from"])
    return registry.call("POST", path, expected=expected)


def _ask(registry: Registry, method: str, location: str) -> Response:
    return registry.call(method, location, expected=(200, _NO_CONTENT, *_GONE), seconds=_CANCEL_SECONDS)


def _lost(registry: Registry, blob: Blob, answer: Response) -> Unavailable:
    return Unavailable(
        f"registry {registry.host} lost the upload of {blob.title}",
        on=f"{registry.host}/{registry.repository}",
        evidence=f"{answer.status} {answer.body[:150].decode(errors='replace')}",
        do=f"look at the log of {registry.host}",
        code="REGISTRY_DOWN",
    )


def _spoiled(registry: Registry, blob: Blob, answer: Response) -> Unavailable:
    return Unavailable(
        f"registry {registry.host} got another content than was announced for {blob.title}",
        on=f"{registry.host}/{registry.repository}",
        because="the file was changed without a new modification time, or bytes were changed on their way",
        do="let whatever writes the circuit directory finish; the file is read anew at the next try",
        evidence=f"{answer.status} {answer.body[:150].decode(errors='replace')}",
        code=CHANGED,
    )
