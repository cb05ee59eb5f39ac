"""A private registry on loopback for one benchmark, and a way to empty it."""

import os
import shutil
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import yaml

from sandbox.binaries import REGISTRY, ensure_built
from sandbox.host.readiness import http_answers, wait_until
from sandbox.settings import Settings

_READY_SECONDS = 20.0


class PrivateRegistry:
    """Anonymous, of distribution 2.8 (Debian's docker-registry) or v3; what it stores is under `folder`."""

    def __init__(self, folder: Path, *, v3: bool = False) -> None:
        """Nothing is started yet."""
        built = ensure_built(Settings.from_environment(), REGISTRY) if v3 else None
        self.kind = f"distribution {REGISTRY.version}" if v3 else "Debian's docker-registry 2.8"
        self.host = f"127.0.0.1:{_free_port()}"
        self._program = str(built / "registry3") if built else "docker-registry"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start, with nothing stored."""
        self.empty()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop, and remove what is stored."""
        self._stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def empty(self) -> None:
        """Start again with nothing stored, once earlier writes are on disk."""
        self._stop()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        os.sync()  # else one contestant pays for what another has written
        configuration = {
            "version": "0.1",
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(self._folder / "data")}},
            "http": {"addr": self.host, "secret": "bench"},
        }
        file, log = self._folder / "config.yml", self._folder / "log"
        file.write_text(yaml.safe_dump(configuration))
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [self._program, "serve", str(file)],
                env=os.environ | {"OTEL_TRACES_EXPORTER": "none"},
                stdout=output,
                stderr=output,
            )
        wait_until(http_answers(f"http://{self.host}/v2/"), seconds=_READY_SECONDS, what=f"{self.kind} (see {log})")

    def _stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
