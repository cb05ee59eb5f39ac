"""Makes the prover image of a commit exist in the registry: base image plus circuit files, sent only where missing."""

import contextlib
import threading
from pathlib import Path

from clients.docker.engine import Engine
from clients.image.pipeline import Build
from domain.messages.image import Image, ImageRequest
from domain.ports import Secrets, TransferBeat

_BEAT_SECONDS = 1.0
_END_SECONDS = 15.0  # a transfer that is broken off ends its bodies, if the registry answers


class PushedImages:
    """Fulfils `domain.ports.Images`: images built on this host and pushed to a registry."""

    def __init__(self, docker_host: str | None, secrets: Secrets, state_dir: Path) -> None:
        """`state_dir` keeps locks, facts and the journal of uploads, in `images/`."""
        self._engine = Engine(docker_host)
        self._secrets = secrets
        self._folder = state_dir / "images"

    def ensure(self, request: ImageRequest, beat: TransferBeat) -> Image:
        """Make the image exist under its tags and by digest, at both hosts as far as this worker can see.

        Raises ImageInputMissing, TagTaken, CredentialsRejected, CredentialsMissing, PermanentError (REGISTRY_REFUSED,
        REGISTRY_TLS), Unavailable (DOCKER_DOWN, REGISTRY_DOWN) and what `beat` raises; then nothing of the transfer
        goes on, and the next call resumes its uploads.
        """
        return _Transfer(self._build(request)).run(beat)

    def abandon(self, request: ImageRequest) -> None:
        """End what an `ensure` left, unless another one is at it; what cannot be ended now stays in the journal."""
        self._build(request).abandon()

    def _build(self, request: ImageRequest) -> Build:
        return Build(self._engine, self._secrets, self._folder, request)


class _Transfer:
    """Runs a build in a thread of its own, so that a socket that blocks can neither stop beats nor cancellation."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self._image: Image | None = None
        self._error: BaseException | None = None

    def run(self, beat: TransferBeat) -> Image:
        thread = threading.Thread(target=self._work, name="image", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                beat(*self._build.progress())
                thread.join(_BEAT_SECONDS)
        except BaseException:
            self._build.connections.cancel()
            thread.join(_END_SECONDS)
            raise
        if self._image is None:
            raise self._error or RuntimeError("the image build ended without a result")
        with contextlib.suppress(Exception):  # it is done all the same
            beat(*self._build.progress())
        return self._image

    def _work(self) -> None:
        try:
            self._image = self._build.run()
        except BaseException as error:  # noqa: BLE001 - it is raised again in the caller's thread
            self._error = error
