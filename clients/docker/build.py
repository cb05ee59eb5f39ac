"""Builds the base image from its context in the repository, once for each content of that context.

The tag names the packed context, so that an equal one needs one look. What the Engine makes of it is not the same bit
for bit each time: directories that no context holds, and whatever RUN writes, carry the time of the build. Hence the
first build of a context on an Engine is the one that counts.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound
from docker.types import CancellableStream

from clients.docker import build_context
from clients.docker.build_context import Context
from clients.docker.connection import connected
from domain.errors import PermanentError, ProverError, Unavailable
from domain.spec import DEFAULT_DOCKERFILE

BASE_REPOSITORY = "prover-base"
CONTEXT_LABEL = "prover-cluster/base-context"  # its identity
_SECONDS = 60  # for each answer of the Engine, and for it to take the next part of the context
_LOOK_SECONDS = 0.5
_END_SECONDS = 10.0  # a build that is broken off removes its container
_TAIL = 20  # lines of the build's log that an error shows
_EVIDENCE = 2000  # characters
_LINE = 200
_PULL_FAILED = ("Get ", "Head ")  # how the Engine begins when the registry of a FROM does not answer
_SERVER_ERROR = 500


def ensure_base(
    environ: Mapping[str, str],
    repo: str,
    base_context: str,
    progress: Callable[[str], None],
    dockerfile: str = DEFAULT_DOCKERFILE,
) -> str:
    """Return the name of the image of this context, built now unless the Engine of `environ` has it.

    `progress` gets a line at least every second and may raise, which ends the build. Raises ImageInputMissing,
    PermanentError or Unavailable with code BASE_BUILD and the end of the log, and Unavailable with DOCKER_DOWN.
    """
    context = build_context.pack(repo, base_context, progress, dockerfile)
    with connected(environ, _SECONDS) as client:
        name = image_name(context)
        if not _is_built(client, name, context):
            _Build(client, context, name).run(progress)
            if not _is_built(client, name, context):
                raise _failed(Unavailable, context, "the Engine ended the build without an image")
    return name


def built_base(environ: Mapping[str, str], context: Context) -> str:
    """Return the name of the image that was built of this context; empty when the Engine has none."""
    with connected(environ, _SECONDS) as client:
        name = image_name(context)
        return name if _is_built(client, name, context) else ""


def image_name(context: Context) -> str:
    """Return the tag of the image of this context."""
    return f"{BASE_REPOSITORY}:{context.identity[:16]}"


def _is_built(client: docker.DockerClient, name: str, context: Context) -> bool:
    try:
        return bool(client.images.get(name).labels.get(CONTEXT_LABEL) == context.identity)
    except ImageNotFound:
        return False


class _Stopped(Exception):
    """The build was broken off while the Engine was still given its context."""


class _Build:
    """Build in a thread of its own, so that a silent step neither hides nor delays its end."""

    def __init__(self, client: docker.DockerClient, context: Context, name: str) -> None:
        self._client = client
        self._context = context
        self._name = name
        self._said = "sending the context"
        self._log: deque[str] = deque(maxlen=_TAIL)
        self._responses: list[requests.Response] = []
        self._stopping = threading.Event()
        self._error: BaseException | None = None

    def run(self, progress: Callable[[str], None]) -> None:
        thread = threading.Thread(target=self._work, name="base-build", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                progress(f"building the base image: {self._said}")
                thread.join(_LOOK_SECONDS)
        except BaseException:
            self._stop()
            thread.join(_END_SECONDS)
            raise
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        try:
            for event in self._events():
                self._hear(event)
        except APIError as error:
            ours = error.response is not None and error.response.status_code < _SERVER_ERROR
            self._error = _failed(PermanentError if ours else Unavailable, self._context, str(error.explanation))
        except BaseException as error:  # noqa: BLE001 - it is raised again in the caller's thread
            self._error = error
        finally:
            for response in self._responses:
                response.close()

    def _events(self) -> Iterator[dict[str, Any]]:
        self._client.api.hooks["response"].append(lambda response, **_: self._responses.append(response))
        events: Iterator[dict[str, Any]] = self._client.api.build(
            fileobj=self._context.stream(self._check),  # type: ignore[arg-type]  # requests sends any iterator
            custom_context=True,
            tag=self._name,
            dockerfile=self._context.dockerfile,
            labels={CONTEXT_LABEL: self._context.identity},
            rm=True,
            forcerm=True,
            decode=True,
            timeout=(_SECONDS, None),  # type: ignore[arg-type]  # as requests has it: a step may be silent for hours
        )
        yield from events

    def _check(self) -> None:
        if self._stopping.is_set():
            raise _Stopped

    def _hear(self, event: dict[str, Any]) -> None:
        if "error" in event:
            said = str(event["error"])
            kind = Unavailable if said.startswith(_PULL_FAILED) else PermanentError
            raise _failed(kind, self._context, "\n".join([*self._log, said]))
        text = " ".join(str(event.get(part) or "") for part in ("id", "status", "progress", "stream")).strip()
        for line in filter(None, (line.strip() for line in text.splitlines())):
            self._log.append(line[:_LINE])
            self._said = line[:_LINE]

    def _stop(self) -> None:
        """Stop the build: the Engine ends one whose client has gone, and removes its container."""
        self._stopping.set()
        for response in self._responses:
            with contextlib.suppress(OSError, AttributeError, DockerException):  # it has ended by itself
                CancellableStream(iter(()), response).close()


def _failed(kind: type[PermanentError] | type[Unavailable], context: Context, evidence: str) -> ProverError:
    return kind(
        "the base image cannot be built",
        on=context.setting,
        evidence=evidence[-_EVIDENCE:],
        do=f"correct the {context.dockerfile} there (docker build shows the same), and deploy again",
        code="BASE_BUILD",
    )
